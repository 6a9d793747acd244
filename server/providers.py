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
from server.config import Config

_LEAST_SECRET: Final = 24  # bytes, of Standard Webhooks
_SMTP_SECURITY: Final = {"plain": "none", "starttls": "starttls", "tls": "tls"}


def smtp(config: Config) -> dict[str, Any]:
    """Settings of `channels.email.SmtpConfig` by name, but for `retry`.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    if config.smtp_user and config.smtp_password_file is None:
        raise _wrong("smtp_password_file", "an SMTP user without a password", "give the file that holds it")
    if not config.smtp_message_id_domain.isascii():
        raise _wrong("smtp_message_id_domain", "the domain is not ASCII", "write it as `xn--…`")
    return {
        "host": config.smtp_host,
        "port": config.smtp_port,
        "security": _SMTP_SECURITY[config.smtp_security],
        "username": config.smtp_user,
        "password": _secret("smtp_password_file", config.smtp_password_file),
        "ca_file": _roots(config.smtp_ca_file),
        "verify_certificate": config.smtp_verify_certificate,
        "local_hostname": config.smtp_local_hostname,
        "message_id_domain": config.smtp_message_id_domain,
        "connections": config.smtp_connections,
        "connect_timeout": config.smtp_connect_timeout_seconds,
        "command_timeout": config.smtp_command_timeout_seconds,
        "final_timeout": config.smtp_final_timeout_seconds,
    }


def webhook(config: Config) -> dict[str, Any]:
    """Settings of `channels.webhook.WebhookConfig` by name, but for `retry`.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    secrets = tuple(filter(None, (one.strip() for one in config.webhook_secret.split(","))))
    if not secrets or not all(map(_is_secret, secrets)):
        raise _wrong(
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
    secret = _secret("sms_secret_file", config.sms_secret_file)
    if config.sms_url and not _is_web(config.sms_url):
        raise _wrong("sms_url", f"{config.sms_url!r} is no URL", "one such as https://sms.example.com/send")
    if config.sms_provider == "twilio":
        for option, value in (("sms_account", config.sms_account), ("sms_secret_file", secret)):
            if not value:
                raise _wrong(
                    option, "Twilio needs an account and its secret", "give --sms-account and --sms-secret-file"
                )
        found = {"account_sid": config.sms_account, "user": config.sms_user, "secret": secret}
        return {**found, "sender": config.sms_from, **({"url": config.sms_url} if config.sms_url else {})}
    if not config.sms_url:
        raise _wrong("sms_url", "there is no URL of the provider", "give --sms-url, where text messages are posted")
    if config.sms_body and not all(place in config.sms_url + config.sms_body for place in ("{to}", "{text}")):
        raise _wrong("sms_body", "{to} and {text} are not in it", 'such as {"to":"{to}","message":"{text}"}')
    if config.sms_form and not config.sms_body:
        raise _wrong("sms_body", "there is no body of the form", "such as to={to}&text={text}")
    return {
        "url": config.sms_url,
        "content_type": "application/x-www-form-urlencoded" if config.sms_form else "application/json",
        "authorization": secret,
        "sender": config.sms_from,
        "idempotent": config.sms_idempotent,
        **({"body": config.sms_body} if config.sms_body else {}),
    }


def http(config: Config, prefix: str) -> dict[str, Any]:
    """Settings of `channels.http_calls.HttpConfig` by name, from the options whose names begin with a prefix.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    proxy = getattr(config, f"{prefix}_proxy")
    if proxy and not _is_web(proxy):
        raise _wrong(f"{prefix}_proxy", f"{proxy!r} is no proxy", "a URL such as http://proxy:3128")
    return {
        "connections": getattr(config, f"{prefix}_connections"),
        "connect_timeout": getattr(config, f"{prefix}_connect_timeout_seconds"),
        "timeout": getattr(config, f"{prefix}_timeout_seconds"),
        "proxy": proxy,
    }


_NEEDED: Final[dict[ChannelName, tuple[str, str]]] = {
    "email": ("smtp_host", "no mail server is named"),
    "webhook": ("webhook", "the webhook worker is not turned on"),
    "sms": ("sms_provider", "no provider of text messages is named"),
}
"""By channel, the option that names its provider, and what it means that it is empty."""


def is_named(config: Config, channel: ChannelName) -> bool:
    """Whether a channel's provider is named, so that a worker is embedded for it."""
    return bool(getattr(config, _NEEDED[channel][0]))


def only(config: Config, channel: ChannelName) -> Config:
    """The configuration of a worker that carries this channel and no other.

    Raises:
        InvalidInput: PROVIDER_MISSING.
    """
    if channel == "webhook":
        config = replace(config, webhook=True)
    if not is_named(config, channel):
        option, what = _NEEDED[channel]
        flag = "--" + option.replace("_", "-")
        raise InvalidInput(what, field=option, mend=f"give {flag}", code="PROVIDER_MISSING")
    defaults = Config()
    others = [option for name, (option, _) in _NEEDED.items() if name != channel]
    return replace(config, **{option: getattr(defaults, option) for option in others})


def place(config: Config, channel: ChannelName) -> str:
    """Where a channel's messages go, for people."""
    if channel == "email":
        return f"{config.smtp_host}:{config.smtp_port} ({config.smtp_security})"
    if channel == "sms":
        return f"{config.sms_provider} ({urlsplit(config.sms_url).netloc})" if config.sms_url else config.sms_provider
    return config.webhook_proxy or "HTTP"


def _secret(option: str, file: Path | None) -> str:
    """The text of a file that holds a secret; "" for no file."""
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(option, "the secret's file cannot be read", "name a text file that this user may read") from error


def _roots(file: Path | None) -> Path | None:
    """The file, once it is known to hold certificates: a wrong one is told at the start, not by each mail."""
    if file is not None:
        try:
            ssl.create_default_context(cafile=file)
        except OSError as error:
            raise _wrong("smtp_ca_file", f"no certificates can be read from {file}", "name a PEM file") from error
    return file


def _is_secret(secret: str) -> bool:
    """Whether Standard Webhooks knows a key in it."""
    try:
        return len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) >= _LEAST_SECRET
    except binascii.Error:
        return False


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _wrong(option: str, message: str, mend: str) -> InvalidInput:
    return InvalidInput(message, field=option, mend=mend, code="OPTION_VALUE")
