"""In-app messages: what waits for a user to be shown, and what the user did with it.

Nobody hands them off: the app asks for them, and *sent* means shown. The gates that other channels pass at leave to
begin are passed here whenever the app asks: who does not pass is shown nothing, and waits on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from pyroaring import BitMap

from core.commands import Feedback, FeedbackKind, InAppReport, InAppTaken, ReportInApp, TakeFeedback
from core.errors import InvalidInput
from core.evaluator.match import Row, match
from core.evaluator.parse import Parsed, parse
from core.messaging import feedback
from core.messaging.compiled import compile_message
from core.messaging.definitions import MessageDefinition, of_variant
from core.messaging.dividing import by_variant
from core.messaging.effects import ENDED, EXPIRED, NO_LONGER_MATCHES, Moved, Noted
from core.messaging.gates import MATCH, STANDING, Asked, through
from core.messaging.in_app_source import ANY_EVENT, DisplayTrigger, InAppSource
from core.messaging.keys import read_key
from core.messaging.outcomes import DELIVERED, properties_of
from core.messaging.render import HandOff, is_allowed, render_users
from core.messaging.work import View, Work
from core.profiles.identity import NOBODY
from core.profiles.records import MAX_BATCH, MAX_ID_BYTES
from core.render.results import RenderedInApp
from core.values import MICROS_PER_DAY, Value, from_micros, utf8_length

SESSION: Final = "session_id"
"""The property of a `$campaign_delivery` that names the session in which an in-app message was shown."""

LONGEST_SESSION: Final = MICROS_PER_DAY
"""What was shown longer ago, in micros, was not shown in a session that goes on."""

MOST_WAITING: Final = 100
"""A user is told of so many messages at once."""

_LEFT_THE_QUEUE: Final = (EXPIRED, NO_LONGER_MATCHES, ENDED)
"""Reasons for which somebody who waited waits no more; what an app had fetched before may be shown all the same."""

_MEANS: Final[dict[str, tuple[FeedbackKind, ...]]] = {
    "shown": (),
    "clicked": ("opened", "clicked"),
    "dismissed": ("dismissed",),
}
_LONGEST_LINK: Final = 2_000


@dataclass(frozen=True, slots=True)
class Event:
    """An event that the user has just had, for triggers; it is not stored by this."""

    name: str
    properties: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that may be shown; `expires` is micros."""

    id: str
    message_key: str
    occurrence: int
    content: RenderedInApp
    triggers: list[DisplayTrigger]
    expires: int


@dataclass(frozen=True, slots=True)
class Shelf:
    """What waits for a user, in the order in which it is to be shown.

    `remaining` is how many more may be shown in the session; None: no limit.
    """

    messages: list[Waiting]
    remaining: int | None


def waits(view: View, distinct_id: str) -> bool:
    """Whether any in-app message waits for a user, whatever its gates say. Quick."""
    ordinal = view.users.find(distinct_id)
    return ordinal != NOBODY and any(True for _ in _queued(view, ordinal))


def shelf(view: View, distinct_id: str, session_id: str = "", event: Event | None = None) -> Shelf:
    """What may be shown to a user now.

    Arguments:
        distinct_id: one that nobody has, so far, has nothing waiting.
        session_id: the app's name of its session; "": no session, and so no limit of one.
        event: give those only that wait for such an event; None: those without triggers, and, for apps that look at
            triggers themselves, after them those with some.

    Returns:
        The longest waiting first; of the runs of a message only the last. Without an event, what has no triggers
        is cut to what remains for the session.
    """
    ordinal = view.users.find(distinct_id)
    if ordinal == NOBODY:
        return Shelf([], None)
    limit = view.settings.in_app_per_session if session_id else 0
    remaining = max(0, limit - _shown_in(view, ordinal, session_id)) if limit else None
    found = sorted(
        (since, definition.key, definition, occurrence)
        for definition, occurrence, since in _queued(view, ordinal)
        if view.now <= since + definition.expiry
    )
    at_once: list[Waiting] = []
    triggered: list[Waiting] = []
    for since, _, definition, occurrence in found[:MOST_WAITING]:
        triggers = _triggers(view, definition, occurrence, ordinal)
        if event is not None and not any(fits(trigger, event, view.now) for trigger in triggers):
            continue
        one = _waiting(view, definition, occurrence, ordinal, since, triggers)
        if one is not None:
            (triggered if triggers else at_once).append(one)
    if remaining is not None:
        at_once = at_once[:remaining]
        triggered = triggered[:remaining] if event is not None or not remaining else triggered
    return Shelf([*at_once, *triggered], remaining)


