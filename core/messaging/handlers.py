"""Answers the commands that concern messages and audiences: checks first, then hands decisions to the group."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pyroaring import BitMap

from core import commands
from core.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound, StaleEtag
from core.messaging import feedback
from core.messaging.admission import MAX_RECIPIENTS, judge_queue_again, leave, rejudge
from core.messaging.campaign_definitions import check_message_of_campaign
from core.messaging.compiled import (
    Compiled,
    compile_message,
    refuse_data_without_send,
    refuse_event_in_schedule,
    refuse_unknown_time,
)
from core.messaging.consent import refuse_unknown_topic
from core.messaging.definitions import MessageDefinition, changed, check_definition
from core.messaging.devices import removed_by
from core.messaging.effects import (
    ENDED,
    MATCHED_AT_LAUNCH,
    Defined,
    DeliveryState,
    Inboxed,
    InboxEntry,
    Moved,
    lasting,
)
from core.messaging.firings import Homes, due
from core.messaging.judge import judge_everybody, settle_runs
from core.messaging.keys import read_key
from core.messaging.launches import check_times, fire_at_launch
from core.messaging.linking import refuse_missing_links
from core.messaging.outcomes import DELIVERED, Word, lose_all, note, repeat_only_to_who_drops
from core.messaging.render import unchanged
from core.messaging.schedules import settled
from core.messaging.work import View, Work
from core.profiles.identity import NOBODY
from core.profiles.records import MAX_BATCH

OPERATOR: Final = "operator"


def _etag(given: str, present: str, field: str) -> None:
    if given and given != present:
        raise StaleEtag(
            "it changed since it was read", field=field, mend="read it again, then repeat the change", code="STALE_ETAG"
        )


def create(work: Work, command: commands.CreateMessage) -> MessageDefinition:
    """Create a draft.

    Raises:
        InvalidInput and its kinds: with the field; AlreadyExists: MESSAGE_EXISTS.
    """
    definition = replace(
        command.definition,
        state="draft",
        pause_reason="",
        created_at=work.now,
        launched_at=0,
        fired_at=0,
        paused_at=0,
        divided_at=0,
        revision=1,
        campaign="",
    )
    check_definition(definition)
    if definition.key in work.messages:
        raise AlreadyExists(
            f"there is a message {definition.key!r}",
            field="message.key",
            mend="take another key",
            code="MESSAGE_EXISTS",
        )
    refuse_unknown_topic(work, definition)
    compiled = compile_message(work, definition)
    refuse_event_in_schedule(compiled, definition)
    refuse_data_without_send(compiled, definition)
    work.do(Defined(definition))
    return definition


def update(work: Work, command: commands.UpdateMessage) -> MessageDefinition:
    """Change fields of a message.

    Raises:
        NotFound, StaleEtag, InvalidInput and its kinds.
    """
    present = work.messages.get(command.key)
    _etag(command.etag, present.etag, "message.etag")
    fresh = changed(present, command.changes)
    if fresh.pause_reason == MAX_RECIPIENTS and fresh.max_recipients != present.max_recipients:
        fresh = replace(fresh, pause_reason=OPERATOR)  # the limit it paused at is no more
    if present.launched_at and _shares(fresh) != _shares(present):
        fresh = replace(fresh, divided_at=work.now)
    refuse_unknown_topic(work, fresh)
    if fresh.campaign:
        check_message_of_campaign(fresh, "message")
    compiled = compile_message(work, fresh)
    refuse_event_in_schedule(compiled, fresh)
    refuse_data_without_send(compiled, fresh)
    work.do(Defined(fresh))
    repeat_only_to_who_drops(work, present, fresh)
    return fresh


def _shares(definition: MessageDefinition) -> tuple[float, dict[str, float]]:
    """How users are divided into groups."""
    return definition.control_percent, {variant.key: variant.percent for variant in definition.variants}


def check_launch(
    view: View, key: str, etag: str = "", *, asked_only: bool = False, of_campaign: bool = False
) -> Compiled:
    """The working parts of a draft that may be launched now.

    Arguments:
        asked_only: nothing is launched, and what a launch must be told may be left unsaid.
        of_campaign: it is its campaign that asks, which alone may launch it.

    Raises:
        NotFound: MESSAGE_NOT_FOUND; StaleEtag; FailedPrecondition: NOT_A_DRAFT, OF_CAMPAIGN, LINKS_NOT_SET; InvalidInput:
            SCHEDULE_IN_PAST, PAST_REQUIRED; InvalidExpression: TIME_USE_UNKNOWN.
    """
    present = view.messages.get(key)
    _etag(etag, present.etag, "etag")
    if present.state != "draft":
        raise FailedPrecondition(
            f"the message is {present.state}",
            field="key",
            mend="resume it" if present.state == "paused" else "only a draft can be launched",
            code="NOT_A_DRAFT",
        )
    if present.campaign and not of_campaign:
        raise FailedPrecondition(
            f"it is a message of the campaign {present.campaign!r}",
            field="key",
            mend="launch the campaign",
            code="OF_CAMPAIGN",
        )
    compiled = compile_message(view, present)
    refuse_missing_links(view, present)
    refuse_unknown_time(compiled, present)
    check_times(view, present, asked_only=asked_only)
    return compiled


def launch(work: Work, command: commands.LaunchMessage, *, of_campaign: bool = False) -> MessageDefinition:
    """Make a draft live and judge everybody once; a campaign launches its messages itself.

    Raises:
        MusterError: what `check_launch` raises; InvalidInput: EXISTING_REQUIRED.
    """
    compiled = check_launch(work, command.key, command.etag, of_campaign=of_campaign)
    present = work.messages.get(command.key)
    if present.by_match and command.existing is None:
        raise InvalidInput(
            "what becomes of those who match already is not said",
            field="existing",
            mend="EXISTING_SEND or EXISTING_SKIP",
            code="EXISTING_REQUIRED",
        )
    schedule = settled(present.schedule, work.now, work.settings.time_zone)
    live = replace(present, state="live", schedule=schedule, launched_at=work.now, revision=present.revision + 1)
    work.do(Defined(live))
    if live.by_match:
        skip = MATCHED_AT_LAUNCH if command.existing == "skip" else ""
        judge_everybody(work, live, compiled, work.now, skip=skip)
    else:
        fire_at_launch(work, live)
    return work.messages.get(command.key)


def pause(work: Work, command: commands.PauseMessages) -> list[MessageDefinition]:
    """Pause messages: no leave to begin is given from here on.

    Raises:
        NotFound; FailedPrecondition: NOT_LIVE, where a named one is not live.
    """
    named = [work.messages.get(key) for key in command.keys] if command.keys is not None else work.messages.live()
    for definition in named:
        if definition.state not in ("live", "paused"):
            raise FailedPrecondition(
                f"the message is {definition.state}",
                field="key",
                mend="only a live message can be paused",
                code="NOT_LIVE",
            )
    for definition in named:
        if definition.state == "live":
            work.do(
                Defined(
                    replace(
                        definition,
                        state="paused",
                        pause_reason=OPERATOR,
                        paused_at=work.now,
                        revision=definition.revision + 1,
                    )
                )
            )
    return [work.messages.get(definition.key) for definition in named]


def resume(work: Work, command: commands.ResumeMessage) -> MessageDefinition:
    """Judge everybody again and go on.

    Raises:
        FailedPrecondition: NOT_PAUSED, LIMIT_REACHED, CAMPAIGN_NOT_LIVE.
    """
    present = work.messages.get(command.key)
    if present.state != "paused":
        raise FailedPrecondition(
            f"the message is {present.state}",
            field="key",
            mend="only a paused message can be resumed",
            code="NOT_PAUSED",
        )
    if present.campaign and work.campaigns.get(present.campaign).state != "live":
        raise FailedPrecondition(
            f"its campaign {present.campaign!r} is {work.campaigns.get(present.campaign).state}",
            field="key",
            mend="resume the campaign",
            code="CAMPAIGN_NOT_LIVE",
        )
    if command.max_recipients < 0:
        raise InvalidInput(
            "a negative limit", field="max_recipients", mend="0 to leave it as it is", code="INVALID_LIMIT"
        )
    if present.pause_reason == MAX_RECIPIENTS and command.max_recipients <= present.max_recipients:
        raise FailedPrecondition(
            f"the message paused because more than {present.max_recipients} would have been selected",
            field="max_recipients",
            mend=f"give a limit above {present.max_recipients}",
            code="LIMIT_REACHED",
        )
    live = replace(
        present,
        state="live",
        pause_reason="",
        paused_at=0,
        max_recipients=command.max_recipients or present.max_recipients,
        revision=present.revision + 1,
    )
    compiled = compile_message(work, live)
    work.do(Defined(live))
    for occurrence, ledger in work.messages.occurrences(command.key).active():
        judge_queue_again(work, live, compiled, occurrence)
        rejudge(work, live, compiled, ledger.open_skips(), occurrence)
    live = work.messages.get(command.key)
    if live.state != "live":  # the limit was reached again
        return live
    if live.by_match:
        judge_everybody(work, live, compiled, work.now)
    else:
        settle_runs(work, live.key, due(work, live.schedule, Homes(work), present.paused_at, work.now))
    return work.messages.get(command.key)


def end(work: Work, command: commands.EndMessage) -> MessageDefinition:
    """End a message; who is queued is skipped.

    Raises:
        FailedPrecondition: ALREADY_ENDED.
    """
    present = work.messages.get(command.key)
    if present.state == "ended":
        raise FailedPrecondition(
            "the message has ended", field="key", mend="nothing is left to end", code="ALREADY_ENDED"
        )
    work.do(Defined(replace(present, state="ended", pause_reason="", revision=present.revision + 1)))
    states: tuple[DeliveryState, ...] = ("queued", "deferred")
    for occurrence, ledger in work.messages.occurrences(command.key).active():
        for state in states:
            for reason, users in ledger.reasons(state):
                work.do(Moved(command.key, users.copy(), state, reason, "skipped", ENDED, occurrence=occurrence))
    return work.messages.get(command.key)


def begin(work: Work, command: commands.Begin) -> list[int]:
    """Give leave to hand off to those who still may be sent to what was rendered."""
    definition = work.messages.get(command.key)
    users = BitMap(command.ordinals)
    granted = leave(work, definition, users, command.bases, command.occurrence, paced=command.paced)
    return [int(ordinal) for ordinal in granted]


def skip(work: Work, command: commands.Skip) -> None:
    """Take users out of the queue for reasons found while rendering, unless they would be rendered otherwise now."""
    definition = work.messages.get(command.key)
    compiled = compile_message(work, definition)
    for reason, ordinals in command.reasons.items():
        users = BitMap(ordinals) & work.messages.ledger(command.key, command.occurrence).state("queued")
        users = unchanged(work, definition, compiled, users, command.bases, occurrence=command.occurrence)
        if users:
            final = lasting(reason, at_send=definition.on_send)
            work.do(Moved(command.key, users, "queued", "", "skipped", final, occurrence=command.occurrence))


def divert(work: Work, command: commands.Divert) -> int:
    """Lay messages of a sandbox in the inbox: leave, hand-off and outcome in one durable step."""
    definition = work.messages.get(command.key)
    if not work.settings.sandbox:
        return 0
    granted = leave(work, definition, BitMap(command.ordinals), command.bases, command.occurrence, paced=False)
    entries = [
        entry
        for ordinal, entry in zip(command.ordinals, command.entries, strict=True)
        if ordinal in granted and isinstance(entry, InboxEntry)
    ]
    if granted:
        work.do(Moved(command.key, granted, "begun", "", "sent", "", occurrence=command.occurrence))
        first = work.messages.inbox.first_kept(len(entries), work.settings.inbox_limit)
        work.do(Inboxed(entries, first))
        note(work, DELIVERED, command.key, command.occurrence, list(granted), [""] * len(granted))
    return len(granted)


def acknowledge(work: Work, command: commands.Acknowledge) -> int:
    """Record outcomes of hand-offs. One for a user whose outcome is known already changes nothing."""
    word = Word(work)
    for ack in command.acks:
        word.take(ack)
    word.record()
    removed = removed_by(command.acks)
    for first in range(0, len(removed), MAX_BATCH):
        feedback.take(work, commands.TakeFeedback(removed[first : first + MAX_BATCH]))
    return word.count


def lose(work: Work, command: commands.Lose) -> int:
    """Hand-offs that began and whose worker is gone become ambiguous."""
    lost_by: dict[tuple[str, int], BitMap] = {}
    if command.hand_offs is None:
        for definition in work.messages.all():
            for occurrence, ledger in work.messages.occurrences(definition.key).active():
                lost_by[definition.key, occurrence] = ledger.state("begun").copy()
    else:
        for text, attempt in command.hand_offs:
            found = read_key(text, work.settings.uid)
            if found is None or found[0] not in work.messages:
                continue
            key, occurrence, named_as = found
            ordinal = work.users.survivor(named_as)
            ledger = work.messages.ledger(key, occurrence)
            if ledger.known_as(ordinal) == named_as and ledger.attempt(ordinal) == attempt:
                lost_by.setdefault((key, occurrence), BitMap()).add(ordinal)
    count = 0
    for (key, occurrence), users in lost_by.items():
        lost = users & work.messages.ledger(key, occurrence).state("begun")
        if lost:
            lose_all(work, key, occurrence, lost)
            count += len(lost)
    return count


_RESOLVED: Final[dict[str, tuple[DeliveryState, str]]] = {
    "offer_again": ("queued", ""),
    "mark_sent": ("sent", ""),
    "mark_failed": ("failed", OPERATOR),
}


def resolve(work: Work, command: commands.ResolveAmbiguous) -> int:
    """An operator's word on ambiguous hand-offs.

    Who is deleted, or had the message before, is not offered it again and stays ambiguous.

    Raises:
        NotFound: MESSAGE_NOT_FOUND, USER_NOT_FOUND; InvalidInput: RESOLUTION_REQUIRED; FailedPrecondition:
            MESSAGE_ENDED, for an offer.
    """
    definition = work.messages.get(command.key)
    if command.resolution not in _RESOLVED:
        raise InvalidInput(
            "what is to become of them is not said",
            field="resolution",
            mend=", ".join(_RESOLVED),
            code="RESOLUTION_REQUIRED",
        )
    named: BitMap | None = None
    if command.distinct_ids:
        named = BitMap()
        for index, distinct_id in enumerate(command.distinct_ids):
            ordinal = work.users.find(distinct_id)
            if ordinal == NOBODY:
                raise NotFound(
                    f"there is no user {distinct_id!r}",
                    field=f"distinct_ids[{index}]",
                    mend="ids are case-sensitive; `muster message deliveries KEY --state ambiguous` lists them",
                    code="USER_NOT_FOUND",
                )
            named.add(ordinal)
    target, reason = _RESOLVED[command.resolution]
    if target == "queued" and definition.state == "ended":
        raise FailedPrecondition(
            "the message has ended",
            field="resolution",
            mend="mark them sent or failed",
            code="MESSAGE_ENDED",
        )
    count = 0
    for occurrence, ledger in work.messages.occurrences(command.key).active():
        users = ledger.state("ambiguous")
        if named is not None:
            users = users & named
        if target == "queued":
            users = (users & work.population.live) - ledger.marked
        if users:
            _resolve(work, command.key, occurrence, users.copy(), target, reason)
            count += len(users)
    return count


def _resolve(work: Work, key: str, occurrence: int, users: BitMap, target: DeliveryState, reason: str) -> None:
    again = target == "queued"
    at = work.now if again else 0
    work.do(Moved(key, users, "ambiguous", "", target, reason, at, doubt=again, occurrence=occurrence))
    if target == "sent":
        note(work, DELIVERED, key, occurrence, list(users), [""] * len(users))
