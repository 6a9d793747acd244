"""Arguments that several commands take: expressions, parameters, instants, lengths of time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from core.errors import InvalidInput
from server.cli.context import read_text
from server.cli.files.kinds import TIME_TEXT, time_of_text

_LENGTH: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|[smhdw]))+\Z")
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdw])")
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def expression_of(text: str) -> str:
    """Targeting as given, or the text of the file that `@FILE` names (`@-`: standard input).

    Raises:
        InvalidInput: FILE_UNREADABLE.
    """
    return read_text(text[1:]).strip() if text.startswith("@") else text


def params_of(pairs: Iterable[str], flag: str = "--param") -> dict[str, Any]:
    """Named parameters from `name=value`: JSON and ISO times are what they say, all else is a text.

    Raises:
        InvalidInput: PARAM_INVALID.
    """
    return {name: _value(text) for name, text in (pair_of(pair, flag) for pair in pairs)}


def pair_of(pair: str, flag: str) -> tuple[str, str]:
    """Name and value of `name=value`; the value may hold more equals signs.

    Raises:
        InvalidInput: PAIR_INVALID.
    """
    name, equals, text = pair.partition("=")
    if not equals or not name.strip():
        raise InvalidInput(f"{pair!r} is no pair", field=flag, mend=f"write {flag} 'NAME=VALUE'", code="PAIR_INVALID")
    return name.strip(), text


def _value(text: str) -> Any:
    if TIME_TEXT.match(text):
        try:
            return time_of_text(text)
        except ValueError:
            return text
    try:
        return json.loads(text)
    except ValueError:
        return text


AT: Final = click.option(
    "--at", metavar="TIME", help="as it was then, such as 2026-01-31T09:00Z; `muster store history` tells how far back"
)
"""The option of commands that ask the past."""


def moment_of(at: str | None) -> datetime | None:
    """The instant of `--at`, None where it is not given.

    Raises:
        InvalidInput: TIME_INVALID.
    """
    return None if at is None else instant_of(at, "--at")


def instant_of(text: str, flag: str) -> datetime:
    """An instant from an ISO 8601 text; without a zone it is UTC; `now` is the present.

    Raises:
        InvalidInput: TIME_INVALID.
    """
    if text == "now":
        return datetime.now(UTC)
    try:
        return time_of_text(text.strip())
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{text!r} is no time",
            field=flag,
            mend="ISO 8601, such as 2026-01-31 or 2026-01-31T09:00:00Z",
            code="TIME_INVALID",
        ) from error


def length_of(text: str, flag: str) -> timedelta:
    """A length of time, such as `72h`, `90d` or `1h30m`.

    Raises:
        InvalidInput: DURATION_INVALID.
    """
    if not _LENGTH.match(text):
        raise InvalidInput(
            f"{text!r} is no length of time",
            field=flag,
            mend="such as 45s, 30m, 72h, 90d or 2w",
            code="DURATION_INVALID",
        )
    try:
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))
    except OverflowError as error:
        raise InvalidInput(f"{text} is too long", field=flag, mend="at most 10000w", code="DURATION_INVALID") from error
