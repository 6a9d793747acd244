"""The sources that settings ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from channels.callbacks.mailgun import Mailgun
from channels.callbacks.plain import Plain
from channels.callbacks.postmark import Postmark
from channels.callbacks.sendgrid import SendGrid
from channels.callbacks.ses import Ses
from channels.callbacks.sns import Sns
from channels.callbacks.source import Source
from channels.callbacks.twilio import TwilioInbound, TwilioStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSettings:
    """What proves each provider's calls; "" or none: it is not listened to.

    Arguments:
        ses_topics: ARNs of the SNS topics that SES publishes to.
        sns_certificate: PEM of the certificate that signs SNS's messages; None: the one they name, fetched from SNS.
        sendgrid_key: verification key of SendGrid's Event Webhook.
        postmark_login: `name:password` of Postmark's webhooks.
        mailgun_key: Mailgun's webhook signing key.
        twilio_token: auth token of the Twilio account.
        secret: of calls in Muster's own words.
    """

    ses_topics: Sequence[str] = ()
    sns_certificate: bytes | None = field(default=None, repr=False)
    sendgrid_key: str = ""
    postmark_login: str = field(default="", repr=False)
    mailgun_key: str = field(default="", repr=False)
    twilio_token: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)

    def sources(self) -> list[Source]:
        """The sources.

        Raises:
            ValueError: for what can prove nothing, beginning with the setting's name.
        """
        found: list[Source] = []
        if self.ses_topics:
            found.append(_made("sns_certificate", lambda: Ses(Sns(self.ses_topics, self.sns_certificate))))
        if self.sendgrid_key:
            found.append(_made("sendgrid_key", lambda: SendGrid(self.sendgrid_key)))
        if self.postmark_login:
            found.append(_made("postmark_login", lambda: Postmark(self.postmark_login)))
        if self.mailgun_key:
            found.append(Mailgun(self.mailgun_key))
        if self.twilio_token:
            found += [TwilioStatus(self.twilio_token), TwilioInbound(self.twilio_token)]
        if self.secret:
            found.append(Plain(self.secret))
        return found


def _made(setting: str, make: Callable[[], Source]) -> Source:
    try:
        return make()
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from error
