"""What stands between a message and a user: one list of gates, in order, for whoever asks.

A judgement, leave to begin, an explanation and a preview run the same gates. A gate looks at many users at once and
names those that it stops, with the reason for the ledger; the others pass. To add one, write its `stops` and its words
and put it into `GATES` at its place; its reasons get their words in `reasons.py`, and `effects.OPEN_REASONS` where they
may pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from pyroaring import BitMap

from core.evaluator.bind import bind
from core.evaluator.parse import Parsed
from core.messaging import consent, once_per_address
from core.messaging.address_index import address_kind
from core.messaging.campaign_compiled import compile_campaign
from core.messaging.caps import Counted, caps_of, gap_of
from core.messaging.cause import Stirred, causes_of
from core.messaging.compiled import Compiled
from core.messaging.definitions import MessageDefinition
from core.messaging.dividing import by_variant, control_percent_of, sides
from core.messaging.effects import (
    BACKFILLED,
    EXITED,
    FREQUENCY_CAP,
    MISSING_EVENT,
    MISSING_PROPERTY,
    NO_LONGER_MATCHES,
    QUIET_HOURS,
    RATE_LIMIT,
    SEND_WINDOW,
    UNREACHABLE,
)
from core.messaging.groups import GHOSTS
from core.messaging.reasons import describe
from core.messaging.rows import Pairs, by_value, inside
from core.messaging.schedules import Asap
from core.messaging.windows import SendWindow, opening
from core.messaging.work import View
from core.messaging.zones import users_by_zone
from core.values import Value

Moment = Literal["decide", "again", "release", "leave", "ask"]
"""When gates are asked: as users are selected, as they are judged again, as timing gates let them go, at leave to begin,
or by somebody curious."""

Kind = Literal["selecting", "standing", "group", "timing"]
"""What a gate's answer hangs on: whether a user is selected at all; what is known of the user and the message; a group
that the user belongs to, whose members are led on and in the end sent nothing; or, besides, the instant and what the
user gets otherwise. Timing gates may defer."""


Limit = tuple[int, int, Callable[[MessageDefinition], bool]]
"""At most so many deliveries in any span, in micros, of the messages that count."""


@dataclass(slots=True)
class Asked:
    """Users of one occurrence of a message whom gates are asked about.

    `now` is the instant of asking in micros, one for all or one for each user. `stirred` holds what happened at that
    instant, where it was read for several messages. Gates leave their findings in `causes`
    (the event that made each user match). `counted`: what the users were sent of late, where that is known already.
    """

    view: View
    definition: MessageDefinition
    compiled: Compiled
    occurrence: int
    moment: Moment
    now: int | Pairs
    stirred: Stirred | None = None
    causes: dict[int, dict[str, Value]] = field(default_factory=dict)
    counted: Counted | None = None

    def pairs(self, users: BitMap) -> Pairs:
        """Each of some users with the instant of asking, ascending by ordinal: uint32[n], int64[n]."""
        ordinals = np.array(users.to_array(), np.uint32)
        if isinstance(self.now, int):
            return ordinals, np.full(len(ordinals), self.now, np.int64)
        kept = inside(self.now[0], users)
        order = np.argsort(self.now[0][kept], kind="stable")
        return self.now[0][kept][order], self.now[1][kept][order]


@dataclass(frozen=True, slots=True)
class Stop:
    """Users whom a gate stops: skipped for a reason, or, with `due` in micros, deferred until then."""

    reason: str
    users: BitMap
    due: int = 0


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate.

    Arguments:
        name: its code in explanations.
        kind: what its answer hangs on.
        stops: whom of the users it stops; sets are disjoint and among the users given.
        passing: what it means to pass, in words.
        stopping: why it stops the one user asked about, in words.
        concerns: whether a message has anything to do with it; of any other it is not told.
    """

    name: str
    kind: Kind
    stops: Callable[[Asked, BitMap], list[Stop]]
    passing: Callable[[Asked], str]
    stopping: Callable[[Asked, Stop], str]
    concerns: Callable[[View, MessageDefinition], bool] = lambda _view, _definition: True


def matching(view: View, parsed: Parsed, among: BitMap | None, now: int | Pairs) -> BitMap:
    """The users among those given (None: all) for whom an expression is true."""
    return bind(parsed, view.population).select(view.population, among=among, now=now)


