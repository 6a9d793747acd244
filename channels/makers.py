"""Makes the provider of each channel of plain settings, such as a configuration has; anew for each worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from channels.apns import Apns, ApnsConfig
from channels.carrier import SingleProvider
from channels.dkim_signing import DkimKey
from channels.email import EmailProvider, SmtpConfig
from channels.fcm import Fcm, FcmConfig
from channels.google_access import read_service_account
from channels.http_calls import MOST_JSON, HttpConfig
from channels.mime import MailConfig
from channels.provider import Provider
from channels.push import ANDROID, IOS, DeviceCarrier, PushProvider
from channels.retry import RetryPolicy
from channels.sms_http import SmsHttp, SmsHttpConfig
from channels.twilio import Twilio, TwilioConfig
from channels.webhook import WebhookConfig, WebhookProvider

Settings: TypeAlias = Mapping[str, Any]
"""Arguments of a class of settings by name."""

Make: TypeAlias = Callable[[], Provider]
_Made = TypeVar("_Made")


class WrongSettings(ValueError):
    """Settings that nothing can be made of.

    Arguments:
        of: which: `dkim`, `mail`, `fcm` or `apns`.
        why: what is wrong.
    """

    def __init__(self, of: str, why: str) -> None:
        super().__init__(why)
        self.of = of


def email(smtp: Settings, mail: Settings, dkim: Settings | None, retry: RetryPolicy) -> Make:
    """Emails by SMTP.

    Arguments:
        smtp: of SmtpConfig; mail: of MailConfig; dkim: of DkimKey, None: mails are not signed.

    Raises:
        WrongSettings.
    """
    key = _checked("dkim", lambda given: DkimKey(**given), dkim)
    letter = _checked("mail", lambda given: MailConfig(**given, dkim=key), mail)
    config = SmtpConfig(**smtp, mail=letter or MailConfig(), retry=retry)
    return lambda: EmailProvider(config)


def webhook(settings: Settings, retry: RetryPolicy) -> Make:
    """Webhooks; settings of WebhookConfig."""
    config = WebhookConfig(**settings, retry=retry)
    return lambda: WebhookProvider(config)


def sms(settings: Settings, http: Settings, retry: RetryPolicy, *, twilio: bool) -> Make:
    """Text messages.

    Arguments:
        settings: of TwilioConfig or SmsHttpConfig; http: of HttpConfig.
        twilio: which of the two.
    """
    calls = HttpConfig(**http, longest_answer=MOST_JSON)
    if twilio:
        account = TwilioConfig(**settings, http=calls)
        return lambda: SingleProvider(Twilio(account), connections=calls.connections, retry=retry)
    other = SmsHttpConfig(**settings, http=calls)
    return lambda: SingleProvider(SmsHttp(other), connections=calls.connections, retry=retry)


def push(fcm: Settings | None, apns: Settings | None, http: Settings, retry: RetryPolicy) -> Make:
    """Push notifications.

    Arguments:
        fcm: of FcmConfig, with `account_file` in place of the account; apns: of ApnsConfig. None: that platform's devices
            are not reached.
        http: of HttpConfig.

    Raises:
        WrongSettings.
    """
    calls = HttpConfig(**http, longest_answer=MOST_JSON)
    to_android = _checked("fcm", lambda given: _fcm(calls, **given), fcm)
    to_apple = _checked("apns", lambda given: ApnsConfig(**given, http=calls), apns)

    def made() -> Provider:
        carriers: dict[int, DeviceCarrier] = {}
        if to_android is not None:
            carriers[ANDROID] = Fcm(to_android)
        if to_apple is not None:
            carriers[IOS] = Apns(to_apple)
        return PushProvider(carriers, connections=calls.connections, retry=retry)

    return made


def _fcm(http: HttpConfig, *, account_file: Path, **given: Any) -> FcmConfig:
    return FcmConfig(account=read_service_account(account_file), **given, http=http)


def _checked(of: str, make: Callable[[Settings], _Made], given: Settings | None) -> _Made | None:
    """What is made of settings; None for none."""
    if given is None:
        return None
    try:
        return make(given)
    except (OSError, ValueError) as error:
        raise WrongSettings(of, str(error)) from error
