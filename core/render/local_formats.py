"""Numbers, amounts of money and times as a reader's locale writes them, by CLDR's data through Babel.

Each takes the name of the reader's locale first (core/render/locales.py); `locale=` in a template stands above it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from babel import dates as babel_dates
from babel import numbers as babel_numbers

from core.render import dates, numbers
from core.render.locales import DEFAULT, locale, locale_of_tag
from core.render.printing import refuse_type, text_of
from core.render.results import RenderError
from core.values import Value

STYLES: Final = ("short", "medium", "long", "full")
"""How much of a date or time is written."""

_KEPT: Final = 65_536


def currencies() -> frozenset[str]:
    """ISO 4217's codes."""
    return frozenset(babel_numbers.list_currencies())


def format_number(
    reader: str,
    value: Value,
    decimals: int = 0,
    thousands: str | None = None,
    point: str | None = None,
    locale: str | None = None,
) -> str:
    """With so many decimal places, in the reader's way: 1234.5 | number(2) is 1,234.50, or 1.234,50 in German.

    Arguments:
        thousands, point: signs that stand between thousands and before the fraction, whatever the reader's are.
    """
    name = _chosen(reader, locale)
    if name == DEFAULT or (thousands is not None and point is not None):
        return numbers.format_number(
            value, decimals, "," if thousands is None else thousands, "." if point is None else point
        )
    rounded = _unsigned_zero(numbers.rounded(value, decimals, "common"))
    text = _decimal(name, rounded, decimals)
    if thousands is None and point is None:
        return text
    symbols = _symbols(name)
    marks = {symbols[0]: symbols[0] if thousands is None else text_of(thousands)}
    marks[symbols[1]] = symbols[1] if point is None else text_of(point)
    return "".join(marks.get(char, char) for char in text)


def format_currency(reader: str, value: Value, code: str, locale: str | None = None) -> str:
    """An amount of money: 1234.5 | currency("EUR") is €1,234.50, or 1.234,50 € in German.

    Raises:
        RenderError: CURRENCY_UNKNOWN besides what numbers raise.
    """
    if type(code) is not str or code not in currencies():
        raise RenderError("no code of a currency", mend='write one of ISO 4217, such as "EUR"', code="CURRENCY_UNKNOWN")
    decimals = babel_numbers.get_currency_precision(code)
    return _money(_chosen(reader, locale), _unsigned_zero(numbers.rounded(value, decimals, "common")), code)


def format_percent(reader: str, value: Value, decimals: int = 0, locale: str | None = None) -> str:
    """A share in percent: 0.256 | percent is 26%, or 26 % in German."""
    rounded = _unsigned_zero(numbers.rounded(value, decimals + 2 if type(decimals) is int else decimals, "common"))
    return _percent(_chosen(reader, locale), rounded, decimals)


def format_date(reader: str, value: Value, format: str = "%F", zone: str = "UTC", locale: str | None = None) -> str:
    """A day, by a strftime-like format in English, or in a style of STYLES as the reader writes it."""
    if format not in STYLES:
        return dates.date(value, format, zone)
    name, moment = _chosen(reader, locale), dates.local_moment(value, zone)
    return _in_style(babel_dates.format_date, moment.date(), format, name)


def format_time(reader: str, value: Value, style: str = "short", zone: str = "UTC", locale: str | None = None) -> str:
    """A time of day in a style of STYLES."""
    return _moment_in_style(babel_dates.format_time, reader, value, style, zone, locale)


def format_datetime(
    reader: str, value: Value, style: str = "medium", zone: str = "UTC", locale: str | None = None
) -> str:
    """A day and a time of day in a style of STYLES."""
    return _moment_in_style(babel_dates.format_datetime, reader, value, style, zone, locale)


def _moment_in_style(
    write: Callable[..., str], reader: str, value: Value, style: str, zone: str, of: str | None
) -> str:
    if style not in STYLES:
        raise RenderError("no such style", mend=f"one of {', '.join(STYLES)}", code="DATE_FORMAT")
    moment = dates.local_moment(value, zone)
    return _in_style(write, moment, style, _chosen(reader, of), tzinfo=moment.tzinfo)


def _in_style(write: Callable[..., str], moment: Any, style: str, name: str, **more: Any) -> str:
    try:
        return write(moment, format=style, locale=locale(name), **more)
    except (ValueError, OverflowError):  # the year 1 or 9999 in a calendar or zone that leaves them
        raise RenderError("a time outside the years 1 to 9999", code="NUMBER_OUT_OF_RANGE") from None


def _chosen(reader: str, written: str | None) -> str:
    if written is None:
        return reader
    found = locale_of_tag(written) if type(written) is str else refuse_type(written, "the tag of a language")
    if found is None:
        raise RenderError("no language that is known", mend='write a tag such as "de-CH"', code="UNKNOWN_LOCALE")
    return found


def _unsigned_zero(number: Decimal) -> Decimal:
    """-0.001 to two places is no negative number."""
    return number if number else abs(number)


@lru_cache(maxsize=1024)
def _symbols(name: str) -> tuple[str, str]:
    """What stands between thousands and before a fraction."""
    return (
        babel_numbers.get_group_symbol(locale(name), numbering_system="latn"),
        babel_numbers.get_decimal_symbol(locale(name), numbering_system="latn"),
    )


@lru_cache(maxsize=_KEPT)
def _decimal(name: str, number: Decimal, decimals: int) -> str:
    return str(_pattern(name, "decimal", decimals).apply(number, locale(name), numbering_system="latn"))


@lru_cache(maxsize=_KEPT)
def _percent(name: str, number: Decimal, decimals: int) -> str:
    return str(_pattern(name, "percent", decimals).apply(number, locale(name), numbering_system="latn"))


@lru_cache(maxsize=1024)
def _pattern(name: str, kind: str, decimals: int) -> babel_numbers.NumberPattern:
    """A locale's own pattern with so many decimal places."""
    known = locale(name).decimal_formats if kind == "decimal" else locale(name).percent_formats
    found = babel_numbers.parse_pattern(known[None].pattern)
    found.frac_prec = (decimals, decimals)
    return found


@lru_cache(maxsize=_KEPT)
def _money(name: str, number: Decimal, code: str) -> str:
    return babel_numbers.format_currency(number, code, locale=locale(name), numbering_system="latn")