def through(asked: Asked, users: BitMap, gates: Iterable[Gate]) -> list[Stop]:
    """Lead users through gates: whom each stops, of those whom none before it stopped."""
    found: list[Stop] = []
    for gate in gates:
        if not users:
            break
        for stop in gate.stops(asked, users):
            if stop.users:
                found.append(stop)
                users = users - stop.users
    return found


def stopped(stops: Sequence[Stop]) -> BitMap:
    """All users of some stops."""
    return BitMap.union(*(stop.users for stop in stops)) if stops else BitMap()


def _live(asked: Asked, users: BitMap) -> list[Stop]:
    return [] if asked.definition.state == "live" else [Stop("live", users)]


def _state(asked: Asked) -> str:
    why = f" ({asked.definition.pause_reason})" if asked.definition.pause_reason else ""
    return f"the message is {asked.definition.state}{why}"


def _of_campaign(_: View, definition: MessageDefinition) -> bool:
    return bool(definition.campaign)


def _leavable(view: View, definition: MessageDefinition) -> bool:
    return bool(definition.campaign and view.campaigns.get(definition.campaign).exit)


def _entered(asked: Asked, users: BitMap) -> list[Stop]:
    if not asked.definition.campaign:
        return []
    return [Stop("entered", users - asked.view.campaigns.membership(asked.definition.campaign).members)]


def _entered_words(asked: Asked, stop: Stop) -> str:
    campaign = asked.definition.campaign
    for reason, users in asked.view.campaigns.membership(campaign).left_out.items():
        if stop.users <= users:
            return f"was left out of the campaign {campaign!r}: {describe(reason)}"
    return f"has not entered the campaign {campaign!r}"


def _exited(asked: Asked, users: BitMap) -> list[Stop]:
    if not _leavable(asked.view, asked.definition):
        return []
    leaving = compile_campaign(asked.view, asked.view.campaigns.get(asked.definition.campaign)).exit
    if leaving is None:
        return []
    now = asked.now if isinstance(asked.now, int) else asked.pairs(users)
    return [Stop(EXITED, matching(asked.view, leaving, users, now))]


def _match(asked: Asked, users: BitMap) -> list[Stop]:
    return [Stop(NO_LONGER_MATCHES, users - matching(asked.view, asked.compiled.targeting, users, asked.now))]


def _once(asked: Asked, users: BitMap) -> list[Stop]:
    ledger = asked.view.messages.ledger(asked.definition.key, asked.occurrence)
    fresh = ledger.open_to(users)
    return [
        Stop("once", users - fresh),
        Stop("most_per_user", fresh & had_enough(asked.view, asked.definition, asked.occurrence)),
    ]


def had_enough(view: View, definition: MessageDefinition, occurrence: int) -> BitMap:
    """Whom a message has reached as often as it may, in other occurrences than one."""
    most = definition.most_per_user
    return view.messages.occurrences(definition.key).reached(most, besides=occurrence) if most else BitMap()


def _once_words(asked: Asked, stop: Stop) -> str:
    if stop.reason == "most_per_user":
        return f"other occurrences reached the user {asked.definition.most_per_user} times, the most for one"
    ledger = asked.view.messages.ledger(asked.definition.key, asked.occurrence)
    place = ledger.place(stop.users.min())
    if place is None:
        return "an id of this user had it before its user was deleted"
    once = "once ever" if isinstance(asked.definition.schedule, Asap) else "once in each occurrence"
    why = f": {place[1]}" if place[1] else ""
    return f"selected before ({place[0]}{why}), and this message selects {once}"


def _backfilled(asked: Asked, users: BitMap) -> list[Stop]:
    ledger = asked.view.messages.ledger(asked.definition.key, asked.occurrence)
    return [Stop(BACKFILLED, users & skipped) for reason, skipped in ledger.reasons("skipped") if reason == BACKFILLED]


def _reachable(asked: Asked, users: BitMap) -> list[Stop]:
    return [Stop(UNREACHABLE, users - matching(asked.view, asked.compiled.reachable, users, asked.view.now))]


