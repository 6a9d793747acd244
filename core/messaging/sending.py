"""Sending on a call: to named users, now, with data for the templates; or as a test, which counts nowhere.

A user's k-th send is of the message's k-th occurrence, so that a repeated send has a name of its own and the number of
occurrences is that of the sends to one user. What keeps a user from it now is final: nobody gets a password's code next
week. Chance, caps, campaigns and windows have no say; consent and suppression have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from pyroaring import BitMap

from core import commands
from core.errors import FailedPrecondition, InvalidInput, NotFound
from core.messaging.admission import settle_variants
from core.messaging.cause import latest_event
from core.messaging.compiled import Compiled, compile_message
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import Caused, Defined, Selected, lasting
from core.messaging.gates import STANDING, Asked, Stop, matching, through
from core.messaging.keys import TEST, idempotency_key
from core.messaging.rows import at_once
from core.messaging.schedules import OnSend
from core.messaging.work import Work
from core.profiles.identity import NOBODY
from core.values import Value, check_value, pack

MOST_USERS: Final = 1_000
MOST_BYTES: Final = 65_536
NOT_TARGETED: Final = "not_targeted"


def send(work: Work, command: commands.SendMessage) -> commands.SendAnswer:
    """Queue a message for named users, or skip them with the reason.

    Raises:
        NotFound: MESSAGE_NOT_FOUND, USER_NOT_FOUND; FailedPrecondition: NOT_LIVE, NOT_ON_SEND; InvalidInput:
            NO_USERS, TOO_MANY_USERS, DATA_REQUIRED, and for values; with the field.
    """
    definition = work.messages.get(command.key)
    if not command.test:
        _check_sendable(definition)
    compiled = compile_message(work, definition)
    ordinals = _users(work, command.distinct_ids)
    data = _data(command.data, compiled)
    given = {ordinal: _given(work, compiled, ordinal, data, command.test) for ordinal in ordinals}
    if command.test:
        definition = _as_test(work, definition)
        compiled = compile_message(work, definition)
    occurrence_of = _queue(work, definition, compiled, BitMap(ordinals), given)
    return commands.SendAnswer(
        [
            _told(work, definition.key, distinct_id, ordinal, occurrence_of[ordinal])
            for distinct_id, ordinal in zip(command.distinct_ids, ordinals, strict=True)
        ]
    )


def _check_sendable(definition: MessageDefinition) -> None:
    if not definition.on_send:
        raise FailedPrecondition(
            "the message is sent by its own schedule",
            field="key",
            mend="send one whose schedule is on_send; or `muster message test` it",
            code="NOT_ON_SEND",
        )
    if definition.state != "live":
        raise FailedPrecondition(
            f"the message is {definition.state}",
            field="key",
            mend={"draft": "launch it first", "paused": "resume it first"}.get(definition.state, "make a new message"),
            code="NOT_LIVE",
        )


def _users(work: Work, distinct_ids: Sequence[str]) -> list[int]:
    if not distinct_ids:
        raise InvalidInput("nobody is named", field="distinct_ids", mend="one at least", code="NO_USERS")
    if len(distinct_ids) > MOST_USERS:
        raise InvalidInput(
            f"{len(distinct_ids):,} users", field="distinct_ids", mend=f"at most {MOST_USERS:,}", code="TOO_MANY_USERS"
        )
    found = []
    for index, distinct_id in enumerate(distinct_ids):
        ordinal = work.users.find(distinct_id)
        if ordinal == NOBODY or ordinal not in work.population.live:
            raise NotFound(
                f"there is no user {distinct_id!r}",
                field=f"distinct_ids[{index}]",
                mend="ids are case-sensitive; a profile makes a user of one",
                code="USER_NOT_FOUND",
            )
        found.append(ordinal)
    return found


def _data(data: Mapping[str, Value], compiled: Compiled) -> dict[str, Value]:
    for name, value in data.items():
        check_value(value, f"data.{name}")
    if len(pack(dict(data))) > MOST_BYTES:
        raise InvalidInput("too much data", field="data", mend=f"at most {MOST_BYTES:,} bytes", code="DATA_TOO_LARGE")
    for name in sorted(frozenset().union(*(one.content.requires_data for one in compiled.all))):
        if data.get(name) is None:
            raise InvalidInput(
                f"the template needs data.{name}",
                field=f"data.{name}",
                mend='give it, or a default in the template: | default("…")',
                code="DATA_REQUIRED",
            )
    return dict(data)


def _given(work: Work, compiled: Compiled, ordinal: int, data: dict[str, Value], test: bool) -> dict[str, Value]:
    """What the templates read for a user; those of a test that name `event` read the user's latest."""
    if not test or not any(one.content.needs_event for one in compiled.all):
        return data
    return {**(latest_event(work, compiled, ordinal) or {}), **data}


def _as_test(work: Work, definition: MessageDefinition) -> MessageDefinition:
    """The message that stands for another in tests: the same content, and nothing else of it."""
    key = definition.key + TEST
    present = work.messages.get(key) if key in work.messages else None
    made = replace(
        definition,
        key=key,
        targeting="",
        schedule=OnSend(),
        state="live",
        pause_reason="",
        max_recipients=0,
        control_percent=0.0,
        campaign="",
        goal=None,
        most_per_user=0,
        created_at=present.created_at if present is not None else work.now,
        launched_at=present.launched_at if present is not None else work.now,
        paused_at=0,
        revision=present.revision if present is not None else 1,
    )
    if made != present:
        made = replace(made, revision=made.revision + 1)
        work.do(Defined(made))
    return made


def _queue(
    work: Work, definition: MessageDefinition, compiled: Compiled, users: BitMap, given: Mapping[int, dict[str, Value]]
) -> dict[int, int]:
    """Lead users through what may keep them from a message, into the next occurrence of each; these, by user."""
    key = definition.key
    occurrence_of: dict[int, int] = {}
    for occurrence, of_it in work.messages.occurrences(key).next_of(users):
        occurrence_of.update(dict.fromkeys(of_it, occurrence))
        asked = Asked(work, definition, compiled, occurrence, "decide", work.now)
        matched = matching(work, compiled.targeting, of_it, work.now)
        stops = [Stop(NOT_TARGETED, of_it - matched), *through(asked, matched, STANDING)]
        queued = of_it
        for stop in stops:
            if stop.users:
                work.do(
                    Selected(
                        key, "skipped", lasting(stop.reason, at_send=True), *at_once(stop.users, work.now), occurrence
                    )
                )
                queued = queued - stop.users
        if queued:
            settle_variants(work, definition, occurrence, queued)
            work.do(Selected(key, "queued", "", *at_once(queued, work.now), occurrence))
            kept = {ordinal: given[ordinal] for ordinal in queued if given[ordinal]}
            if kept:
                work.do(Caused(key, kept, occurrence))
    return occurrence_of


def _told(work: Work, key: str, distinct_id: str, ordinal: int, occurrence: int) -> commands.SentTo:
    state, reason = work.messages.ledger(key, occurrence).place(ordinal) or ("queued", "")
    name = idempotency_key(work.settings.uid, key, ordinal, occurrence)
    return commands.SentTo(distinct_id, state, reason, occurrence, name)
