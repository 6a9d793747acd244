"""All events of one name: chunks by UTC day, and one pair of dictionaries per property."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.cells import TYPES, Data, Ordinals, Tags, decode, encode
from core.bitmaps.chunk import Chunk, Part
from core.bitmaps.column import Page
from core.bitmaps.event_identity import identities_of
from core.bitmaps.event_order import mark_repeats
from core.bitmaps.event_page import EventPage
from core.bitmaps.event_page_writer import write_page
from core.bitmaps.pagekeys import EVENTS, key_of
from core.bitmaps.rows import EventRows, Places, Texts, concatenate
from core.bitmaps.strings import BlobTable, StringTable
from core.bitmaps.value_sets import by_key
from core.errors import StoreError
from core.values import ABSENT, MICROS_PER_DAY, Value, ValueType, from_micros, pack, unpack

_ROWS, _NAMES, _STRINGS, _BLOBS = b"r", b"n", b"s", b"v"
Dictionaries = tuple[StringTable, BlobTable]


def _dump(chunk: Chunk) -> bytes | None:
    return chunk.dump() if chunk.count else None


def _dense(size: int, places: Places, tags: Tags, data: Data) -> tuple[Tags, Data]:
    """A property's cells for every row of a batch."""
    if len(places) == size:
        return np.ascontiguousarray(tags, np.uint8), np.ascontiguousarray(data, np.int64)
    all_tags, all_data = np.zeros(size, np.uint8), np.zeros(size, np.int64)
    all_tags[places], all_data[places] = tags, data
    return all_tags, all_data


