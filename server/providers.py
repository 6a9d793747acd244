"""What the options say of providers, checked, in the words of the channels' own settings."""

from __future__ import annotations

import base64
import binascii
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from core.errors import InvalidInput
from core.messaging.definitions import ChannelName
from server import callbacks
from server.config import Config
from server.options import is_web, secret_in, wrong

_LEAST_SECRET: Final = 24  # bytes, of Standard Webhooks
_SMTP_SECURITY: Final = {"plain": "none", "starttls": "starttls", "tls": "tls"}


def smtp(config: Config) -> dict[str, Any]:
    """Settings of `channels.email.SmtpConfig` by name, but for `retry`.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    if config.smtp_user and config.smtp_password_file is None:
        raise wrong("smtp_password_file", "an SMTP user without a password", "give the file that holds it")
    return {
        "host": config.smtp_host,
        "port": config.smtp_port,
        "security": _SMTP_SECURITY[config.smtp_security],
        "username": config.smtp_user,
        "password": secret_in("smtp_password_file", config.smtp_password_file),
        "ca_file": _roots("smtp_ca_file", config.smtp_ca_file),
        "verify_certificate": config.smtp_verify_certificate,
        "local_hostname": config.smtp_local_hostname,
        "connections": config.smtp_connections,
        "connect_timeout": config.smtp_connect_timeout_seconds,
        "command_timeout": config.smtp_command_timeout_seconds,
        "final_timeout": config.smtp_final_timeout_seconds,
    }


def mail(config: Config) -> dict[str, Any]:
    """Settings of `channels.mime.MailConfig` by name, but for `dkim`.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    if not config.smtp_message_id_domain.isascii():
        raise wrong("smtp_message_id_domain", "the domain is not ASCII", "write it as `xn--…`")
    if config.smtp_verp and not config.smtp_return_path:
        raise wrong("smtp_return_path", "there is no address to put keys into", "one such as bounces@example.com")
    return {
        "message_id_domain": config.smtp_message_id_domain,
        "provider": config.smtp_provider,
        "return_path": config.smtp_return_path,
        "verp": config.smtp_verp,
    }


def dkim(config: Config) -> dict[str, Any] | None:
    """Settings of `channels.dkim_signing.DkimKey` by name; None where mails are not signed.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    given = {
        "smtp_dkim_domain": config.smtp_dkim_domain,
        "smtp_dkim_selector": config.smtp_dkim_selector,
        "smtp_dkim_key_file": secret_in("smtp_dkim_key_file", config.smtp_dkim_key_file),
    }
    if not any(given.values()):
        return None
    for option, value in given.items():
        if not value:
            raise wrong(option, "a signature needs domain, selector and key", "give all three, or none")
    return {
        "domain": config.smtp_dkim_domain,
        "selector": config.smtp_dkim_selector,
        "private_key": given["smtp_dkim_key_file"].encode(),
        "rewritten": bool(config.smtp_provider),
    }


def webhook(config: Config) -> dict[str, Any]:
    """Settings of `channels.webhook.WebhookConfig` by name, but for `retry`.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    secrets = tuple(filter(None, (one.strip() for one in config.webhook_secret.split(","))))
    if not secrets or not all(map(_is_secret, secrets)):
        raise wrong(
            "webhook_secret",
            "the webhook secret is none" if secrets else "there is no webhook secret",
            f"`whsec_` and at least {_LEAST_SECRET} bytes in base64; a comma before the next one",
        )
    return {"secrets": secrets, **http(config, "webhook")}


def sms(config: Config) -> dict[str, Any]:
    """Settings of `channels.twilio.TwilioConfig` or `channels.sms_http.SmsHttpConfig` by name, but for `http`.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    secret = secret_in("sms_secret_file", config.sms_secret_file)
    if config.sms_url and not is_web(config.sms_url):
        raise wrong("sms_url", f"{config.sms_url!r} is no URL", "one such as https://sms.example.com/send")
    if config.sms_provider == "twilio":
        for option, value in (("sms_account", config.sms_account), ("sms_secret_file", secret)):
            if not value:
                raise wrong(
                    option, "Twilio needs an account and its secret", "give --sms-account and --sms-secret-file"
                )
        found = {"account_sid": config.sms_account, "user": config.sms_user, "secret": secret}
        found |= {"sender": config.sms_from, "status_callback": callbacks.status_url(config)}
        return {**found, **({"url": config.sms_url} if config.sms_url else {})}
    if not config.sms_url:
        raise wrong("sms_url", "there is no URL of the provider", "give --sms-url, where text messages are posted")
    if config.sms_body and not all(place in config.sms_url + config.sms_body for place in ("{to}", "{text}")):
        raise wrong("sms_body", "{to} and {text} are not in it", 'such as {"to":"{to}","message":"{text}"}')
    if config.sms_form and not config.sms_body:
        raise wrong("sms_body", "there is no body of the form", "such as to={to}&text={text}")
    return {
        "url": config.sms_url,
        "content_type": "application/x-www-form-urlencoded" if config.sms_form else "application/json",
        "authorization": secret,
        "sender": config.sms_from,
        "idempotent": config.sms_idempotent,
        **({"body": config.sms_body} if config.sms_body else {}),
    }


def fcm(config: Config) -> dict[str, Any] | None:
    """Settings of `channels.fcm.FcmConfig` by name, but for `http`; the account as its file. None: it is not used.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    if config.push_fcm_account_file is None:
        return None
    if config.push_fcm_url and not is_web(config.push_fcm_url):
        raise wrong("push_fcm_url", f"{config.push_fcm_url!r} is no URL", "leave it out for the usual one")
    return {"account_file": config.push_fcm_account_file, **_url(config.push_fcm_url)}


