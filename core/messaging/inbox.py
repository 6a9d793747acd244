"""The inbox of a sandbox: what it did not send, the newest so many, in parts that stand in the store's pages.

Entries are numbered in the order in which they came. Some hundreds that follow one another are a part, compressed and
never changed again. After a checkpoint a part is used in place, so that only what came since is in memory.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from core.errors import StoreError
from core.messaging.effects import Inboxed, InboxEntry
from core.values import pack, unpack

if TYPE_CHECKING:
    from typing_extensions import Buffer

_STATE: Final = b"messages/inbox/state"
_PARTS: Final = b"messages/inbox/part/"
_MOST_ENTRIES: Final = 512
_MOST_CHARACTERS: Final = 1 << 18
"""Of a part: reading one entry costs reading its part. A part has one entry, however long that is."""
_LEVEL: Final = 1
"""Of zlib. A webhook's entry of 226 bytes takes 64, its index included, and 3.5 us; with level 6, 57 and 5.8."""
_INDEX_BYTES: Final = struct.Struct("<I")
_FIELDS: Final = tuple(field.name for field in fields(InboxEntry))
_TEXTS: Final = ("to", "subject", "html", "text", "url", "body")

Numbered = tuple[int, InboxEntry]


@dataclass(frozen=True, slots=True)
class Part:
    """Entries first … end - 1. The page: bytes of the index, the index (message keys, distinct ids), all entries."""

    first: int
    end: int
    page: Buffer

    @classmethod
    def of(cls, first: int, entries: Sequence[InboxEntry]) -> Part:
        """Entries as a part of which the first has that number."""
        index = pack([[entry.message_key for entry in entries], [entry.distinct_id for entry in entries]])
        rows = pack([[getattr(entry, name) for name in _FIELDS] for entry in entries])
        page = b"".join((_INDEX_BYTES.pack(len(index)), index, zlib.compress(rows, _LEVEL)))
        return cls(first, first + len(entries), page)

    def entries(self) -> list[InboxEntry]:
        """All of them.

        Raises:
            StoreError: STORE_DAMAGED.
        """
        view = memoryview(self.page)
        start = self._index_end(view)
        try:
            return self._whole([InboxEntry(*row) for row in unpack(zlib.decompress(view[start:]))])
        except (zlib.error, ValueError, TypeError) as error:
            raise self._damaged() from error

    def matching(self, message_key: str, distinct_id: str) -> list[int]:
        """Numbers of the entries of a message and a user ("": of any), ascending.

        Raises:
            StoreError: STORE_DAMAGED.
        """
        if not message_key and not distinct_id:
            return list(range(self.first, self.end))
        view = memoryview(self.page)
        try:
            keys, ids = unpack(bytes(view[_INDEX_BYTES.size : self._index_end(view)]))
        except (ValueError, TypeError) as error:
            raise self._damaged() from error
        pairs = zip(self._whole(keys), self._whole(ids), strict=True)
        return [
            number
            for number, (key, of) in enumerate(pairs, self.first)
            if message_key in ("", key) and distinct_id in ("", of)
        ]

    def _index_end(self, view: memoryview) -> int:
        if len(view) < _INDEX_BYTES.size:
            raise self._damaged()
        return _INDEX_BYTES.size + int(_INDEX_BYTES.unpack(view[: _INDEX_BYTES.size])[0])

    def _whole(self, found: list[Any]) -> list[Any]:
        if len(found) != self.end - self.first:
            raise self._damaged()
        return found

    def _damaged(self) -> StoreError:
        return StoreError(
            f"the inbox's entries {self.first} to {self.end - 1} are not readable",
            mend="restore a backup",
            code="STORE_DAMAGED",
        )


