"""Reads users from a pinned version: profiles, timelines, schema."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from pyroaring import BitMap

from core.errors import InvalidInput, NotFound
from core.profiles.identity import NOBODY, Ordinals
from core.profiles.ingest import People
from core.profiles.validate import check_id, insert_id_of
from core.values import MICROS_PER_DAY, Value, ValueType

_PART: Final = 2_000


class View(People, Protocol):
    """A pinned version. `now` is micros UTC."""

    now: int


@dataclass(frozen=True, slots=True)
class ProfileView:
    """One user: the id first seen, all ids, the ordinal, the properties."""

    distinct_id: str
    distinct_ids: list[str]
    ordinal: int
    properties: dict[str, Value]


@dataclass(frozen=True, slots=True)
class PropertyView:
    """A property name with how many have it, by type."""

    name: str
    kinds: dict[ValueType, int]


@dataclass(frozen=True, slots=True)
class EventView:
    """An event name with its count, its properties, and the micros of the first and last event."""

    name: str
    count: int
    properties: list[PropertyView]
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SchemaView:
    """Everything seen so far, by name."""

    properties: list[PropertyView]
    events: list[EventView]


def find(view: View, distinct_id: str) -> int:
    """The ordinal of a user.

    Raises:
        InvalidInput: EMPTY_ID, ID_TOO_LONG; NotFound: USER_NOT_FOUND.
    """
    check_id(distinct_id)
    ordinal = view.users.find(distinct_id)
    if ordinal == NOBODY or ordinal not in view.population.live:
        raise NotFound(
            f"there is no user {distinct_id!r}",
            field="distinct_id",
            mend="ids are case-sensitive; list users with `muster audience select true`",
            code="USER_NOT_FOUND",
        )
    return ordinal


def profile(view: View, distinct_id: str) -> ProfileView:
    """One user's profile.

    Raises:
        NotFound: USER_NOT_FOUND.
    """
    ordinal = find(view, distinct_id)
    ids = view.users.ids_of(ordinal)
    return ProfileView(ids[0], ids, ordinal, view.population.profile(ordinal))


def profiles_page(view: View, matched: BitMap | None, after: int, limit: int) -> tuple[list[ProfileView], int | None]:
    """Profiles in order of first sight.

    Arguments:
        matched: the users to list; None for everybody.
        after: the ordinal to go on after, -1 to begin.
        limit: most profiles.

    Returns:
        The profiles, and the ordinal to go on after, None on the last page.
    """
    users = view.population.live if matched is None else matched
    start = users.rank(after) if after >= 0 else 0
    ordinals = list(users[start : start + limit + 1]) if start < len(users) else []
    more = len(ordinals) > limit
    ordinals = ordinals[:limit]
    rows = view.population.profiles(np.array(ordinals, np.uint32), None)
    views = []
    for ordinal, properties in zip(ordinals, rows, strict=True):
        ids = view.users.ids_of(ordinal)
        views.append(ProfileView(ids[0], ids, ordinal, properties))
    return views, ordinals[-1] if more else None


def timeline(
    view: View, distinct_id: str, limit: int, before: str, names: Sequence[str]
) -> tuple[list[tuple[str, int, dict[str, Value]]], str]:
    """A user's events up to now, newest first.

    Arguments:
        limit: most events.
        before: where the last page ended, "" to begin.
        names: only these event names; empty for all.

    Returns:
        (name, micros, properties) of each event, and where this page ends, "" on the last.

    Raises:
        NotFound: USER_NOT_FOUND; InvalidInput: INVALID_PAGE_TOKEN.
    """
    ordinal = find(view, distinct_id)
    try:
        skip = int(before) if before else 0
    except ValueError as error:
        raise InvalidInput(
            "the page token is not one of ours",
            field="page_token",
            mend="start again without one",
            code="INVALID_PAGE_TOKEN",
        ) from error
    rows: list[tuple[int, int, str, dict[str, Value]]] = []
    for name, table in view.population.event_tables.items():
        if names and name not in names:
            continue
        for time, arrival, properties in table.history(ordinal, view.now):
            rows.append((time, arrival, name, properties))
    rows.sort(key=lambda row: row[:3], reverse=True)
    page = list(itertools.islice(rows, skip, skip + limit))
    end = skip + len(page)
    shown = [(name, time, {k: v for k, v in properties.items() if k != "time"}) for time, _, name, properties in page]
    return shown, str(end) if end < len(rows) else ""


def events(
    view: View, matched: BitMap | None, names: Sequence[str]
) -> Iterator[list[tuple[str, str, int, str, dict[str, Value]]]]:
    """The events of many users up to now, by name, then day, then user, in parts of at most `_PART`.

    Arguments:
        matched: whose; None for everybody.
        names: only these event names; empty for all.

    Yields:
        (name, id of the user first seen, micros, insert id, properties) of each event.
    """
    members = None if matched is None else np.fromiter(matched, np.uint32, len(matched))
    for name, table in sorted(view.population.event_tables.items()):
        if names and name not in names:
            continue
        for day in table.days():
            if day * MICROS_PER_DAY > view.now:
                break
            chunk = table.chunk(day)
            rows = chunk.rows
            kept = rows.times <= view.now
            if members is not None:
                kept &= np.isin(rows.ordinals, members)
            places = np.flatnonzero(kept)
            for first in range(0, len(places), _PART):
                part = rows.take(places[first : first + _PART])
                properties = table.properties(part)
                # What was sent without an insert id has the one that an exact copy of it would get.
                insert_ids = [
                    text or insert_id_of(values) for text, values in zip(part.insert_ids(), properties, strict=True)
                ]
                columns = (view.users.names(part.ordinals), part.times.tolist(), insert_ids, properties)
                yield [(name, *row) for row in zip(*columns, strict=True)]


def schema(view: View) -> SchemaView:
    """The property and event names seen, with types and counts, by name."""
    properties = [
        PropertyView(name, counts)
        for name, column in sorted(view.population.columns.items())
        if (counts := {kind: count for kind, count in column.type_counts().items() if count})
    ]
    events = []
    for name, table in sorted(view.population.event_tables.items()):
        if not table.count:
            continue
        days = table.days()
        first = table.chunk(days[0]).least_time() if days else 0
        last = table.chunk(days[-1]).greatest_time() if days else 0
        of_event = [
            PropertyView(item, {kind: count for kind, count in table.type_counts(item).items() if count})
            for item in sorted(table.property_names())
        ]
        events.append(EventView(name, table.count, of_event, first, last))
    return SchemaView(properties, events)


def distinct_ids(view: View, ordinals: Ordinals) -> list[str]:
    """The id first seen of each user, in the order given."""
    return view.users.names(ordinals)