def _queued(view: View, ordinal: int) -> Iterator[tuple[MessageDefinition, int, int]]:
    """Live in-app messages that wait for a user: each with the number of an occurrence and since when.

    Of several runs of a message the last; of what is sent on a call every one, each having data of its own.
    """
    for definition in view.messages.live():
        if not isinstance(definition.content, InAppSource):
            continue
        ledgers = dict(view.messages.occurrences(definition.key).active())
        waiting = [occurrence for occurrence, ledger in ledgers.items() if ordinal in ledger.state("queued")]
        for occurrence in waiting if definition.on_send else waiting[-1:]:
            yield definition, occurrence, ledgers[occurrence].joined_at(ordinal)


def _triggers(view: View, definition: MessageDefinition, occurrence: int, ordinal: int) -> list[DisplayTrigger]:
    """The triggers of what a user is shown: those of the user's variant."""
    ((variant, _),) = by_variant(view, definition, occurrence, BitMap([ordinal]))
    source = of_variant(definition, variant).content
    assert isinstance(source, InAppSource)
    return source.triggers


def _waiting(
    view: View,
    definition: MessageDefinition,
    occurrence: int,
    ordinal: int,
    since: int,
    triggers: list[DisplayTrigger],
) -> Waiting | None:
    """The message as the user may be shown it now; None where a gate stops it, or it cannot be rendered."""
    compiled = compile_message(view, definition)
    asked = Asked(view, definition, compiled, occurrence, "leave", view.now)
    if through(asked, BitMap([ordinal]), (*MATCH, *STANDING)):
        return None
    (found,) = render_users(view, definition, compiled, [ordinal], occurrence=occurrence)
    if not isinstance(found, HandOff) or found.in_app is None:
        return None
    if view.settings.sandbox and not is_allowed(view, found):
        return None
    return Waiting(found.idempotency_key, definition.key, occurrence, found.in_app, triggers, since + definition.expiry)


def _shown_in(view: View, ordinal: int, session_id: str) -> int:
    """How many in-app messages a user was shown in a session."""
    table = view.population.events(DELIVERED)
    if table is None:
        return 0
    recent = table.history(ordinal, view.now, since=view.now - LONGEST_SESSION)
    return sum(properties.get(SESSION) == session_id for _, _, properties in recent)


@lru_cache(maxsize=4096)
def _parsed(trigger: DisplayTrigger) -> Parsed:
    name = json.dumps(trigger.event, ensure_ascii=False)
    return parse(f"events[{name}].exists(e, {trigger.condition}\n)")


def fits(trigger: DisplayTrigger, event: Event, now: int) -> bool:
    """Whether an event at an instant, in micros, lets a message be shown."""
    if trigger.event not in (event.name, ANY_EVENT):
        return False
    if not trigger.condition:
        return True
    happened = {"time": from_micros(now), **event.properties}
    return bool(match(_parsed(trigger), Row({}, {trigger.event: [happened]}, now)))


