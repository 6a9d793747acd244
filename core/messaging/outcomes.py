"""What became of hand-offs, and where that leaves their users: in one place, whoever tells of it."""

from __future__ import annotations

from typing import Final

import numpy as np
from pyroaring import BitMap

from core import commands
from core.messaging.definitions import MessageDefinition, WebhookSource
from core.messaging.dividing import by_variant
from core.messaging.effects import DELETED, ENDED, ONCE, DeliveryState, Moved, Noted, is_open
from core.messaging.keys import idempotency_key, read_key
from core.messaging.work import Work
from core.values import Value

DELIVERED: Final = "$campaign_delivery"
FAILED: Final = "$campaign_failed"
PROVIDER_REFUSED: Final = "provider_refused"


class Word:
    """What workers say became of hand-offs, gathered so that users of one fate move together."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._users: dict[tuple[str, int, commands.Outcome, DeliveryState, str], BitMap] = {}
        self._details: dict[tuple[str, int, int], str] = {}
        self.count = 0

    def take(self, ack: commands.Ack) -> None:
        """Take one acknowledgement, which concerns the attempt that it names and no other.

        Only that something was sent counts whichever attempt it was, and also where its hand-off lost a merge: it has
        reached the person. It is not believed of who waits or was skipped without any attempt that may have been made.
        """
        found = read_key(ack.idempotency_key, self._work.settings.uid)
        if found is None or found[0] not in self._work.messages:
            return
        key, occurrence, named_as = found
        ordinal = self._work.users.survivor(named_as)
        if (key, occurrence, ordinal) in self._details:
            self.record()  # the second word on somebody is heard after the first
        ledger = self._work.messages.ledger(key, occurrence)
        place = ledger.place(ordinal)
        if place is None:
            return
        state, reason = place
        if ack.outcome == "sent":
            possible = ordinal in ledger.doubtful or ordinal in ledger.contested
            counts = state in ("begun", "ambiguous", "failed") or (
                state in ("queued", "deferred", "skipped") and possible
            )
        else:
            named = ledger.known_as(ordinal) == named_as and ledger.attempt(ordinal) == ack.attempt
            settles = ack.outcome == "failed" or (ack.outcome == "not_sent" and ordinal not in ledger.contested)
            counts = named and (state == "begun" or (state == "ambiguous" and settles))
        if counts:
            self._users.setdefault((key, occurrence, ack.outcome, state, reason), BitMap()).add(ordinal)
            self._details[(key, occurrence, ordinal)] = ack.detail if ack.outcome == "failed" else ""
            self.count += 1

    def record(self) -> None:
        """Move everybody gathered, and note what was sent or refused."""
        for (key, occurrence, outcome, state, reason), users in self._users.items():
            if outcome == "ambiguous":
                lose_all(self._work, key, occurrence, users)
            elif outcome == "not_sent":
                _take_back(self._work, key, occurrence, users, state)
            else:
                why = PROVIDER_REFUSED if outcome == "failed" else ""
                self._work.do(Moved(key, users, state, reason, outcome, why, occurrence=occurrence))
                details = [self._details[(key, occurrence, ordinal)] for ordinal in users]
                note(self._work, DELIVERED if outcome == "sent" else FAILED, key, occurrence, list(users), details)
        self._users, self._details = {}, {}


def _returning(work: Work, key: str, occurrence: int, users: BitMap) -> BitMap:
    """Of users whose hand-off began, those who may be handed off to again: the message goes on, they exist, and no
    other hand-off has reached them or may have."""
    if work.messages.get(key).state == "ended":
        return BitMap()
    ledger = work.messages.ledger(key, occurrence)
    return (users & work.population.live) - ledger.marked - ledger.contested


def _take_back(work: Work, key: str, occurrence: int, users: BitMap, source: DeliveryState) -> None:
    """Surely nothing was sent: back to the queue, or, who cannot return, out of it with the reason."""
    ledger = work.messages.ledger(key, occurrence)
    back, contested = _returning(work, key, occurrence, users), users & ledger.contested
    rest = users - back - contested
    deleted = rest - work.population.live
    marked = (rest - deleted) & ledger.marked
    moves: list[tuple[BitMap, DeliveryState, str]] = [
        (back, "queued", ""),
        (contested, "ambiguous", ""),  # another hand-off of theirs may have reached them
        (deleted, "skipped", DELETED),
        (marked, "skipped", ONCE),
        (rest - deleted - marked, "skipped", ENDED),
    ]
    for group, target, reason in moves:
        if group:
            work.do(Moved(key, group, source, "", target, reason, occurrence=occurrence))


def lose_all(work: Work, key: str, occurrence: int, users: BitMap) -> None:
    """What became of hand-offs that began is unknown: they are offered again only if the receiver drops repeated keys."""
    again = _returning(work, key, occurrence, users) if _drops_repeated(work.messages.get(key)) else BitMap()
    if again:
        work.do(Moved(key, again, "begun", "", "queued", "", doubt=True, occurrence=occurrence))
    if users - again:
        work.do(Moved(key, users - again, "begun", "", "ambiguous", "", occurrence=occurrence))


def note(work: Work, name: str, key: str, occurrence: int, ordinals: list[int], details: list[str]) -> None:
    """Note an event of Muster's own for users; those deleted since have no history to put it in."""
    known = [
        (ordinal, detail) for ordinal, detail in zip(ordinals, details, strict=True) if ordinal in work.population.live
    ]
    if not known:
        return
    ledger = work.messages.ledger(key, occurrence)
    about = properties_of(work, key, occurrence)
    variants = _variants(work, key, occurrence, BitMap([ordinal for ordinal, _ in known]))
    work.do(
        Noted(
            name,
            np.array([ordinal for ordinal, _ in known], np.uint32),
            work.now,
            [idempotency_key(work.settings.uid, key, ledger.known_as(ordinal), occurrence) for ordinal, _ in known],
            [
                {**about, **variants.get(ordinal, {}), **({"detail": detail} if detail else {})}
                for ordinal, detail in known
            ],
        )
    )