class Inbox:
    """One version of a project's inbox; `fork` before writing.

    Attributes:
        first: number of the oldest entry kept: so many were let go of.
        end: number that the next entry gets.
    """

    def __init__(self) -> None:
        self.first = self.end = 0
        self._parts: tuple[Part, ...] = ()
        # Only ever appended to, by the newest fork: each version sees its own length of the shared list.
        self._tail: list[InboxEntry] = []
        self._tail_first = 0
        self._tail_characters = 0
        self._saved_first = self._saved_end = 0
        self._gone: frozenset[int] = frozenset()  # parts, by their first numbers, that a checkpoint may have

    def fork(self) -> Inbox:
        """A copy that may be written."""
        twin = Inbox.__new__(Inbox)
        twin.__dict__.update(self.__dict__)
        return twin

    def __len__(self) -> int:
        return self.end - self.first

    def __iter__(self) -> Iterator[InboxEntry]:
        """All entries kept, oldest first."""
        return (entry for _, entry in self.since(self.first))

    def first_kept(self, coming: int, limit: int) -> int:
        """Number of the oldest entry that is kept once so many more came, where no more than `limit` are kept."""
        return max(self.first, self.end + coming - limit)

    def since(self, number: int) -> Iterator[Numbered]:
        """Entries with their numbers, oldest first, from a number on."""
        start = max(number, self.first)
        for part in self._parts:
            if part.end > start:
                yield from ((at, entry) for at, entry in enumerate(part.entries(), part.first) if at >= start)
        for at in range(max(start, self._tail_first), self.end):
            yield at, self._tail[at - self._tail_first]

    def newest(self, message_key: str, distinct_id: str, before: int) -> Iterator[Numbered]:
        """Entries of a message and a user ("": of any) with numbers below `before`, newest first; a part at a time.

        Raises:
            StoreError: STORE_DAMAGED.
        """
        for part, numbers in self._found(message_key, distinct_id, before):
            entries = self._tail if part is None else part.entries()
            first = self._tail_first if part is None else part.first
            yield from ((number, entries[number - first]) for number in reversed(numbers))

    def count(self, message_key: str, distinct_id: str) -> int:
        """How many entries of a message and a user ("": of any) are kept.

        Raises:
            StoreError: STORE_DAMAGED.
        """
        if not message_key and not distinct_id:
            return len(self)
        return sum(len(numbers) for _, numbers in self._found(message_key, distinct_id, self.end))

    def _found(self, message_key: str, distinct_id: str, before: int) -> Iterator[tuple[Part | None, list[int]]]:
        """Parts that hold what is sought with the numbers there, newest first; None for what is no part yet."""
        numbers = [
            at
            for at in range(max(self.first, self._tail_first), min(before, self.end))
            if message_key in ("", self._tail[at - self._tail_first].message_key)
            and distinct_id in ("", self._tail[at - self._tail_first].distinct_id)
        ]
        if numbers:
            yield None, numbers
        for part in reversed(self._parts):
            if part.first < before:
                numbers = [n for n in part.matching(message_key, distinct_id) if self.first <= n < before]
                if numbers:
                    yield part, numbers

    def apply(self, effect: Inboxed) -> None:
        """Take entries in, and let go of those before `effect.first`."""
        del self._tail[self.end - self._tail_first :]  # left by a discarded fork
        for entry in effect.entries:
            self._tail.append(entry)
            self._tail_characters += sum(len(getattr(entry, name)) for name in _TEXTS)
            self.end += 1
            if len(self._tail) >= _MOST_ENTRIES or self._tail_characters >= _MOST_CHARACTERS:
                self._parts += (Part.of(self._tail_first, self._tail),)
                self._tail, self._tail_first, self._tail_characters = [], self.end, 0
        self.first = max(self.first, effect.first)
        if self._parts and self._parts[0].end <= self.first:
            gone = [part for part in self._parts if part.end <= self.first]
            self._gone |= {part.first for part in gone if part.first < self._saved_end}
            self._parts = self._parts[len(gone) :]

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`; None = deleted."""
        if (self.first, self.end) != (self._saved_first, self._saved_end):
            yield _STATE, pack([self.first, self.end, self._tail_first])
        for number in sorted(self._gone):
            yield _key(number), None
        for part in self._parts:
            if part.end > self._saved_end:
                yield _key(part.first), bytes(part.page)
        if self.end > max(self._saved_end, self._tail_first):
            entries = self._tail[: self.end - self._tail_first]
            yield _key(self._tail_first), bytes(Part.of(self._tail_first, entries).page)

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it. The version must not be one that readers hold."""
        self._saved_first, self._saved_end, self._gone = self.first, self.end, frozenset()

    def soil(self, frozen: Inbox) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._saved_first = min(self._saved_first, frozen._saved_first)
        self._saved_end = min(self._saved_end, frozen._saved_end)
        self._gone |= frozen._gone

    def adopt(self, frozen: Inbox, get: Callable[[bytes], Buffer | None]) -> None:
        """After a checkpoint of `frozen`: use in place the parts that it wrote.

        Arguments:
            get: gives the stored page of a key, None where there is none.
        """
        parts = list(self._parts)
        for place, part in enumerate(parts):
            page = get(_key(part.first)) if frozen._saved_end < part.end <= frozen.end else None
            if page is not None:
                parts[place] = Part(part.first, part.end, page)
        self._parts = tuple(parts)

    @classmethod
    def load(
        cls,
        scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]],
        scan_in_place: Callable[[bytes], Iterator[tuple[bytes, Buffer]]],
    ) -> Inbox:
        """The inbox of a checkpoint.

        Arguments:
            scan: gives pages that are what was written, by a prefix of their keys, in key order.
            scan_in_place: gives pages to point into, of which this is not known.

        Raises:
            StoreError: STORE_DAMAGED, for the newest entries; older ones are looked at when they are read.
        """
        inbox = cls()
        for _, state in scan(_STATE):
            inbox.first, inbox.end, inbox._tail_first = unpack(state)
        pages = [(int.from_bytes(key[len(_PARTS) :], "big"), page) for key, page in scan_in_place(_PARTS)]
        ends = [*(number for number, _ in pages[1:]), inbox.end]
        parts = [Part(number, end, page) for (number, page), end in zip(pages, ends, strict=False)]
        if parts and parts[-1].first == inbox._tail_first:
            inbox._tail = parts.pop().entries()
            inbox._tail_characters = sum(len(getattr(entry, name)) for entry in inbox._tail for name in _TEXTS)
        inbox._parts = tuple(parts)
        inbox.clean()
        return inbox


def _key(first: int) -> bytes:
    return _PARTS + first.to_bytes(8, "big")
