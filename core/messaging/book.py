"""All messages of a project: definitions, ledgers, the inbox. The `apply` of every messaging effect is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from core.codec import decode, encode
from core.errors import NotFound
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import (
    DELETED,
    Caused,
    Defined,
    Inboxed,
    Moved,
    Selected,
    is_open,
)
from core.messaging.inbox import Inbox
from core.messaging.ledger import WAITING, Ledger
from core.messaging.marks import Marks

if TYPE_CHECKING:
    from typing_extensions import Buffer

_DEFINITION: Final = b"messages/definition/"
_LEDGER: Final = b"messages/ledger/"


class Messages:
    """One version of a project's messages."""

    def __init__(self) -> None:
        self._definitions: dict[str, MessageDefinition] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._owned: set[str] = set()
        self._dirty: frozenset[str] = frozenset()
        self._marks = Marks()
        self._inbox = Inbox()

    def fork(self) -> Messages:
        """A copy that may be written; ledgers are copied when first written."""
        twin = Messages.__new__(Messages)
        twin._definitions = self._definitions
        twin._ledgers = dict(self._ledgers)
        twin._owned = set()
        twin._dirty = self._dirty
        twin._marks = self._marks.fork()
        twin._inbox = self._inbox.fork()
        return twin

    def get(self, key: str) -> MessageDefinition:
        """The message of that key.

        Raises:
            NotFound: MESSAGE_NOT_FOUND, with the nearest key.
        """
        found = self._definitions.get(key)
        if found is None:
            near = get_close_matches(key, self._definitions, 1)
            raise NotFound(
                f"there is no message {key!r}",
                field="key",
                mend=f"did you mean {near[0]!r}?" if near else "create it first",
                code="MESSAGE_NOT_FOUND",
            )
        return found

    def __contains__(self, key: str) -> bool:
        return key in self._definitions

    def all(self) -> Sequence[MessageDefinition]:
        """Every message, by key."""
        return [self._definitions[key] for key in sorted(self._definitions)]

    def live(self) -> list[MessageDefinition]:
        """The live messages, in the order of their launches."""
        return sorted(
            (m for m in self._definitions.values() if m.state == "live"), key=lambda m: (m.launched_at, m.key)
        )

    def ledger(self, key: str) -> Ledger:
        """The ledger of a message, for reading."""
        return self._ledgers[key]

    def _writable(self, key: str) -> Ledger:
        if key not in self._owned:
            self._ledgers[key] = self._ledgers[key].fork()
            self._owned.add(key)
        return self._ledgers[key]

    def apply(self, effect: Selected | Moved | Defined | Caused | Inboxed) -> None:
        """Apply a decision."""
        if isinstance(effect, Selected):
            self._writable(effect.key).select(effect)
        elif isinstance(effect, Moved):
            self._writable(effect.key).move(effect)
        elif isinstance(effect, Caused):
            self._writable(effect.key).keep_causes(effect)
        elif isinstance(effect, Defined):
            key = effect.definition.key
            self._definitions = {**self._definitions, key: effect.definition}
            self._dirty |= {key}
            if key not in self._ledgers:
                self._ledgers[key] = Ledger()
                self._owned.add(key)
        else:
            self._inbox.apply(effect)

    def absorb(
        self,
        project_uid: str,
        merged: Iterable[tuple[int, int]],
        deleted: Sequence[tuple[int, list[str]]],
        reissued: Iterable[tuple[int, str]],
    ) -> None:
        """Follow what became of users: ledgers unite, who is gone is not waited for, and once stays once.

        Arguments:
            project_uid: the key of the marks.
            merged: (ordinal that goes, ordinal that stays).
            deleted: (ordinal, ids that it had).
            reissued: (ordinal, id freed by a deletion that is an id of it now).
        """
        for goes, stays in merged:
            for key, ledger in list(self._ledgers.items()):
                if goes in ledger.selected or goes in ledger.marked:
                    self._writable(key).unite(goes, stays)
        for ordinal, distinct_ids in deleted:
            self._marks.keep(project_uid, distinct_ids, list(self._had(ordinal)))
        if deleted:
            gone = BitMap([ordinal for ordinal, _ in deleted])
            for key, ledger in list(self._ledgers.items()):
                if gone.intersect(ledger.selected):
                    self._skip_deleted(key, gone)
        for ordinal, distinct_id in reissued if self._marks else ():
            for key in self._marks.of(project_uid, distinct_id):
                self._writable(key).mark(ordinal)

    def _had(self, ordinal: int) -> Iterator[str]:
        """Messages that a user has had, or will never get; not those that were still waiting."""
        for key, ledger in self._ledgers.items():
            reached = ordinal in ledger.marked or ordinal in ledger.doubtful or ordinal in ledger.contested
            if reached or (ordinal in ledger.selected and not ledger.waits(ordinal)):
                yield key

    def _skip_deleted(self, key: str, deleted: BitMap) -> None:
        ledger = self._writable(key)
        for state in WAITING:
            users = ledger.state(state) & deleted
            if users:
                ledger.move(Moved(key, users, state, "", "skipped", DELETED))
        for reason, skipped in ledger.reasons("skipped"):
            users = skipped & deleted
            if users and is_open(reason):
                ledger.move(Moved(key, users, "skipped", reason, "skipped", DELETED))

    @property
    def inbox(self) -> Inbox:
        """What a sandbox did not send, for reading."""
        return self._inbox

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`; None = deleted."""
        for key in sorted(self._dirty):
            yield _DEFINITION + key.encode(), encode(self._definitions[key])
        for key in sorted(self._ledgers):
            yield from self._ledgers[key].dirty_pages(_LEDGER + key.encode())
        yield from self._marks.dirty_pages()
        yield from self._inbox.dirty_pages()

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it. The version must not be one that readers hold."""
        self._dirty = frozenset()
        self._inbox.clean()
        self._marks.clean()
        for key, ledger in list(self._ledgers.items()):
            if not ledger.is_clean:
                self._writable(key).clean()

    def soil(self, frozen: Messages) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty |= frozen._dirty
        self._inbox.soil(frozen._inbox)
        self._marks.soil(frozen._marks)
        for key, ledger in frozen._ledgers.items():
            self._writable(key).soil(ledger)

    def adopt(self, frozen: Messages, get: Callable[[bytes], Buffer | None]) -> None:
        """After a checkpoint of `frozen`: use in place what it wrote. `get` gives the stored page of a key."""
        self._inbox.adopt(frozen._inbox, get)

    @classmethod
    def load(
        cls,
        scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]],
        scan_in_place: Callable[[bytes], Iterator[tuple[bytes, Buffer]]],
    ) -> Messages:
        """The messages of a checkpoint.

        Arguments:
            scan: gives pages that are what was written, by a prefix of their keys, in key order.
            scan_in_place: gives pages to point into, of which this is not known.
        """
        messages = cls()
        messages._marks = Marks.load(scan)
        for _, page in scan(_DEFINITION):
            definition = decode(page)
            messages._definitions[definition.key] = definition
            messages._ledgers[definition.key] = Ledger.load(_LEDGER + definition.key.encode(), scan)
        messages._inbox = Inbox.load(scan, scan_in_place)
        return messages