def _variants(work: Work, key: str, occurrence: int, users: BitMap) -> dict[int, dict[str, Value]]:
    """What events about hand-offs of a message with variants say besides, by user."""
    definition = work.messages.get(key)
    if not definition.variants:
        return {}
    parts = by_variant(work, definition, occurrence, users)
    return {ordinal: {"variant": variant} for variant, of_it in parts for ordinal in of_it}


def properties_of(work: Work, key: str, occurrence: int, ordinal: int | None = None) -> dict[str, Value]:
    """What every event about a hand-off says of it; of a user's, also the variant."""
    definition = work.messages.get(key)
    about: dict[str, Value] = {"message_id": key, "message_type": definition.channel, "occurrence": occurrence}
    if definition.campaign:
        about["campaign_id"] = definition.campaign
    if ordinal is not None:
        about |= _variants(work, key, occurrence, BitMap([ordinal])).get(ordinal, {})
    return about


def _drops_repeated(definition: MessageDefinition) -> str:
    """The URL of a receiver that drops what comes under the same idempotency key once more; "" for any other."""
    contents = [definition.content, *(variant.content for variant in definition.variants)]
    urls = {one.url if isinstance(one, WebhookSource) and one.idempotent else "" for one in contents}
    return urls.pop() if len(urls) == 1 else ""


def repeat_only_to_who_drops(work: Work, before: MessageDefinition, now: MessageDefinition) -> None:
    """A content was edited: whoever waits for a repetition does so no longer if the receiver is another now."""
    if _drops_repeated(before) in ("", _drops_repeated(now)):
        return
    for occurrence, ledger in work.messages.occurrences(now.key).active():
        queued = ledger.state("queued") & ledger.doubtful
        if queued:
            work.do(Moved(now.key, queued, "queued", "", "ambiguous", "", occurrence=occurrence))
        for reason, skipped in ledger.reasons("skipped"):
            users = skipped & ledger.doubtful
            if users and is_open(reason):
                work.do(Moved(now.key, users, "skipped", reason, "skipped", ONCE, occurrence=occurrence))
