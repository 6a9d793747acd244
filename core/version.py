"""One version of a project: everything a reader pins, and the fork that a group changes."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from core.bitmaps.cells import encode as encode_cells
from core.bitmaps.event_identity import identities_of
from core.bitmaps.population import Population
from core.codec import decode, encode, record
from core.errors import StoreError
from core.evaluator.audience import AudienceDeleted, Audiences, AudienceSaved
from core.messaging.book import Messages
from core.messaging.campaign_definitions import JOURNEY_ENTERED, CampaignDefined, CampaignEntered, entry_insert_id
from core.messaging.campaigns import Campaigns
from core.messaging.consent_book import Consent, TopicDeleted, TopicSaved
from core.messaging.effects import Assigned, Caused, Defined, Inboxed, Moved, Noted, Selected
from core.messaging.presence import Crossed
from core.messaging.runs import Fired
from core.messaging.suppressions import AddressesReleased, AddressesSuppressed
from core.messaging.work import Pending
from core.profiles.identity import Users
from core.profiles.steps import (
    EventsAdded,
    EventsReplayed,
    ImportAdvanced,
    ProfilesChanged,
    UserDeleted,
    UsersIssued,
    UsersMerged,
    apply,
)
from core.profiles.touched import Touched
from core.settings import Settings

Scan = Callable[[bytes], Iterator[tuple[bytes, Any]]]
_PROJECT: Final = b"project/"
_PROFILE_STEPS: Final = (
    EventsAdded,
    EventsReplayed,
    ProfilesChanged,
    UsersMerged,
    UserDeleted,
    UsersIssued,
    ImportAdvanced,
)
_MESSAGE_STEPS: Final = (Selected, Moved, Assigned, Defined, Caused, Inboxed, Fired, Crossed)
_CONSENT_STEPS: Final = (AddressesSuppressed, AddressesReleased, TopicSaved, TopicDeleted)


@record("settings_changed")
@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """Step of the log: the project's settings are these now."""

    settings: Settings


@record("clock_moved")
@dataclass(frozen=True, slots=True)
class ClockMoved:
    """Step of the log: the project is at this instant now, in micros.

    `unwatched_since`, in micros: nobody could decide anything from then until `to`, as the server was down or stood
    still; 0 where the clock was followed.
    """

    to: int
    unwatched_since: int = 0


