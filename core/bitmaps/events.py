"""All events of one name: chunks by UTC day, and one pair of dictionaries per property."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import TYPES, Data, Ordinals, Tags, check_codes, decode, encode
from core.bitmaps.chunk import Chunk, identity
from core.bitmaps.column import Page
from core.bitmaps.pagekeys import DICTIONARY_PAGE, EVENTS, dictionary_pages, key_of
from core.bitmaps.rows import EventRows, concatenate
from core.bitmaps.strings import BlobTable, StringTable
from core.bitmaps.value_sets import by_key
from core.errors import StoreError
from core.values import ABSENT, MICROS_PER_DAY, Value, ValueType, from_micros, pack, unpack

_ROWS, _IDENTITIES, _NAMES, _STRINGS, _BLOBS = b"r", b"i", b"n", b"s", b"v"
Dictionaries = tuple[StringTable, BlobTable]


def _dump(chunk: Chunk) -> bytes | None:
    return chunk.dump() if chunk.count else None


def _dump_identities(chunk: Chunk, page: int) -> bytes | None:
    first, last = page * DICTIONARY_PAGE, min((page + 1) * DICTIONARY_PAGE, chunk.known)
    return chunk.dump_identities(first, last) if last > first else None


class EventTable:
    """One version of the events of one name. Only a fork that was not published is written to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._chunks: dict[int, Chunk] = {}
        self._own: set[int] = set()
        self._dictionaries: dict[str, Dictionaries] = {}  # in order of first sight, which numbers them in pages
        self._saved: dict[str, tuple[int, int]] = {}
        self._saved_names = -1  # how many property names a checkpoint has, -1 where it does not know the table
        self._dirty: set[int] = set()
        self._stale_identities: dict[int, int] = {}  # day -> identities that a checkpoint may hold, after a removal

    def fork(self) -> EventTable:
        """A version to change; days are shared until written."""
        twin = EventTable.__new__(EventTable)
        twin.name = self.name
        twin._chunks, twin._own = dict(self._chunks), set()
        twin._dictionaries, twin._saved = dict(self._dictionaries), dict(self._saved)
        twin._saved_names = self._saved_names
        twin._dirty, twin._stale_identities = set(self._dirty), dict(self._stale_identities)
        return twin

    @property
    def count(self) -> int:
        """How many events there are."""
        return sum(chunk.count for chunk in self._chunks.values())

    def days(self) -> list[int]:
        """UTC day numbers that have events, ascending."""
        return sorted(day for day, chunk in self._chunks.items() if chunk.count)

    def days_between(self, after: int, upto: int) -> list[int]:
        """Those of `days` that may have an event with a time in (after, upto], micros UTC."""
        return [day for day in self.days() if (day + 1) * MICROS_PER_DAY > after + 1 and day * MICROS_PER_DAY <= upto]

    def chunk(self, day: int) -> Chunk:
        """The events of a day. Raises KeyError where there is none."""
        return self._chunks[day]

    def property_names(self) -> list[str]:
        """Names of the properties seen, in order of first sight."""
        return list(self._dictionaries)

    def strings(self, name: str) -> StringTable:
        """The strings of a property. Raises KeyError for one never seen."""
        return self._dictionaries[name][0]

    def blobs(self, name: str) -> BlobTable:
        """The lists and maps of a property. Raises KeyError for one never seen."""
        return self._dictionaries[name][1]

    def type_counts(self, name: str) -> dict[ValueType, int]:
        """How many events have a value of each type in a property."""
        total = np.zeros(TYPES, np.int64)
        for chunk in self._chunks.values():
            cells = chunk.property(name)
            if cells is not None:
                total += np.bincount(cells[0], minlength=TYPES)
        return {ValueType(tag): int(total[tag]) for tag in range(1, TYPES) if total[tag]}

    def append(
        self,
        ordinals: Ordinals,
        times: Data,
        arrivals: Data,
        sent_ids: Sequence[str],
        insert_ids: Sequence[str],
        properties: Sequence[dict[str, Value]],
    ) -> NDArray[np.bool_]:
        """Store n events; the first copy of (name, time, id as sent, insert_id) wins. Writer only.

        Arguments:
            ordinals: uint32[n]; times, arrivals: int64[n], micros UTC.

        Returns:
            bool[n]: True = taken, False = a duplicate.
        """
        ordinals = np.asarray(ordinals, np.uint32)
        times, arrivals = np.asarray(times, np.int64), np.asarray(arrivals, np.int64)
        sizes = {len(part) for part in (ordinals, times, arrivals, sent_ids, insert_ids, properties)}
        if len(sizes) != 1:
            raise ValueError(f"event columns of different lengths: {sorted(sizes)}")
        numbers = np.full(len(times), -1, np.int64)
        days = list(by_key(times // MICROS_PER_DAY, np.arange(len(times), dtype=np.uint32)))
        for day, rows in days:
            keys = [identity(int(times[row]), sent_ids[row], insert_ids[row]) for row in rows.tolist()]
            numbers[rows] = self._writable(day).register(keys)
        taken: NDArray[np.bool_] = numbers >= 0
        cells = self._encode(properties, taken)
        for day, rows in days:
            kept = rows[taken[rows]]
            if len(kept):
                mine = {name: (tags[kept], data[kept]) for name, (tags, data) in cells.items() if tags[kept].any()}
                part = EventRows(ordinals[kept], times[kept], arrivals[kept], numbers[kept].astype(np.uint32), mine)
                self._writable(day).add(part)
                self._dirty.add(day)
        return taken

    def _encode(self, properties: Sequence[dict[str, Value]], taken: NDArray[np.bool_]) -> dict[str, tuple[Tags, Data]]:
        by_name: dict[str, tuple[list[int], list[Value]]] = {}
        for row in np.flatnonzero(taken).tolist():
            for name, value in properties[row].items():
                places, values = by_name.setdefault(name, ([], []))
                places.append(row)
                values.append(value)
        cells = {}
        for name, (places, values) in by_name.items():
            if name not in self._dictionaries:
                self._dictionaries[name] = (StringTable(), BlobTable())
            tags, data = np.zeros(len(taken), np.uint8), np.zeros(len(taken), np.int64)
            tags[places], data[places] = encode(values, *self._dictionaries[name])
            cells[name] = (tags, data)
        return cells

    def _writable(self, day: int) -> Chunk:
        if day not in self._own:
            found = self._chunks.get(day)
            self._chunks[day] = Chunk() if found is None else found.fork()
            self._own.add(day)
        return self._chunks[day]

    def slice(self, first_ordinal: int, last_ordinal: int, from_micros: int, upto_micros: int) -> EventRows:
        """The events of users first to last with times from `from_micros` to `upto_micros`, all ends included."""
        parts = []
        for day in self.days_between(from_micros - 1, upto_micros):
            rows = self._chunks[day].rows
            rows = rows.take(rows.between_users(first_ordinal, last_ordinal))
            inside = (rows.times >= from_micros) & (rows.times <= upto_micros)
            if inside.any():
                parts.append(rows if inside.all() else rows.take(inside))
        return parts[0] if len(parts) == 1 else concatenate(parts).sorted()

    def between(self, after: int, upto: int) -> tuple[Ordinals, Data]:
        """Ordinals uint32[n] and times int64[n] of the events with a time in (after, upto], by day, then ordinal."""
        ordinals, times = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
        for day in self.days_between(after, upto):
            rows = self._chunks[day].rows
            inside = (rows.times > after) & (rows.times <= upto)
            ordinals.append(rows.ordinals[inside])
            times.append(rows.times[inside])
        return np.concatenate(ordinals), np.concatenate(times)

    def has_user(self, ordinal: int) -> bool:
        """Whether a user has any event here."""
        spans = (chunk.rows.between_users(ordinal, ordinal) for chunk in self._chunks.values())
        return any(span.stop > span.start for span in spans)

    def history(
        self, ordinal: int, upto: int, *, since: int = np.iinfo(np.int64).min
    ) -> list[tuple[int, int, dict[str, Value]]]:
        """Time, arrival (micros) and properties of a user's events, by time, then arrival.

        Arguments:
            since, upto: micros; only events with a time from the one to the other, both included.
        """
        rows = self.slice(ordinal, ordinal, since, upto)
        return list(zip(rows.times.tolist(), rows.arrivals.tolist(), self.properties(rows), strict=True))

    def properties(self, rows: EventRows) -> list[dict[str, Value]]:
        """The properties of each of some rows of this table."""
        found: list[dict[str, Value]] = [{} for _ in range(len(rows))]
        for name in self._dictionaries:
            cells = rows.property(name)
            if cells is not None:
                for item, value in zip(found, decode(*cells, *self._dictionaries[name]), strict=True):
                    if value is not ABSENT:
                        item[name] = value
        return found

    def of_user(self, ordinal: int, upto: int) -> list[dict[str, Value]]:
        """A user's events up to an instant as CEL sees them: properties and `time`, which shadows a property."""
        return [{**properties, "time": from_micros(time)} for time, _, properties in self.history(ordinal, upto)]

    def remap(self, from_ordinal: int, to_ordinal: int) -> int:
        """Give a user's events to another; identities stay. Returns how many. Writer only."""
        moved = 0
        for day in self.days():
            rows = self._chunks[day].rows
            span = rows.between_users(from_ordinal, from_ordinal)
            if span.stop > span.start:
                ordinals = rows.ordinals.copy()
                ordinals[span] = to_ordinal
                changed = EventRows(ordinals, rows.times, rows.arrivals, rows.identities, rows.cells).sorted()
                self._writable(day).put(changed)
                self._dirty.add(day)
                moved += span.stop - span.start
        return moved

    def remove(self, ordinals: Iterable[int]) -> int:
        """Drop users' events and the identities of those. Returns how many events. Writer only."""
        gone = np.unique(np.fromiter(ordinals, np.uint32))
        removed = 0
        for day in self.days():
            kept = ~np.isin(self._chunks[day].rows.ordinals, gone)
            if not kept.all():
                chunk = self._writable(day)
                self._stale_identities[day] = max(self._stale_identities.get(day, 0), chunk.known)
                chunk.keep(kept)
                self._dirty.add(day)
                removed += int((~kept).sum())
        return removed

    def dirty_pages(self) -> Iterator[Page]:
        """Keys of what changed since `clean`, each with a function that gives the page (None = deleted)."""
        for day in self._dirty:
            chunk = self._chunks[day]
            yield key_of(EVENTS, self.name, _ROWS, 0, day), partial(_dump, chunk)
            for page in dictionary_pages(chunk.saved, max(chunk.known, self._stale_identities.get(day, 0))):
                yield key_of(EVENTS, self.name, _IDENTITIES, page, day), partial(_dump_identities, chunk, page)
        if self._saved_names != len(self._dictionaries):
            yield key_of(EVENTS, self.name, _NAMES), partial(pack, list(self._dictionaries))
        for owner, (name, tables) in enumerate(self._dictionaries.items()):
            for what, table, saved in zip((_STRINGS, _BLOBS), tables, self._saved.get(name, (0, 0)), strict=True):
                length = len(table)
                for page in dictionary_pages(saved, length):
                    first, last = page * DICTIONARY_PAGE, min((page + 1) * DICTIONARY_PAGE, length)
                    yield key_of(EVENTS, self.name, what, owner, page), partial(table.dump, first, last)

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        for day in self._dirty:
            chunk = self._writable(day)
            chunk.saved = chunk.known
        self._dirty.clear()
        self._stale_identities.clear()
        self._saved_names = len(self._dictionaries)
        self._saved = {name: (len(texts), len(blobs)) for name, (texts, blobs) in self._dictionaries.items()}

    @property
    def is_clean(self) -> bool:
        """Whether `dirty_pages` gives none."""
        if self._dirty or self._saved_names != len(self._dictionaries):
            return False
        return self._saved == {n: (len(s), len(b)) for n, (s, b) in self._dictionaries.items()}

    def soil(self, frozen: EventTable) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        for day in frozen._dirty:
            chunk = self._writable(day)
            chunk.saved = min(chunk.saved, frozen._chunks[day].saved)
        self._dirty |= frozen._dirty
        for day, count in frozen._stale_identities.items():
            self._stale_identities[day] = max(self._stale_identities.get(day, 0), count)
        self._saved_names = min(self._saved_names, frozen._saved_names)
        self._saved = {n: pair for n, pair in frozen._saved.items() if n in self._dictionaries}

    def load_page(self, what: bytes, owner: int, number: int, page: bytes) -> None:
        """Take one page; pages come in key order, so the names come before the dictionaries."""
        if what == _ROWS:
            self._writable(number).load(page)
        elif what == _IDENTITIES:
            self._writable(number).load_identities(page)
        elif what == _NAMES:
            self._dictionaries = {name: (StringTable(), BlobTable()) for name in unpack(page)}
        elif what in (_STRINGS, _BLOBS) and owner < len(self._dictionaries):
            texts, blobs = list(self._dictionaries.values())[owner]
            (texts if what == _STRINGS else blobs).extend(page)
        else:
            raise StoreError(f"an event page of unknown kind {what!r}", code="STORE_DAMAGED")

    def settle(self) -> None:
        """Check the days against the dictionaries, after loading. Raises StoreError."""
        for chunk in self._chunks.values():
            rows = chunk.rows
            if not rows.cells.keys() <= self._dictionaries.keys() or chunk.known != len(rows):
                raise StoreError(f"pages of the events {self.name!r} do not fit together", code="STORE_DAMAGED")
            for name, cells in rows.cells.items():
                check_codes(*cells, *self._dictionaries[name])
        self.clean()


__all__ = ["Chunk", "EventRows", "EventTable"]
