"""All campaigns of a project: definitions and members. The `apply` of every campaign's step is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Final

import numpy as np
from pyroaring import BitMap

from core.codec import decode, encode
from core.errors import NotFound
from core.messaging.campaign_definitions import CampaignDefined, CampaignDefinition, CampaignStep
from core.messaging.definitions import MessageDefinition
from core.messaging.rows import Pairs

_DEFINITION: Final = b"campaigns/definition/"
_MEMBERS: Final = b"campaigns/members/"


@dataclass(frozen=True, slots=True)
class Membership:
    """Who entered a campaign, and who never will, by reason. Sets are never written in place.

    `control` are the members who are held out of all its messages.
    """

    members: BitMap = field(default_factory=BitMap)
    left_out: Mapping[str, BitMap] = field(default_factory=dict)
    control: BitMap = field(default_factory=BitMap)

    @property
    def closed_to(self) -> BitMap:
        """Whose entry is decided."""
        return BitMap.union(self.members, *self.left_out.values())

    def after(self, merged: Iterable[tuple[int, int]], deleted: BitMap) -> Membership:
        """Followed through merges, (ordinal that goes, ordinal that stays), and deletions.

        Of two members who become one, the side of the one that stays holds.
        """
        members, control = self.members - deleted, self.control - deleted
        left_out = {reason: users - deleted for reason, users in self.left_out.items()}
        for goes, stays in merged:
            if goes in control and stays not in members:
                control.add(stays)
            control.discard(goes)
            for users in (members, *left_out.values()):
                if goes in users:
                    users.discard(goes)
                    users.add(stays)
        return Membership(members, {reason: users - members for reason, users in left_out.items()}, control)


_NOBODY: Final = Membership()


class Campaigns:
    """One version of a project's campaigns; `fork` before writing."""

    def __init__(self) -> None:
        self._definitions: dict[str, CampaignDefinition] = {}
        self._memberships: dict[str, Membership] = {}
        self._dirty: frozenset[str] = frozenset()  # whose definition is
        self._dirty_members: frozenset[str] = frozenset()
        self._arrivals: dict[str, Pairs] = {}  # who entered since the fork
        self._shown: frozenset[str] | None = None

    def fork(self) -> Campaigns:
        """A copy that may be written."""
        twin = Campaigns.__new__(Campaigns)
        twin._definitions, twin._memberships = dict(self._definitions), dict(self._memberships)
        twin._dirty, twin._dirty_members = self._dirty, self._dirty_members
        twin._arrivals = {}
        twin._shown = self._shown
        return twin

    def show(self, keys: Iterable[str] | None) -> None:
        """Enumerate only these campaigns from now on, so that only they are decided; None: all. For simulations."""
        self._shown = None if keys is None else frozenset(keys)

    def get(self, key: str) -> CampaignDefinition:
        """The campaign of that key.

        Raises:
            NotFound: CAMPAIGN_NOT_FOUND, with the nearest key.
        """
        found = self._definitions.get(key)
        if found is None:
            near = get_close_matches(key, self._definitions, 1)
            raise NotFound(
                f"there is no campaign {key!r}",
                field="key",
                mend=f"did you mean {near[0]!r}?" if near else "create it first",
                code="CAMPAIGN_NOT_FOUND",
            )
        return found

    def __contains__(self, key: str) -> bool:
        return key in self._definitions

    def all(self) -> Sequence[CampaignDefinition]:
        """Every campaign, by key."""
        return [
            self._definitions[key] for key in sorted(self._definitions) if self._shown is None or key in self._shown
        ]

    def live(self) -> list[CampaignDefinition]:
        """The live campaigns, in the order of their launches."""
        return sorted((one for one in self.all() if one.state == "live"), key=lambda one: (one.launched_at, one.key))

    def membership(self, key: str) -> Membership:
        """Who entered a campaign, and who never will; of one that never was, nobody."""
        return self._memberships.get(key, _NOBODY)

    def members_at(self, key: str, instant: int) -> BitMap:
        """Who had entered a campaign by an instant of this group's span of time, in micros."""
        members = self.membership(key).members
        ordinals, instants = self.arrivals(key)
        later = ordinals[instants > instant]
        return members - BitMap(later) if len(later) else members

    def arrivals(self, key: str) -> Pairs:
        """Who entered a campaign since this version was forked, and when: ascending by ordinal."""
        return self._arrivals.get(key, (np.zeros(0, np.uint32), np.zeros(0, np.int64)))

    def priority(self, message: MessageDefinition) -> int:
        """A message's place in its campaign's list, from 1 on: the lower goes first. 0 outside of campaigns."""
        return self.get(message.campaign).messages.index(message.key) + 1 if message.campaign else 0

    def apply(self, step: CampaignStep) -> None:
        """Apply a decision."""
        if isinstance(step, CampaignDefined):
            self._definitions[step.definition.key] = step.definition
            self._dirty |= {step.definition.key}
            return
        key, users, present = step.campaign, BitMap(step.ordinals), self.membership(step.campaign)
        if step.left_out:
            reasons = {**present.left_out, step.left_out: present.left_out.get(step.left_out, BitMap()) | users}
            self._memberships[key] = replace(present, left_out=reasons)
        else:
            control = present.control | step.control
            self._memberships[key] = Membership(present.members | users, present.left_out, control)
            known = self.arrivals(key)
            ordinals = np.concatenate([known[0], step.ordinals])
            order = np.argsort(ordinals, kind="stable")
            self._arrivals[key] = ordinals[order], np.concatenate([known[1], step.instants])[order]
        self._dirty_members |= {key}

    def absorb(self, merged: Sequence[tuple[int, int]], deleted: BitMap) -> None:
        """Follow merges, (ordinal that goes, ordinal that stays), and deletions."""
        gone = deleted | BitMap([goes for goes, _ in merged])
        for key, present in self._memberships.items():
            if gone.intersect(present.closed_to):
                self._memberships[key] = present.after(merged, deleted)
                self._dirty_members |= {key}

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`."""
        for key in sorted(self._dirty):
            yield _DEFINITION + key.encode(), encode(self._definitions[key])
        for key in sorted(self._dirty_members):
            found = self._memberships[key]
            yield _MEMBERS + key.encode(), encode([found.members, dict(found.left_out), found.control])

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._dirty = self._dirty_members = frozenset()

    def soil(self, frozen: Campaigns) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty |= frozen._dirty
        self._dirty_members |= frozen._dirty_members

    @classmethod
    def load(cls, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Campaigns:
        """The campaigns of a checkpoint."""
        campaigns = cls()
        for _, page in scan(_DEFINITION):
            definition = decode(page)
            campaigns._definitions[definition.key] = definition
        for name, page in scan(_MEMBERS):
            campaigns._memberships[name.removeprefix(_MEMBERS).decode()] = Membership(*decode(page))
        return campaigns