def apns(config: Config) -> dict[str, Any] | None:
    """Settings of `channels.apns.ApnsConfig` by name, but for `http`; None: it is not used.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    if config.push_apns_key_file is None:
        return None
    for option in ("push_apns_key_id", "push_apns_team_id", "push_apns_topic"):
        if not getattr(config, option):
            flags = "--push-apns-key-id, --push-apns-team-id and --push-apns-topic"
            raise wrong(option, "APNs needs to know key, team and app", f"give {flags}")
    if config.push_apns_url and not is_web(config.push_apns_url):
        raise wrong("push_apns_url", f"{config.push_apns_url!r} is no URL", "leave it out for the usual one")
    return {
        "key": secret_in("push_apns_key_file", config.push_apns_key_file),
        "key_id": config.push_apns_key_id,
        "team_id": config.push_apns_team_id,
        "topic": config.push_apns_topic,
        **_url(config.push_apns_url),
    }


def push_http(config: Config) -> dict[str, Any]:
    """Settings of `channels.http_calls.HttpConfig` by name, for FCM and APNs.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    return {**http(config, "push"), "ca_file": _roots("push_ca_file", config.push_ca_file)}


def _url(given: str) -> dict[str, str]:
    return {"url": given} if given else {}


def http(config: Config, prefix: str) -> dict[str, Any]:
    """Settings of `channels.http_calls.HttpConfig` by name, from the options whose names begin with a prefix.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    proxy = getattr(config, f"{prefix}_proxy")
    if proxy and not is_web(proxy):
        raise wrong(f"{prefix}_proxy", f"{proxy!r} is no proxy", "a URL such as http://proxy:3128")
    return {
        "connections": getattr(config, f"{prefix}_connections"),
        "connect_timeout": getattr(config, f"{prefix}_connect_timeout_seconds"),
        "timeout": getattr(config, f"{prefix}_timeout_seconds"),
        "proxy": proxy,
    }


_NAMING: Final[dict[ChannelName, tuple[str, ...]]] = {
    "email": ("smtp_host",),
    "webhook": ("webhook",),
    "sms": ("sms_provider",),
    "push": ("push_fcm_account_file", "push_apns_key_file"),
}
"""By channel, the options that name its providers; of several any will do."""

_NONE_NAMED: Final[dict[ChannelName, str]] = {
    "email": "no mail server is named",
    "webhook": "the webhook worker is not turned on",
    "sms": "no provider of text messages is named",
    "push": "no provider of push notifications is named",
}


def is_named(config: Config, channel: ChannelName) -> bool:
    """Whether a channel's provider is named, so that a worker is embedded for it."""
    return any(getattr(config, option) for option in _NAMING[channel])


def only(config: Config, channel: ChannelName) -> Config:
    """The configuration of a worker that carries this channel and no other.

    Raises:
        InvalidInput: PROVIDER_MISSING.
    """
    if channel == "webhook":
        config = replace(config, webhook=True)
    if not is_named(config, channel):
        options = _NAMING[channel]
        flags = " or ".join("--" + option.replace("_", "-") for option in options)
        raise InvalidInput(_NONE_NAMED[channel], field=options[0], mend=f"give {flags}", code="PROVIDER_MISSING")
    defaults = Config()
    others = [option for name, options in _NAMING.items() if name != channel for option in options]
    return replace(config, **{option: getattr(defaults, option) for option in others})


def place(config: Config, channel: ChannelName) -> str:
    """Where a channel's messages go, for people."""
    if channel == "email":
        return f"{config.smtp_host}:{config.smtp_port} ({config.smtp_security})"
    if channel == "sms":
        return f"{config.sms_provider} ({urlsplit(config.sms_url).netloc})" if config.sms_url else config.sms_provider
    if channel == "push":
        named = {"FCM": config.push_fcm_account_file, "APNs": config.push_apns_key_file}
        return " and ".join(name for name, file in named.items() if file is not None)
    return config.webhook_proxy or "HTTP"


def _roots(option: str, file: Path | None) -> Path | None:
    """The file, once it is known to hold certificates: a wrong one is told at the start, not by each mail."""
    if file is not None:
        try:
            ssl.create_default_context(cafile=file)
        except OSError as error:
            raise wrong(option, f"no certificates can be read from {file}", "name a PEM file") from error
    return file


def _is_secret(secret: str) -> bool:
    """Whether Standard Webhooks knows a key in it."""
    try:
        return len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) >= _LEAST_SECRET
    except binascii.Error:
        return False


_OF_SETTINGS: Final = {
    "dkim": ("smtp_dkim_key_file", "a domain, a selector and an RSA key in PEM"),
    "mail": ("smtp_return_path", "one such as bounces@example.com"),
    "fcm": ("push_fcm_account_file", "name the key's file"),
    "apns": ("push_apns_key_file", "name the key's file"),
}
"""By what the channels call the settings, the option that most likely is at fault, and what would be right."""


def as_option(of: str, why: str) -> InvalidInput:
    """What the channels refuse settings for, as the error of an option."""
    option, mend = _OF_SETTINGS[of]
    return wrong(option, f"the file cannot be used: {why}" if option.endswith("_file") else why, mend)