class EventTable:
    """One version of the events of one name. Only a fork that was not published is written to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._chunks: dict[int, Chunk] = {}
        self._own: set[int] = set()
        self._dictionaries: dict[str, Dictionaries] = {}  # in order of first sight, which numbers them in pages
        self._owners: dict[str, int] = {}  # those numbers
        self._saved: dict[str, tuple[int, int]] = {}
        self._saved_names = -1  # how many property names a checkpoint has, -1 where it does not know the table
        self._dirty: set[int] = set()

    def fork(self) -> EventTable:
        """A version to change; days are shared until written."""
        twin = EventTable.__new__(EventTable)
        twin.name = self.name
        twin._chunks, twin._own = dict(self._chunks), set()
        twin._dictionaries, twin._saved = dict(self._dictionaries), dict(self._saved)
        twin._saved_names = self._saved_names
        twin._owners, twin._dirty = dict(self._owners), set(self._dirty)
        return twin

    def gathered(self, users: Ordinals) -> EventTable:
        """The events of some users (uint32[n], ascending, each once) as a table; those of the n-th are of ordinal n.

        It shares dictionaries, has no insert ids, and may not be written to.
        """
        twin = EventTable(self.name)
        twin._dictionaries, twin._owners = self._dictionaries, self._owners
        for day, chunk in self._chunks.items():
            found = chunk.gathered(users)
            if found is not None:
                twin._chunks[day] = found
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

    def number_of(self, name: str) -> int:
        """A property's number in the pages, -2 for one never seen."""
        return self._owners.get(name, -2)

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
            total += chunk.type_counts(self._owners[name])
        return {ValueType(tag): int(total[tag]) for tag in range(1, TYPES) if total[tag]}

    def append(
        self,
        ordinals: Ordinals,
        times: Data,
        arrivals: Data,
        identities: NDArray[np.uint64],
        insert_ids: Texts | None,
        cells: Mapping[str, tuple[Places, Tags, Data]],
    ) -> NDArray[np.bool_]:
        """Store n events; the first copy of (ordinal, time, identity) wins. Writer only.

        Arguments:
            ordinals: uint32[n]; times, arrivals: int64[n], micros UTC.
            identities: uint64[n], see `core.bitmaps.event_identity`.
            insert_ids: a heap, starts uint64[n] and lengths uint32[n] in it, a length of 0 for an event sent without
                one; None where all were.
            cells: of each property the rows that have it (int64[k], ascending), tags uint8[k] and data int64[k], with
                codes of `dictionaries`.

        Returns:
            bool[n]: True = taken, False = a duplicate.

        Raises:
            ValueError: columns of different lengths.
        """
        ordinals = np.ascontiguousarray(ordinals, np.uint32)
        times, arrivals = np.ascontiguousarray(times, np.int64), np.ascontiguousarray(arrivals, np.int64)
        sizes = {len(part) for part in (ordinals, times, arrivals, identities)}
        if len(sizes) != 1:
            raise ValueError(f"event columns of different lengths: {sorted(sizes)}")
        dense = {self._owner(name): _dense(len(ordinals), *column) for name, column in cells.items()}
        days = list(by_key(times // MICROS_PER_DAY, np.arange(len(times), dtype=np.uint32)))
        known = np.zeros(len(times), np.uint8)
        for day, rows in days:
            found = self._chunks.get(day)
            if found is not None:
                known[rows] = found.known(ordinals[rows], times[rows], identities[rows])
        mark_repeats(ordinals, times, identities, known)
        for day, rows in days:
            kept = rows[known[rows] == 0]
            if not len(kept):
                continue
            kept = kept[np.lexsort((arrivals[kept], times[kept], ordinals[kept]))]
            properties = [
                (owner, tags[kept], data[kept]) for owner, (tags, data) in sorted(dense.items()) if tags[kept].any()
            ]
            texts = None if insert_ids is None else (insert_ids[0], insert_ids[1][kept], insert_ids[2][kept])
            page = write_page(ordinals[kept], times[kept], arrivals[kept], identities[kept], texts, properties)
            self._writable(day).add(EventPage(page))
            self._dirty.add(day)
        taken: NDArray[np.bool_] = known == 0
        return taken

    def append_records(
        self,
        ordinals: Ordinals,
        times: Data,
        arrivals: Data,
        sent_ids: Sequence[str],
        insert_ids: Sequence[str],
        properties: Sequence[dict[str, Value]],
    ) -> NDArray[np.bool_]:
        """Store n events whose properties are Python values, as `append` otherwise. Writer only.

        Arguments:
            sent_ids: the id that each event was sent under, "" for Muster's own.
            insert_ids: the insert id of each; "" where there is none to keep.
        """
        sizes = {len(part) for part in (ordinals, sent_ids, insert_ids, properties)}
        if len(sizes) != 1:
            raise ValueError(f"event columns of different lengths: {sorted(sizes)}")
        texts = [text.encode() for text in insert_ids]
        lengths = np.fromiter(map(len, texts), np.uint32, len(texts))
        starts = np.cumsum(lengths, dtype=np.uint64) - lengths
        spans = (b"".join(texts), starts, lengths) if lengths.any() else None
        identities = identities_of(sent_ids, insert_ids)
        return self.append(ordinals, times, arrivals, identities, spans, self._encode(properties))

    def _encode(self, properties: Sequence[dict[str, Value]]) -> dict[str, tuple[Places, Tags, Data]]:
        by_name: dict[str, tuple[list[int], list[Value]]] = {}
        for row, item in enumerate(properties):
            for name, value in item.items():
                places, values = by_name.setdefault(name, ([], []))
                places.append(row)
                values.append(value)
        return {
            name: (np.array(places, np.int64), *encode(values, *self.dictionaries(name)))
            for name, (places, values) in by_name.items()
        }

    def dictionaries(self, name: str) -> Dictionaries:
        """The dictionaries of a property's strings, and of its lists and maps, made at first use. Writer only."""
        self._owner(name)
        return self._dictionaries[name]

    def _owner(self, name: str) -> int:
        """A property's number in the pages."""
        owner = self._owners.get(name)
        if owner is None:
            owner = self._owners[name] = len(self._owners)
            self._dictionaries[name] = (StringTable(), BlobTable())
        return owner

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
            rows = self._chunks[day].between_users(first_ordinal, last_ordinal)
            inside = (rows.times >= from_micros) & (rows.times <= upto_micros)
            if inside.any():
                parts.append(rows if inside.all() else rows.take(inside))
        return parts[0] if len(parts) == 1 else concatenate(parts).sorted()

    def between(self, after: int, upto: int) -> tuple[Ordinals, Data]:
        """Ordinals uint32[n] and times int64[n] of the events with a time in (after, upto], by day."""
        ordinals, times = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
        for day in self.days_between(after, upto):
            for rows in self._chunks[day].between(after, upto):
                ordinals.append(rows.ordinals)
                times.append(rows.times)
        return np.concatenate(ordinals), np.concatenate(times)

    def known(self, ordinals: Ordinals, identities: NDArray[np.uint64], since: int, upto: int) -> NDArray[np.bool_]:
        """Which of n events have a copy with a time from `since` to `upto`, in micros, whatever that time is: bool[n].

        Arguments:
            ordinals: uint32[n]; identities: uint64[n], see `core.bitmaps.event_identity`.
        """
        users = np.unique(ordinals)
        held: set[tuple[int, int]] = set()
        for day in self.days_between(since - 1, upto):
            rows = self._chunks[day].of_users(users)
            inside = (rows.times >= since) & (rows.times <= upto)
            held.update(zip(rows.ordinals[inside].tolist(), rows.identities[inside].tolist(), strict=True))
        return np.array([pair in held for pair in zip(ordinals.tolist(), identities.tolist(), strict=True)], bool)

    def has_user(self, ordinal: int) -> bool:
        """Whether a user has any event here."""
        return any(chunk.has_user(ordinal) for chunk in self._chunks.values())

    def history(
        self, ordinal: int, upto: int, *, since: int = np.iinfo(np.int64).min
    ) -> list[tuple[int, int, dict[str, Value]]]:
        """Time, arrival (micros) and properties of a user's events, by time, then arrival.

        Arguments:
            since, upto: micros; only events with a time from the one to the other, both included.
        """
        rows = self.slice(ordinal, ordinal, since, upto)
        return list(zip(rows.times.tolist(), rows.arrivals.tolist(), self.properties(rows), strict=True))

    def cells(self, rows: EventRows, name: str) -> tuple[Tags, Data] | None:
        """Tags uint8[n] and data int64[n] of a property of some rows of this table; None where none of them has it."""
        owner = self._owners.get(name)
        return None if owner is None else rows.property(owner)

    def properties(self, rows: EventRows) -> list[dict[str, Value]]:
        """The properties of each of some rows of this table."""
        found: list[dict[str, Value]] = [{} for _ in range(len(rows))]
        for name in self._dictionaries:
            cells = self.cells(rows, name)
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
            if self._chunks[day].has_user(from_ordinal):
                moved += self._writable(day).move(from_ordinal, to_ordinal)
                self._dirty.add(day)
        return moved

    def remove(self, ordinals: Iterable[int]) -> int:
        """Drop users' events, which may come again. Returns how many. Writer only."""
        gone = np.unique(np.fromiter(ordinals, np.uint32))
        removed = 0
        for day in self.days():
            if self._chunks[day].has_any(gone):
                removed += len(self._writable(day).remove(gone))
                self._dirty.add(day)
        return removed

    def adopt(self, day: int, saved: Chunk, page: Any) -> None:
        """Use a stored page in place of the memory that it was made from. Writer only.

        Arguments:
            saved: the day's chunk in the version that was saved. What came to the day since stays in memory; where
                its parts were merged with that, the page is of no use and the next checkpoint's will be.
            page: any object with the buffer protocol; kept as long as it is used.

        Raises:
            StoreError: STORE_DAMAGED.
        """
        found = self._chunks.get(day)
        if found is not None and found.parts:
            adopted = found.adopted(saved, EventPage(page))
            if adopted is not None:
                self._chunks[day] = adopted
                self._own.add(day)

    def adopt_saved(self, saved: EventTable, get: Callable[[bytes], Any]) -> None:
        """After a checkpoint of `saved`: use in place all of its pages that still say what is here. Writer only.

        Arguments:
            get: gives the stored page of a key, None where there is none.
        """
        for day in saved._dirty:
            page = get(key_of(EVENTS, self.name, _ROWS, 0, day))
            if page is not None:
                self.adopt(day, saved._chunks[day], page)
        for owner, tables in enumerate(self._dictionaries.values()):
            for what, table in zip((_STRINGS, _BLOBS), tables, strict=True):
                table.adopt(partial(self._stored, get, what, owner))

    def _stored(self, get: Callable[[bytes], Any], what: bytes, owner: int, number: int) -> Any:
        return get(key_of(EVENTS, self.name, what, owner, number))

    def dirty_pages(self) -> Iterator[Page]:
        """Keys of what changed since `clean`, each with a function that gives the page (None = deleted)."""
        for day in self._dirty:
            yield key_of(EVENTS, self.name, _ROWS, 0, day), partial(_dump, self._chunks[day])
        if self._saved_names != len(self._dictionaries):
            yield key_of(EVENTS, self.name, _NAMES), partial(pack, list(self._dictionaries))
        for owner, (name, tables) in enumerate(self._dictionaries.items()):
            for what, table, saved in zip((_STRINGS, _BLOBS), tables, self._saved.get(name, (0, 0)), strict=True):
                for number, dump in table.pages_since(saved):
                    yield key_of(EVENTS, self.name, what, owner, number), dump

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it, or is going to."""
        for day in self._dirty:
            self._writable(day).seal()
        self._dirty.clear()
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
        self._dirty |= frozen._dirty
        self._saved_names = min(self._saved_names, frozen._saved_names)
        self._saved = {n: pair for n, pair in frozen._saved.items() if n in self._dictionaries}

    def load_page(self, what: bytes, owner: int, number: int, page: Any) -> None:
        """Take one page; pages come in key order, so the names come before the dictionaries."""
        if what == _ROWS:
            self._chunks[number] = Chunk((Part(EventPage(page)),))
        elif what == _NAMES:
            self._dictionaries = {name: (StringTable(), BlobTable()) for name in unpack(page)}
            self._owners = {name: owner for owner, name in enumerate(self._dictionaries)}
        elif what in (_STRINGS, _BLOBS) and owner < len(self._dictionaries):
            texts, blobs = list(self._dictionaries.values())[owner]
            (texts if what == _STRINGS else blobs).load_page(number, page)
        else:
            raise StoreError(f"an event page of unknown kind {what!r}", code="STORE_DAMAGED")

    def settle(self) -> None:
        """Check the days against the dictionaries, after loading, by what their pages say of themselves.

        Raises:
            StoreError: STORE_DAMAGED.
        """
        reach = [(len(texts), len(blobs)) for texts, blobs in self._dictionaries.values()]
        for chunk in self._chunks.values():
            if not chunk.fits(reach):
                raise StoreError(f"pages of the events {self.name!r} do not fit together", code="STORE_DAMAGED")
        self.clean()


__all__ = ["Chunk", "EventRows", "EventTable"]