def _properties(asked: Asked, users: BitMap) -> list[Stop]:
    found: dict[str, BitMap] = {}
    for key, rest in by_variant(asked.view, asked.definition, asked.occurrence, users):
        for name, parsed in asked.compiled.of(key).needs.items():
            having = matching(asked.view, parsed, rest, asked.view.now)
            found[name] = found.get(name, BitMap()) | (rest - having)
            rest = having
    return [Stop(f"{MISSING_PROPERTY}:{name}", lacking) for name, lacking in found.items()]


def _event(asked: Asked, users: BitMap) -> list[Stop]:
    """Of new matches only: the event that caused one is kept with it."""
    needed = any(one.content.needs_event for one in asked.compiled.all)
    if asked.moment != "decide" or not needed or not asked.definition.by_match:
        return []
    asked.causes = causes_of(asked.view, asked.compiled, asked.pairs(users), asked.stirred)
    lacking = users - BitMap(list(asked.causes))
    return [
        Stop(MISSING_EVENT, of_it)
        for key, of_it in by_variant(asked.view, asked.definition, asked.occurrence, lacking)
        if asked.compiled.of(key).content.requires_event
    ]


def has_groups(view: View, definition: MessageDefinition) -> bool:
    """Whether anybody is, or may come to be, held out of a message."""
    occurrences = view.messages.occurrences(definition.key).all()
    if definition.on_send:
        return False
    if definition.campaign and view.campaigns.membership(definition.campaign).control:
        return True
    percent = control_percent_of(view, definition) or view.settings.holdout_percent
    return bool(percent) or any(ledger.groups() for _, ledger in occurrences)


def _group(asked: Asked, users: BitMap) -> list[Stop]:
    """Who is held out: as it was decided, or, of whoever was not let through yet, as it would be."""
    ledger = asked.view.messages.ledger(asked.definition.key, asked.occurrence)
    placed = ledger.groups()
    decided = users & (ledger.selected - (ledger.state("skipped") - ledger.let_through))
    fresh = sides(asked.view, asked.definition, users - decided)
    return [Stop(name, (decided & placed.get(name, BitMap())) | fresh[name]) for name in sorted(GHOSTS)]


def _consent(asked: Asked, users: BitMap) -> list[Stop]:
    return [Stop(reason, of) for reason, of in consent.blocked(asked.view, asked.definition, users)]


def _has_addresses(_: View, definition: MessageDefinition) -> bool:
    return address_kind(definition.channel) is not None


def _by_address(_: View, definition: MessageDefinition) -> bool:
    return once_per_address.is_on(definition)


def _address(asked: Asked, users: BitMap) -> list[Stop]:
    leaving = asked.moment == "leave"
    found = once_per_address.stops(asked.view, asked.definition, users, asked.pairs, leaving=leaving)
    return [Stop(reason, of) for reason, of in found]


def _window_stops(reason: str, window: SendWindow | None, asked: Asked, users: BitMap) -> list[Stop]:
    """Whom a window is closed for, until it opens where they live."""
    found: list[Stop] = []
    if window is None:
        return found
    for zone, here in users_by_zone(asked.view, users):
        ordinals, instants = asked.pairs(here)
        dues = opening(window, zone, instants)
        late = dues > instants
        found += [Stop(reason, some, due) for due, some in by_value(ordinals[late], dues[late])]
    return found


def _send_window(asked: Asked, users: BitMap) -> list[Stop]:
    return _window_stops(SEND_WINDOW, asked.definition.send_window, asked, users)


def _quiet_hours(asked: Asked, users: BitMap) -> list[Stop]:
    quiet = asked.definition.quiet_hours
    return _window_stops(QUIET_HOURS, None if quiet is None else quiet.rest, asked, users)


def _waits(asked: Asked, users: BitMap, reason: str, limits: Sequence[Limit]) -> list[Stop]:
    """Whom limits keep waiting, until the last of them lets go."""
    if asked.moment == "leave" or not limits:
        return []
    ordinals, instants = asked.pairs(users)
    if asked.counted is None:
        asked.counted = Counted(asked.view, users, int(instants.min()) - max(span for _, span, _ in limits))
    ledger = asked.view.messages.ledger(asked.definition.key, asked.occurrence)
    ghosts, firing = users & ledger.held_back, (asked.definition.key, asked.occurrence)
    dues = instants
    for most, span, counts in limits:
        dues = np.maximum(dues, asked.counted.waits((ordinals, instants), ghosts, counts, most, span, firing))
    late = dues > instants
    return [Stop(reason, some, due) for due, some in by_value(ordinals[late], dues[late])]


