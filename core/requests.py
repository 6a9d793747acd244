"""Answers already given, by request id, so that a repeated request within 24 hours answers as the first did.

Only the writer looks here, so there is one table and not one a version: what a group adds stays apart until its
commit is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from core.codec import decode, encode
from core.values import MICROS_PER_SECOND

KEPT: Final = 24 * 3600 * MICROS_PER_SECOND
MAX_REQUEST_ID_BYTES: Final = 255
_PREFIX: Final = b"requests/"


class Requests:
    """request id → (micros of the project's clock, command and answer encoded), oldest first."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[int, bytes]] = {}
        self._pending: dict[str, tuple[int, bytes]] = {}
        self._dirty: dict[str, None] = {}

    def find(self, request_id: str, now: int) -> tuple[str, Any] | None:
        """The command that a request id came with and its answer; None where it is new or too long ago."""
        entry = self._pending.get(request_id) or self._answers.get(request_id)
        if entry is None or entry[0] + KEPT < now:
            return None
        command, answer = decode(entry[1])
        return command, answer

    def add(self, request_id: str, at: int, command: str, answer: Any) -> None:
        """Note an answer of the group at work."""
        self._pending[request_id] = (at, encode([command, answer]))

    def discard(self) -> None:
        """The group failed: forget what it added."""
        self._pending.clear()

    def absorb(self, now: int) -> None:
        """The group is durable: keep what it added, let go of what is too old."""
        for request_id, entry in self._pending.items():
            self._answers.pop(request_id, None)
            self._answers[request_id] = entry
            self._dirty[request_id] = None
        self._pending.clear()
        old = []
        for request_id, (at, _) in self._answers.items():
            if at + KEPT >= now:
                break
            old.append(request_id)
        for request_id in old:
            del self._answers[request_id]
            self._dirty[request_id] = None

    def take_dirty(self) -> dict[bytes, bytes | None]:
        """Pages that changed since the last call. Writer only."""
        pages: dict[bytes, bytes | None] = {}
        for request_id in self._dirty:
            entry = self._answers.get(request_id)
            pages[_PREFIX + request_id.encode()] = None if entry is None else encode(list(entry))
        self._dirty = {}
        return pages

    def soil(self, pages: dict[bytes, bytes | None]) -> None:
        """Mark again what a failed checkpoint took."""
        for key in pages:
            self._dirty[key[len(_PREFIX) :].decode()] = None

    @classmethod
    def load(cls, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Requests:
        """The table of a checkpoint."""
        requests = cls()
        entries = []
        for key, page in scan(_PREFIX):
            at, answer = decode(page)
            entries.append((at, key[len(_PREFIX) :].decode(), answer))
        for at, request_id, answer in sorted(entries):
            requests._answers[request_id] = (at, answer)
        return requests
