"""The texts of a message in other languages, as written: by BCP 47 tag, an empty text standing for the content's own."""

from __future__ import annotations

from dataclasses import dataclass

from core.codec import record


@record("email_translation")
@dataclass(frozen=True, slots=True)
class EmailTranslation:
    """The texts of an email in another language."""

    subject: str = ""
    preheader: str = ""
    html: str = ""
    text: str = ""


@record("sms_translation")
@dataclass(frozen=True, slots=True)
class SmsTranslation:
    """The text of a text message in another language."""

    text: str = ""


@record("in_app_translation")
@dataclass(frozen=True, slots=True)
class InAppTranslation:
    """The texts of an in-app message in another language."""

    title: str = ""
    body: str = ""


@record("push_translation")
@dataclass(frozen=True, slots=True)
class PushTranslation:
    """The texts of a push notification in another language."""

    title: str = ""
    body: str = ""