def _frequency_caps(asked: Asked, users: BitMap) -> list[Stop]:
    limits = [
        (cap.most, cap.span, lambda one, channel=cap.channel: channel in ("", one.channel))
        for cap in caps_of(asked.view, asked.definition)
    ]
    return _waits(asked, users, FREQUENCY_CAP, limits)


def _rate_limit(asked: Asked, users: BitMap) -> list[Stop]:
    gap, campaign = gap_of(asked.view, asked.definition), asked.definition.campaign
    return _waits(asked, users, RATE_LIMIT, [(1, gap, lambda one: one.campaign == campaign)] if gap else [])


def _lacking(_: Asked, stop: Stop) -> str:
    return f"lacks {stop.reason.partition(':')[2]}"


def _described(_: Asked, stop: Stop) -> str:
    return describe(stop.reason)


def _says(text: str) -> Callable[[Asked], str]:
    return lambda _: text


GATES: Final[tuple[Gate, ...]] = (
    Gate("live", "selecting", _live, _state, lambda asked, _: _state(asked)),
    Gate(
        "entered",
        "selecting",
        _entered,
        lambda asked: f"entered the campaign {asked.definition.campaign!r}",
        _entered_words,
        _of_campaign,
    ),
    Gate(
        "match",
        "selecting",
        _match,
        _says("the targeting matches now"),
        lambda _asked, _stop: "the targeting does not match now",
    ),
    Gate("once", "selecting", _once, _says("not selected before"), _once_words),
    Gate("backfilled", "selecting", _backfilled, _says("no import or late event decided it"), _described),
    Gate("exited", "standing", _exited, _says("the campaign's exit does not hold"), _described, _leavable),
    Gate(
        "reachable",
        "standing",
        _reachable,
        lambda asked: f"can be reached by {asked.definition.channel}",
        lambda asked, _: f"cannot be reached by {asked.definition.channel}",
    ),
    Gate("properties", "standing", _properties, _says("has all that the template needs"), _lacking),
    Gate("event", "standing", _event, _says("the template lacks no event"), _described),
    Gate("consent", "standing", _consent, _says("neither unsubscribed nor suppressed"), _described, _has_addresses),
    Gate("address", "standing", _address, _says("nobody else of this address has it"), _described, _by_address),
    Gate("group", "group", _group, _says("in no control group or holdout"), _described, has_groups),
    Gate(
        "send_window",
        "timing",
        _send_window,
        _says("the send window is open where the user lives"),
        _described,
        lambda _, definition: definition.send_window is not None and not definition.on_send,
    ),
    Gate(
        "quiet_hours",
        "timing",
        _quiet_hours,
        _says("no quiet hours where the user lives"),
        _described,
        lambda _, definition: definition.quiet_hours is not None and not definition.on_send,
    ),
    Gate(
        "frequency_caps",
        "timing",
        _frequency_caps,
        _says("the project's frequency caps leave room"),
        _described,
        lambda view, definition: bool(caps_of(view, definition)),
    ),
    Gate(
        "rate_limit",
        "timing",
        _rate_limit,
        _says("no other message of the campaign too short a time ago"),
        _described,
        lambda view, definition: bool(gap_of(view, definition)),
    ),
)
"""All gates, in the order in which they are asked."""

MATCH: Final = tuple(gate for gate in GATES if gate.name == "match")
STANDING: Final = tuple(gate for gate in GATES if gate.kind == "standing")
CONSENT: Final = tuple(gate for gate in GATES if gate.name in ("consent", "address"))
ADDRESS: Final = tuple(gate for gate in GATES if gate.name == "address")
TIMING: Final = tuple(gate for gate in GATES if gate.kind == "timing")


def concerning(view: View, definition: MessageDefinition) -> list[Gate]:
    """The gates that a message has to do with, in their order."""
    return [gate for gate in GATES if gate.concerns(view, definition)]


def is_timed(view: View, definition: MessageDefinition) -> bool:
    """Whether when a message goes out hangs on more than the instant at which a user is let through."""
    return any(gate.concerns(view, definition) for gate in TIMING)
