"""How options of providers are read and refused."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from core.errors import InvalidInput


def secret_in(option: str, file: Path | None) -> str:
    """The text of a file that holds a secret; "" for no file.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(option, "the secret's file cannot be read", "name a text file that this user may read") from error


def is_web(url: str) -> bool:
    """Whether a text is an http or https URL with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def wrong(option: str, message: str, mend: str) -> InvalidInput:
    """The error of an option."""
    return InvalidInput(message, field=option, mend=mend, code="OPTION_VALUE")
