"""What the options say of providers' callbacks, checked, in the words of the channels' own settings."""

from __future__ import annotations

from typing import Any, Final

from core.errors import InvalidInput
from server.config import Config, split_address
from server.options import is_web, secret_in, wrong

_EMAIL: Final = (
    "callbacks_ses_topics",
    "callbacks_sendgrid_key",
    "callbacks_postmark_file",
    "callbacks_mailgun_file",
)
_TOPIC: Final = "arn:aws"
TWILIO_STATUS: Final = "/twilio/status"


def is_wanted(config: Config) -> bool:
    """Whether callbacks are listened to."""
    return bool(config.callbacks_listen)


def listener(config: Config) -> dict[str, Any]:
    """Settings of `channels.callbacks.listener.ListenerConfig` by name.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    host, port = split_address(config.callbacks_listen, "callbacks_listen")
    if config.callbacks_url and not is_web(config.callbacks_url):
        raise wrong("callbacks_url", f"{config.callbacks_url!r} is no URL", "one such as https://hooks.example.com")
    return {"host": host, "port": port, "url": config.callbacks_url, "grace": config.stop_grace_seconds}


def settings(config: Config) -> dict[str, Any]:
    """Settings of `channels.callbacks.configured.CallbackSettings` by name.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    topics = tuple(filter(None, (one.strip() for one in config.callbacks_ses_topics.split(","))))
    for topic in topics:
        if not topic.startswith(_TOPIC):
            raise wrong(
                "callbacks_ses_topics", f"{topic!r} is no topic", "ARNs such as arn:aws:sns:eu-west-1:1234:mail"
            )
    given = {
        "ses_topics": topics,
        "sendgrid_key": config.callbacks_sendgrid_key,
        "postmark_login": secret_in("callbacks_postmark_file", config.callbacks_postmark_file),
        "mailgun_key": secret_in("callbacks_mailgun_file", config.callbacks_mailgun_file),
        "twilio_token": _twilio_token(config),
        "secret": secret_in("callbacks_secret_file", config.callbacks_secret_file),
    }
    if not any(given.values()):
        raise wrong(
            "callbacks_listen",
            "no provider's callbacks can be verified",
            "give what proves one's: "
            + ", ".join("--" + name.replace("_", "-") for name in (*_EMAIL, "callbacks_secret_file")),
        )
    pinned = secret_in("callbacks_sns_certificate", config.callbacks_sns_certificate)
    return {**given, "sns_certificate": pinned.encode() if pinned else None}


def as_option(error: ValueError) -> InvalidInput:
    """What a setting of `settings` is refused for, as the option that it came from."""
    name, _, why = str(error).partition(": ")
    file = "_file" if name in ("postmark_login", "mailgun_key") else ""
    option = {"postmark_login": "postmark", "mailgun_key": "mailgun"}.get(name, name)
    return wrong(f"callbacks_{option}{file}", why or "cannot be used", "see docs/feedback.md")


def status_url(config: Config) -> str:
    """Where Twilio is to tell what becomes of text messages; "" where nobody listens.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    if not is_wanted(config) or config.sms_provider != "twilio":
        return ""
    base = config.callbacks_url
    if not base:
        host, port = split_address(config.callbacks_listen, "callbacks_listen")
        if not port:
            raise wrong("callbacks_url", "Twilio has to be told a URL", "give the one it reaches the listener by")
        base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return base.rstrip("/") + TWILIO_STATUS


def _twilio_token(config: Config) -> str:
    """The account's auth token, which Twilio signs with; an API key's secret is another thing."""
    if config.sms_provider != "twilio":
        return ""
    if config.callbacks_twilio_file is not None:
        return secret_in("callbacks_twilio_file", config.callbacks_twilio_file)
    if config.sms_user:
        raise wrong(
            "callbacks_twilio_file",
            "Twilio signs callbacks with the account's auth token, not with an API key's secret",
            "give the file that holds the auth token",
        )
    return secret_in("sms_secret_file", config.sms_secret_file)