def report(work: Work, command: ReportInApp) -> InAppTaken:
    """Take what apps say of in-app messages: shown is sent, and each is an event of the user.

    That it was shown is believed of whoever was to be shown it, also if that is over by now: it has been seen.

    Raises:
        InvalidInput: BATCH_TOO_LARGE, ID_TOO_LONG, TEXT_TOO_LONG.
    """
    _check(command.reports)
    shown: dict[tuple[str, int, str, str], dict[int, InAppReport]] = {}
    seen: set[tuple[str, int, int]] = set()
    told: list[list[Feedback]] = []
    fresh = unknown = 0
    for one in command.reports:
        found = read_key(one.idempotency_key, work.settings.uid)
        if found is None or found[0] not in work.messages or work.messages.get(found[0]).channel != "in_app":
            unknown += 1
            continue
        key, occurrence, named_as = found
        ordinal = work.users.survivor(named_as)
        place = work.messages.ledger(key, occurrence).place(ordinal)
        state, reason = ("", "") if place is None else (str(place[0]), place[1])
        if (key, occurrence, ordinal) not in seen and _may_be_shown(state, reason):
            shown.setdefault((key, occurrence, state, reason), {})[ordinal] = one
            seen.add((key, occurrence, ordinal))
            fresh += one.action == "shown"
        elif state != "sent" and (key, occurrence, ordinal) not in seen:
            unknown += 1
            continue
        told.append([Feedback(kind, one.idempotency_key, url=_link_of(kind, one)) for kind in _MEANS[one.action]])
    for (key, occurrence, state, reason), users in shown.items():
        _show(work, key, occurrence, state, reason, users)
    said = [one for group in told for one in group if one.kind != "opened"]
    opened = [one for group in told for one in group if one.kind == "opened"]
    for first in range(0, len(opened), MAX_BATCH):
        feedback.take(work, TakeFeedback(opened[first : first + MAX_BATCH]))
    accepted = fresh + (feedback.take(work, TakeFeedback(said)).accepted if said else 0)
    return InAppTaken(accepted, len(command.reports) - accepted - unknown, unknown)


def _check(reports: Sequence[InAppReport]) -> None:
    if len(reports) > MAX_BATCH:
        raise InvalidInput(
            f"{len(reports)} reports in one batch",
            field="reports",
            mend=f"send at most {MAX_BATCH} at once",
            code="BATCH_TOO_LARGE",
        )
    for number, one in enumerate(reports):
        for name, text, most in (
            ("id", one.idempotency_key, MAX_ID_BYTES),
            ("session_id", one.session_id, MAX_ID_BYTES),
            ("link", one.link, _LONGEST_LINK),
        ):
            place = f"reports[{number}].{name}"
            if utf8_length(text, place) > most:
                code = "TEXT_TOO_LONG" if name == "link" else "ID_TOO_LONG"
                raise InvalidInput(f"over {most} bytes", field=place, mend=f"at most {most} bytes", code=code)


def _may_be_shown(state: str, reason: str) -> bool:
    return state == "queued" or (state == "skipped" and reason in _LEFT_THE_QUEUE)


def _link_of(kind: str, said: InAppReport) -> str:
    return said.link if kind == "clicked" else ""


def _show(work: Work, key: str, occurrence: int, state: str, reason: str, users: dict[int, InAppReport]) -> None:
    """Users were shown a message: it is sent, and an event of each who is not deleted."""
    moved = BitMap(users)
    if state == "queued":
        work.do(Moved(key, moved, "queued", "", "begun", "", occurrence=occurrence))
        work.do(Moved(key, moved, "begun", "", "sent", "", occurrence=occurrence))
    else:
        work.do(Moved(key, moved, "skipped", reason, "sent", "", occurrence=occurrence))
    known = sorted(moved & work.population.live)
    if known:
        about = properties_of(work, key, occurrence)
        work.do(
            Noted(
                DELIVERED,
                np.array(known, np.uint32),
                work.now,
                [users[ordinal].idempotency_key for ordinal in known],
                [
                    {**about, SESSION: users[ordinal].session_id} if users[ordinal].session_id else about
                    for ordinal in known
                ],
            )
        )
