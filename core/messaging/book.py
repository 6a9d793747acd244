"""All messages of a project: definitions, occurrences, the inbox. The `apply` of every messaging effect is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple

from pyroaring import BitMap

from core.codec import decode, encode
from core.errors import NotFound
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import (
    DELETED,
    Assigned,
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
from core.messaging.occurrences import FIRST, Occurrences
from core.messaging.presence import Crossed
from core.messaging.runs import Fired
from core.messaging.schedules import WhenMet
from core.values import MICROS_PER_SECOND, pack, unpack

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BEGUN: Final = b"messages/begun"
_DEFINITION: Final = b"messages/definition/"


class Begun(NamedTuple):
    """Hand-offs of a message that began at an instant, in micros."""

    at: int
    key: str
    channel: str
    users: int


class Messages:
    """One version of a project's messages.

    Attributes:
        begun: the hand-offs that began within the last second before the newest of them.
    """

    def __init__(self) -> None:
        self._definitions: dict[str, MessageDefinition] = {}
        self._occurrences: dict[str, Occurrences] = {}
        self._owned: set[str] = set()
        self._dirty: frozenset[str] = frozenset()
        self._marks = Marks()
        self._inbox = Inbox()
        self._shown: frozenset[str] | None = None
        self.begun: tuple[Begun, ...] = ()
        self._begun_saved = True

    def fork(self) -> Messages:
        """A copy that may be written; occurrences are copied when first written."""
        twin = Messages.__new__(Messages)
        twin._definitions = self._definitions
        twin._occurrences = dict(self._occurrences)
        twin._owned = set()
        twin._dirty = self._dirty
        twin._marks = self._marks.fork()
        twin._inbox = self._inbox.fork()
        twin._shown = self._shown
        twin.begun, twin._begun_saved = self.begun, self._begun_saved
        return twin

    def show(self, keys: Iterable[str] | None) -> None:
        """Enumerate only these messages from now on, so that only they are decided; None: all again. For simulations."""
        self._shown = None if keys is None else frozenset(keys)

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
        return [
            self._definitions[key] for key in sorted(self._definitions) if self._shown is None or key in self._shown
        ]

    def every(self) -> Sequence[MessageDefinition]:
        """Every message, by key, those that `show` hides included: what they sent counts, whoever looks."""
        return [self._definitions[key] for key in sorted(self._definitions)]

    def live(self) -> list[MessageDefinition]:
        """The live messages, in the order of their launches."""
        return sorted((m for m in self.all() if m.state == "live"), key=lambda m: (m.launched_at, m.key))

    def ledger(self, key: str, occurrence: int = FIRST) -> Ledger:
        """The ledger of an occurrence of a message, for reading; that of one that never was is empty."""
        return self._occurrences[key].ledger(occurrence)

    def occurrences(self, key: str) -> Occurrences:
        """All occurrences of a message, for reading."""
        return self._occurrences[key]

    @property
    def written(self) -> frozenset[str]:
        """The messages whose ledgers this version wrote to, since it was forked."""
        return frozenset(self._owned)

    def _writable(self, key: str) -> Occurrences:
        if key not in self._owned:
            self._occurrences[key] = self._occurrences[key].fork()
            self._owned.add(key)
        return self._occurrences[key]

    def apply(self, effect: Selected | Moved | Assigned | Defined | Caused | Inboxed | Fired | Crossed) -> None:
        """Apply a decision."""
        if isinstance(effect, Selected):
            self._writable(effect.key).write(effect.occurrence, lambda ledger: ledger.select(effect))
        elif isinstance(effect, Moved):
            if effect.target == "begun" and effect.at:
                self._remember(effect)
            self._writable(effect.key).write(effect.occurrence, lambda ledger: ledger.move(effect))
        elif isinstance(effect, Assigned):
            self._writable(effect.key).write(effect.occurrence, lambda ledger: ledger.assign(effect))
        elif isinstance(effect, Caused):
            self._writable(effect.key).write(effect.occurrence, lambda ledger: ledger.keep_causes(effect))
        elif isinstance(effect, Fired):
            self._writable(effect.key).runs.add(effect)
        elif isinstance(effect, Crossed):
            self._writable(effect.key).presence.apply(effect)
        elif isinstance(effect, Defined):
            key = effect.definition.key
            self._definitions = {**self._definitions, key: effect.definition}
            self._dirty |= {key}
            if key not in self._occurrences:
                self._occurrences[key] = Occurrences()
                self._owned.add(key)
        else:
            self._inbox.apply(effect)

    def _remember(self, effect: Moved) -> None:
        """Keep how many began of late, which bounds how many may begin next."""
        kept = tuple(one for one in self.begun if one.at > effect.at - MICROS_PER_SECOND)
        channel = self._definitions[effect.key].channel
        self.begun = (*kept, Begun(effect.at, effect.key, channel, len(effect.users)))
        self._begun_saved = False

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
        merged = list(merged)
        for key, definition in self._definitions.items() if merged or deleted else ():
            if isinstance(definition.schedule, WhenMet):
                self._writable(key).presence.absorb(merged, BitMap([ordinal for ordinal, _ in deleted]))
        for goes, stays in merged:
            for key, occurrence in list(self._with(BitMap([goes]))):
                self._writable(key).write(occurrence, lambda ledger: ledger.unite(goes, stays))  # noqa: B023
        for ordinal, distinct_ids in deleted:
            self._marks.keep(project_uid, distinct_ids, list(self._had(ordinal)))
        if deleted:
            gone = BitMap([ordinal for ordinal, _ in deleted])
            for key, occurrence in list(self._with(gone)):
                self._skip_deleted(key, occurrence, gone)
        for ordinal, distinct_id in reissued if self._marks else ():
            for key, occurrence in self._marks.of(project_uid, distinct_id):
                self._writable(key).write(occurrence, lambda ledger: ledger.mark(ordinal))  # noqa: B023

    def _with(self, users: BitMap) -> Iterator[tuple[str, int]]:
        """The occurrences of messages in which any of some users was selected, or is marked."""
        for key, occurrences in self._occurrences.items():
            if users.intersect(occurrences.ever):
                for number, ledger in occurrences.all():
                    if users.intersect(ledger.selected) or users.intersect(ledger.marked):
                        yield key, number

    def _had(self, ordinal: int) -> Iterator[tuple[str, int]]:
        """Occurrences that a user has had, or will never get; not those that were still waiting."""
        for key, number in self._with(BitMap([ordinal])):
            ledger = self.ledger(key, number)
            reached = ordinal in ledger.marked or ordinal in ledger.doubtful or ordinal in ledger.contested
            if reached or (ordinal in ledger.selected and not ledger.waits(ordinal)):
                yield key, number

    def _skip_deleted(self, key: str, occurrence: int, deleted: BitMap) -> None:
        ledger = self.ledger(key, occurrence)
        for state in (*WAITING, "skipped"):
            for reason, present in ledger.reasons(state):
                users = present & deleted
                if users and (state != "skipped" or is_open(reason)):
                    self.apply(Moved(key, users, state, reason, "skipped", DELETED, occurrence=occurrence))

    @property
    def inbox(self) -> Inbox:
        """What a sandbox did not send, for reading."""
        return self._inbox

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`; None = deleted."""
        for key in sorted(self._dirty):
            yield _DEFINITION + key.encode(), encode(self._definitions[key])
        for key in sorted(self._occurrences):
            yield from self._occurrences[key].dirty_pages(key)
        if not self._begun_saved:
            yield _BEGUN, pack([list(one) for one in self.begun])
        yield from self._marks.dirty_pages()
        yield from self._inbox.dirty_pages()

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it. The version must not be one that readers hold."""
        self._dirty = frozenset()
        self._inbox.clean()
        self._marks.clean()
        self._begun_saved = True
        for key, occurrences in list(self._occurrences.items()):
            if not occurrences.is_clean:
                self._writable(key).clean()

    def soil(self, frozen: Messages) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty |= frozen._dirty
        self._inbox.soil(frozen._inbox)
        self._marks.soil(frozen._marks)
        self._begun_saved = self._begun_saved and frozen._begun_saved
        for key, occurrences in frozen._occurrences.items():
            if not occurrences.is_clean:
                self._writable(key).soil(occurrences)

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
            messages._occurrences[definition.key] = Occurrences.load(definition.key, scan)
        messages._inbox = Inbox.load(scan, scan_in_place)
        for _, page in scan(_BEGUN):
            messages.begun = tuple(Begun(*one) for one in unpack(page))
        return messages