class Version:
    """A project at one position of its log. Published versions never change; `fork` before writing.

    `now` is micros UTC: the instant up to which the project has been decided.
    """

    def __init__(self, settings: Settings, now: int) -> None:
        self.position = 0
        self.now = now
        self.settings = settings
        self.population = Population()
        self.users = Users()
        self.audiences = Audiences()
        self.messages = Messages()
        self.consent = Consent()
        self.campaigns = Campaigns()
        self.imports: dict[str, int] = {}

    def fork(self) -> Draft:
        """A version to change."""
        return Draft(self)

    def seen_at(self, now: int) -> Version:
        """The same data with another instant as the present: nothing was committed in between. For reading only."""
        twin = Version.__new__(Version)
        vars(twin).update(vars(self))
        twin.now = now
        return twin

    def dirty_pages(self, further: Iterable[tuple[bytes, bytes | None]] = ()) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last checkpoint, in key order.

        Arguments:
            further: pages that go with these, in no particular order.
        """
        small = [(_PROJECT + b"state", encode([self.now, self.settings, self.imports]))]
        parts = (self.audiences, self.messages, self.campaigns, self.consent)
        rest = sorted([*small, *(page for part in parts for page in part.dirty_pages()), *further], key=_key)
        return heapq.merge(self.population.dirty_pages(), self.users.dirty_pages(), rest, key=_key)

    @classmethod
    def load(cls, scan: Scan, scan_in_place: Scan, position: int) -> Version:
        """The version that a checkpoint holds.

        Arguments:
            scan: gives pages that are what was written, by a prefix of their keys, in key order.
            scan_in_place: gives pages to point into, of which this is not known.

        Raises:
            StoreError: where the checkpoint lacks the project's state.
        """
        for _, page in scan(_PROJECT):
            now, settings, imports = decode(page)
            version = cls(settings, now)
            version.imports = imports
            version.population = Population.load(scan, scan_in_place)
            version.users = Users.load(scan, scan_in_place)
            version.audiences = Audiences.load(scan)
            version.messages = Messages.load(scan, scan_in_place)
            version.consent = Consent.load(scan)
            version.campaigns = Campaigns.load(scan)
            version.position = position
            return version
        raise StoreError("the checkpoint has no project in it", code="STORE_DAMAGED")


def _key(page: tuple[bytes, bytes | None]) -> bytes:
    return page[0]


class Draft(Version):
    """A fork that a group changes step by step; each step is kept for the log."""

    def __init__(self, base: Version) -> None:
        self.position = base.position
        self.now = base.now
        self.settings = base.settings
        self.population = base.population.fork()
        self.users = base.users.fork()
        self.audiences = base.audiences.fork()
        self.messages = base.messages.fork()
        self.consent = base.consent.fork()
        self.campaigns = base.campaigns.fork()
        self.imports = base.imports
        self.steps: list[object] = []
        self.pending: list[Pending] = []
        self.start_touching()

    def start_touching(self) -> None:
        """Whoever was touched so far is judged: begin to gather anew."""
        self.touched = Touched()
        self.touched_by_import = False
        self._absorbed_merges = self._absorbed_deletions = 0

    def do(self, step: Any) -> Any:
        """Apply a step and keep it for the log. Returns what applying gives."""
        self.steps.append(step)
        return self.apply(step)

    def apply(self, step: Any) -> Any:
        """Apply a step, decided now or recorded before; nothing is decided here."""
        if isinstance(step, _PROFILE_STEPS):
            result = apply(self, step)
            self._absorb()
            return result
        if isinstance(step, _MESSAGE_STEPS):
            self.messages.apply(step)
        elif isinstance(step, _CONSENT_STEPS):
            self.consent.apply(step)
        elif isinstance(step, Noted):
            self._note(step)
        elif isinstance(step, CampaignEntered):
            self.campaigns.apply(step)
            self._note_entry(step)
        elif isinstance(step, CampaignDefined):
            self.campaigns.apply(step)
        elif isinstance(step, AudienceSaved):
            self.audiences.save(step)
        elif isinstance(step, AudienceDeleted):
            self.audiences.delete(step)
        elif isinstance(step, SettingsChanged):
            self.settings = step.settings
        elif isinstance(step, ClockMoved):
            self.now = step.to
        else:
            raise StoreError(f"the log holds a step {type(step).__name__} that cannot be applied", code="STORE_DAMAGED")
        return None

    def _absorb(self) -> None:
        """Let messages and audiences follow merges and deletions at once, before anything else is decided."""
        merged = self.touched.merged[self._absorbed_merges :]
        deleted = self.touched.deleted[self._absorbed_deletions :]
        reissued, self.users.reissued = self.users.reissued, []
        if not merged and not deleted and not reissued:
            return
        self.messages.absorb(self.settings.uid, merged, deleted, reissued)
        gone = BitMap([ordinal for ordinal, _ in deleted])
        self.audiences.absorb(merged, gone)
        self.campaigns.absorb(merged, gone)
        self._absorbed_merges, self._absorbed_deletions = len(self.touched.merged), len(self.touched.deleted)

    def _note(self, step: Noted) -> None:
        """Muster's own events of users; one already noted, by its insert id, is not noted twice."""
        count = len(step.ordinals)
        times = np.full(count, step.at, np.int64) if step.times is None else step.times
        self.population.writable_events(step.name).append_records(
            step.ordinals,
            times,
            np.full(count, self.now, np.int64),
            [""] * count,
            step.insert_ids,
            step.properties,
        )
        live = times >= self.now - self.settings.late_after
        for happened, users in ((True, step.ordinals[live]), (False, step.ordinals[~live])):
            if len(users):
                self.touched.event(step.name, BitMap(users), live=happened)

    def _note_entry(self, step: CampaignEntered) -> None:
        """The event of entering a campaign, of each user at the instant of it."""
        if step.left_out:
            return
        count = len(step.ordinals)
        events = self.population.writable_events(JOURNEY_ENTERED)
        insert_id = entry_insert_id(step.campaign)
        tags, data = encode_cells([step.campaign], *events.dictionaries("campaign_id"))
        size = len(insert_id.encode())
        events.append(
            step.ordinals,
            step.instants,
            step.instants,
            np.repeat(identities_of([""], [insert_id]), count),
            (insert_id.encode(), np.zeros(count, np.uint64), np.full(count, size, np.uint32)),
            {"campaign_id": (np.arange(count), np.repeat(tags, count), np.repeat(data, count))},
        )
        self.touched.event(JOURNEY_ENTERED, BitMap(step.ordinals), live=True)

    def publish(self, position: int) -> Version:
        """The immutable version that this draft becomes once its commit is durable."""
        version = Version.__new__(Version)
        version.position = position
        version.now = self.now
        version.settings = self.settings
        version.population, version.users = self.population, self.users
        version.audiences, version.messages = self.audiences, self.messages
        version.campaigns, version.consent = self.campaigns, self.consent
        version.imports = self.imports
        return version

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint of the version this forks will have it."""
        for part in (self.population, self.users, self.audiences, self.messages, self.campaigns, self.consent):
            part.clean()

    def adopt(self, frozen: Version, get: Callable[[bytes], Any]) -> None:
        """Use in place what a checkpoint of `frozen` wrote and what is still so.

        Arguments:
            get: gives the stored page of a key in place, None where there is none.

        Raises:
            StoreError: where a page is damaged.
        """
        self.population.adopt(frozen.population, get)
        self.users.adopt(get)
        self.messages.adopt(frozen.messages, get)

    def soil(self, frozen: Version) -> None:
        """Mark again what a failed checkpoint of `frozen` had to save."""
        self.population.soil(frozen.population)
        self.users.soil(frozen.users)
        self.audiences.soil(frozen.audiences)
        self.messages.soil(frozen.messages)
        self.consent.soil(frozen.consent)
        self.campaigns.soil(frozen.campaigns)
