"""What a project is: its name, its clock, its sandbox."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.codec import encode, record
from core.errors import InvalidInput
from core.limits import FrequencyCap, Throughput, check_caps, check_percent, check_throughput
from core.snippets import Snippet
from core.values import MICROS_PER_SECOND

ClockKind = Literal["real", "manual"]
LATE_AFTER: Final = 72 * 3600 * MICROS_PER_SECOND
INBOX_LIMIT: Final = 100_000
MAX_INBOX_LIMIT: Final = 10_000_000
_URL: Final = re.compile(r"[!$()*+,./:;=@\[\]_~%A-Za-z0-9-]{1,500}\Z")  # what needs no escaping in HTML
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")


@record("links")
@dataclass(frozen=True, slots=True)
class Links:
    """Where a project's links lead, and what they tell of.

    Arguments:
        base_url: where its people reach the server's gateway, without a slash at the end; "": there are no links.
        opens, clicks: whether emails tell when they are opened, and when an address in them is followed.
    """

    base_url: str = ""
    opens: bool = False
    clicks: bool = False


@record("settings")
@dataclass(frozen=True, slots=True)
class Settings:
    """A project's settings. `uid` makes idempotency keys unique across stores; times are micros UTC.

    `late_after`, in micros: an event that is older than this when it arrives triggers no message.
    `inbox_limit`: how many of the newest entries the inbox keeps.
    `throughput`: how many hand-offs begin in a second at most.
    `frequency_caps`: how many messages a user gets at most.
    `holdout_percent`: of whoever is let through by any message from now on, the share that is sent none.
    `link_keys`: hexadecimal keys under which links are signed, the first for new ones; never shown to anybody.
    `in_app_per_session`: the most in-app messages that a user is shown in one session; 0: no limit.
    `snippets`: pieces of templates that messages share, by key.
    """

    name: str
    uid: str
    clock: ClockKind = "real"
    sandbox: bool = True
    allowed_addresses: list[str] = field(default_factory=list)
    time_zone: str = "UTC"
    created_at: int = 0
    late_after: int = LATE_AFTER
    inbox_limit: int = INBOX_LIMIT
    holdout_percent: float = 0.0
    frequency_caps: list[FrequencyCap] = field(default_factory=list)
    throughput: list[Throughput] = field(default_factory=list)
    links: Links = field(default_factory=Links)
    link_keys: list[str] = field(default_factory=list)
    in_app_per_session: int = 0
    snippets: dict[str, Snippet] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        """Changes whenever the settings do."""
        return hashlib.blake2b(encode(self), digest_size=8).hexdigest()


def check_settings(settings: Settings) -> None:
    """Refuse a bad name, time zone, length of time, share or bound.

    Raises:
        InvalidInput: INVALID_NAME, INVALID_PERCENT, FREQUENCY_CAP, INVALID_URL, INVALID_TIME_ZONE, INVALID_DURATION, INBOX_LIMIT.
    """
    if not 1 <= settings.inbox_limit <= MAX_INBOX_LIMIT:
        raise InvalidInput(
            f"an inbox of {settings.inbox_limit:,} entries",
            field="inbox_limit",
            mend=f"1 to {MAX_INBOX_LIMIT:,}; {INBOX_LIMIT:,} where nothing is said",
            code="INBOX_LIMIT",
        )
    check_percent(settings.holdout_percent, "holdout_percent")
    for place, rate in enumerate(settings.throughput):
        check_throughput(rate, f"throughput[{place}]")
    check_caps(settings.frequency_caps, "frequency_caps")
    _check_links(settings.links)
    if settings.in_app_per_session < 0:
        raise InvalidInput("a negative limit", field="in_app_per_session", mend="0 for no limit", code="INVALID_LIMIT")
    if settings.late_after < 0:
        raise InvalidInput(
            "a negative duration", field="late_after", mend="zero or more, such as 72h", code="INVALID_DURATION"
        )
    if not _NAME.match(settings.name):
        raise InvalidInput(
            f"{settings.name!r} is no project name",
            field="name",
            mend="a lower-case letter, then up to 62 lower-case letters, digits, `-` or `_`",
            code="INVALID_NAME",
        )
    try:
        ZoneInfo(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: `America` is a folder of zones
        raise InvalidInput(
            f"{settings.time_zone!r} is no time zone",
            field="time_zone",
            mend="an IANA name such as Europe/Berlin",
            code="INVALID_TIME_ZONE",
        ) from error


def _check_links(links: Links) -> None:
    if not links.base_url:
        return
    try:
        parts = urlsplit(links.base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    good = parts is not None and parts.scheme in ("http", "https") and host and not parts.query and not parts.fragment
    if not good or links.base_url.endswith("/") or not _URL.match(links.base_url):
        raise InvalidInput(
            f"{links.base_url!r} is no place for links",
            field="links.base_url",
            mend="where people reach the gateway, without a slash at the end, such as https://mail.example.com",
            code="INVALID_URL",
        )
