"""What the options say of mail servers and webhooks, checked, in the words of the channels' own settings."""

from __future__ import annotations

import base64
import binascii
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from core.errors import InvalidInput
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
        "password": _password(config.smtp_password_file),
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
    if config.webhook_proxy and not _is_proxy(config.webhook_proxy):
        raise _wrong("webhook_proxy", f"{config.webhook_proxy!r} is no proxy", "a URL such as http://proxy:3128")
    return {
        "secrets": secrets,
        "connections": config.webhook_connections,
        "connect_timeout": config.webhook_connect_timeout_seconds,
        "timeout": config.webhook_timeout_seconds,
        "proxy": config.webhook_proxy,
    }


def _password(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(
            "smtp_password_file",
            "the file of the SMTP password cannot be read",
            "name a text file that this user may read",
        ) from error


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


def _is_proxy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _wrong(option: str, message: str, mend: str) -> InvalidInput:
    return InvalidInput(message, field=option, mend=mend, code="OPTION_VALUE")
