"""Decides one group of commands: a pure function of a version, an instant and the commands.

First the clock's move is decided on what was known, then the commands are applied in order, then whoever they
touched is judged. `replay` applies what such a group recorded, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from core import commands
from core import snippet_handlers as snippets
from core.codec import decode, encode, record
from core.errors import FailedPrecondition, InvalidInput, MusterError, StaleEtag
from core.evaluator.audience import AudienceSaved
from core.limits import Throughput
from core.messaging import audiences, feedback, in_app, judge, sending
from core.messaging import campaign_handlers as campaigns
from core.messaging import consent_handlers as consent
from core.messaging import handlers as messaging
from core.messaging.admission import defer_again
from core.messaging.campaign_definitions import CampaignDefined, CampaignDefinition, CampaignEntered
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import Assigned, Caused, Defined, Inboxed, Moved, Noted, Selected
from core.messaging.expiry import expire_waiting
from core.messaging.freed_addresses import rejudge_freed
from core.messaging.release import run_instants, settle
from core.profiles import handlers as profiles
from core.profiles.steps import EventsAdded, Gathered, ImportAdvanced, ProfilesChanged, UsersMerged
from core.requests import MAX_REQUEST_ID_BYTES, Requests
from core.settings import Links, Settings, check_settings
from core.values import MAX_MICROS, MICROS_PER_SECOND, utf8_length
from core.version import ClockMoved, Draft, SettingsChanged, Version

FORMAT: Final = 1
_APART_FROM_EVENTS: Final = (ImportAdvanced, ClockMoved)
"""Steps that are the same whether the events of the steps before are stored already or not."""
_WATCHED: Final = 60 * MICROS_PER_SECOND
"""Longest move of a real clock, which ticks every second, that counts as followed."""
_DECISIONS: Final = (Selected, Moved, Assigned, Caused, Defined)
"""Steps that say what became of a message's users, and of the message."""


@record("answered")
@dataclass(frozen=True, slots=True)
class Answered:
    """Step of the log: what a request, with a command of that name, was answered."""

    request_id: str
    answer: Any
    command: str


@dataclass(slots=True)
class Asked:
    """A command with its request id, and once decided its answer or its error."""

    command: commands.Command
    request_id: str = ""
    answer: Any = None
    error: BaseException | None = None


def _link_keys(present: Settings, command: commands.UpdateSettings) -> list[str]:
    """The keys of links: the one that signs, and the one before it, whose links are still good."""
    if command.new_link_key and (command.rotate_link_key or not present.link_keys):
        return [command.new_link_key, *present.link_keys[:1]]
    return present.link_keys


def _update_settings(work: Draft, command: commands.UpdateSettings) -> Settings:
    present = work.settings
    if command.etag and command.etag != present.etag:
        raise StaleEtag("the project changed since it was read", field="etag", mend="read it again", code="STALE_ETAG")
    fresh = replace(
        present,
        sandbox=present.sandbox if command.sandbox is None else command.sandbox,
        allowed_addresses=present.allowed_addresses if command.allowed_addresses is None else command.allowed_addresses,
        time_zone=present.time_zone if command.time_zone is None else command.time_zone,
        late_after=present.late_after if command.late_after is None else command.late_after,
        inbox_limit=present.inbox_limit if command.inbox_limit is None else command.inbox_limit,
        holdout_percent=present.holdout_percent if command.holdout_percent is None else command.holdout_percent,
        frequency_caps=present.frequency_caps if command.frequency_caps is None else command.frequency_caps,
        links=Links(
            base_url=present.links.base_url if command.links_url is None else command.links_url.rstrip("/"),
            opens=present.links.opens if command.link_opens is None else command.link_opens,
            clicks=present.links.clicks if command.link_clicks is None else command.link_clicks,
        ),
        link_keys=_link_keys(present, command),
        in_app_per_session=present.in_app_per_session
        if command.in_app_per_session is None
        else command.in_app_per_session,
    )
    if command.throughput is not None:
        fresh = replace(fresh, throughput=[_begun(one, present.throughput, work.now) for one in command.throughput])
    check_settings(fresh)
    work.do(SettingsChanged(fresh))
    if (fresh.frequency_caps, fresh.time_zone) != (present.frequency_caps, present.time_zone):
        for definition in work.messages.live():
            defer_again(work, definition)
    first = work.messages.inbox.first_kept(0, fresh.inbox_limit)
    if first != work.messages.inbox.first:
        work.do(Inboxed([], first))
    return fresh


def _begun(rate: Throughput, present: Sequence[Throughput], now: int) -> Throughput:
    """A throughput whose first day is today, unless it was there before."""
    return next((one for one in present if replace(one, since=rate.since) == rate), replace(rate, since=now))


_HANDLERS: Final[dict[type, Callable[[Any, Any], Any]]] = {
    commands.Ingest: profiles.ingest,
    commands.MergeUsers: profiles.merge,
    commands.DeleteUser: profiles.delete,
    commands.UpdateSettings: _update_settings,
    commands.SaveAudience: audiences.save,
    commands.DeleteAudience: audiences.delete,
    commands.CreateMessage: messaging.create,
    commands.UpdateMessage: messaging.update,
    commands.LaunchMessage: messaging.launch,
    commands.SendMessage: sending.send,
    commands.PauseMessages: messaging.pause,
    commands.ResumeMessage: messaging.resume,
    commands.EndMessage: messaging.end,
    commands.CreateCampaign: campaigns.create,
    commands.UpdateCampaign: campaigns.update,
    commands.LaunchCampaign: campaigns.launch,
    commands.PauseCampaign: campaigns.pause,
    commands.ResumeCampaign: campaigns.resume,
    commands.EndCampaign: campaigns.end,
    commands.ResolveAmbiguous: messaging.resolve,
    commands.Begin: messaging.begin,
    commands.Skip: messaging.skip,
    commands.Divert: messaging.divert,
    commands.Acknowledge: messaging.acknowledge,
    commands.Lose: messaging.lose,
    commands.TakeFeedback: feedback.take,
    commands.ReportInApp: in_app.report,
    commands.SaveSnippet: snippets.save,
    commands.DeleteSnippet: snippets.delete,
    commands.SaveTopic: consent.save_topic,
    commands.DeleteTopic: consent.delete_topic,
    commands.Suppress: consent.suppress,
    commands.Unsuppress: consent.unsuppress,
    commands.Unsubscribe: consent.unsubscribe,
    commands.Resubscribe: consent.resubscribe,
}


def _selected(version: Version) -> dict[str, int]:
    return {m.key: version.messages.occurrences(m.key).selected for m in version.messages.all()}


def was_unwatched(version: Version, now: int) -> bool:
    """Whether a real clock moved so far since a version that nobody followed it: the server was down, or stood still.

    Moves after which nothing was decided are not in the log. After a crash the move that opening makes may therefore
    seem longer than the server was down; but no run lies in what it seems longer by, as a run is always recorded.
    """
    return version.settings.clock == "real" and now - version.now > _WATCHED


def _move_clock(work: Draft, to: int, unwatched_since: int = 0, on_the_way: Iterable[object] = ()) -> None:
    """Move the clock and decide what time decides; `on_the_way` are steps that happened as it moved."""
    after = work.now
    if to > after:
        came_from = _advance(work, to, unwatched_since, on_the_way)
        _settle_part(work, came_from)


def _advance(work: Draft, to: int, unwatched_since: int = 0, on_the_way: Iterable[object] = ()) -> int:
    """Move the clock as `_move_clock`, and leave it to the caller to settle the last part; where that came from."""
    for stop in run_instants(work, work.now, unwatched_since or to):
        after = work.now
        _advance_at_once(work, stop, 0, on_the_way)
        on_the_way = ()
        _settle_part(work, after)
    after = work.now
    _advance_at_once(work, to, unwatched_since, on_the_way)
    return after


def _advance_at_once(work: Draft, to: int, unwatched_since: int, on_the_way: Iterable[object]) -> None:
    after = work.now
    work.do(ClockMoved(to, unwatched_since))
    for step in on_the_way:
        work.do(step)
    judge.advance(work, after, to, unwatched_since)


def _settle_part(work: Draft, after: int) -> None:
    """Settle what a part of the clock's move has brought since an instant, in micros, and end what waited too long."""
    settle(work, after)
    expire_waiting(work, after, work.now)


def _judge_touched(draft: Draft) -> None:
    """Judge whom the commands so far touched, and what that frees."""
    judge.judge_touched(draft)
    settle(draft)
    rejudge_freed(draft)
    while draft.pending:  # whom timing gates turn away frees an address in turn
        settle(draft)
        rejudge_freed(draft)


def check_move(version: Version, to: int) -> None:
    """Refuse a move of the clock that cannot be.

    Raises:
        FailedPrecondition: CLOCK_IS_REAL; InvalidInput: CLOCK_BACKWARDS, TIME_OUT_OF_RANGE.
    """
    if version.settings.clock != "manual":
        raise FailedPrecondition(
            "the project runs on real time",
            field="project",
            mend="make a project with a manual clock",
            code="CLOCK_IS_REAL",
        )
    if to < version.now:
        raise InvalidInput("the clock never goes back", field="to", mend="a time from now on", code="CLOCK_BACKWARDS")
    if to > MAX_MICROS:
        raise InvalidInput("the time is out of range", field="to", mend="years 1 to 9999", code="TIME_OUT_OF_RANGE")


class Broken(Exception):
    """A command failed half-way for no reason of its own making: the draft is unusable. Never leaves the engine."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(type(asked.command).__name__)
        self.asked = asked


def decide(
    version: Version,
    now: int,
    group: Sequence[Asked],
    requests: Requests,
    defective: Collection[MessageDefinition | CampaignDefinition] = (),
    *,
    unwatched: bool = False,
) -> Draft:
    """Decide a group; answers and refusals are put into `group`.

    Arguments:
        version: the state before.
        now: the group's instant in micros, not before `version.now`.
        group: the commands in order; a MoveClock moves the clock where it stands.
        defective: messages and campaigns whose judgement failed: they are paused before anything else.
        unwatched: nobody followed the clock since `version`: see `was_unwatched`.

    Returns:
        The draft, with its steps.

    Raises:
        Broken, Defective: where a command, or judging a message, failed unexpectedly; nothing of the draft may be
            used.
    """
    draft = version.fork()
    for found in defective:
        judge.pause_defective(draft, found)
    _move_clock(draft, now, version.now if unwatched else 0)
    for asked in group:
        if _was_answered(asked, requests, draft.now):
            continue
        if isinstance(asked.command, commands.Ingest | commands.MergeUsers | commands.TakeFeedback):
            _judge_apart(draft, getattr(asked.command, "imported", False))
        done = len(draft.steps)
        try:
            asked.answer = _answer(draft, asked.command)
            settle(draft)
        except MusterError as error:
            asked.error = error
            if len(draft.steps) != done:
                raise Broken(asked) from error
            continue
        except judge.Defective:
            raise
        except Exception as error:
            asked.error = error
            raise Broken(asked) from error
        if asked.request_id and len(draft.steps) > done:
            step = Answered(asked.request_id, asked.answer, type(asked.command).__name__)
            draft.steps.append(step)
            requests.add(step.request_id, draft.now, step.command, step.answer)
    _judge_touched(draft)
    return draft


def _was_answered(asked: Asked, requests: Requests, now: int) -> bool:
    """Whether a command needs no deciding: its request id was answered before, or cannot be one."""
    if not asked.request_id:
        return False
    try:
        length = utf8_length(asked.request_id, "request_id")
    except InvalidInput as error:
        asked.error = error
        return True
    if length > MAX_REQUEST_ID_BYTES:
        asked.error = InvalidInput(
            "the request id is too long",
            field="request_id",
            mend=f"at most {MAX_REQUEST_ID_BYTES} bytes",
            code="ID_TOO_LONG",
        )
        return True
    known = requests.find(asked.request_id, now)
    if known is None:
        return False
    command, asked.answer = known
    if command != type(asked.command).__name__:
        asked.error = InvalidInput(
            f"the request id was that of another request, a {command}",
            field="request_id",
            mend="make a new one for each request, and repeat it only with the same request",
            code="REQUEST_ID_REUSED",
        )
    return True


def _judge_apart(draft: Draft, imported: bool) -> None:
    """Judge what came by imports apart from what happened live, so that sharing a group changes nothing."""
    if draft.touched and draft.touched_by_import != imported:
        _judge_touched(draft)
        draft.start_touching()
    draft.touched_by_import = imported


def _answer(draft: Draft, command: commands.Command) -> Any:
    if isinstance(command, commands.MoveClock):
        check_move(draft, command.to)
        _judge_touched(draft)
        draft.start_touching()
        before = _selected(draft)
        _move_clock(draft, command.to)
        selected = {key: count - before.get(key, 0) for key, count in _selected(draft).items()}
        return commands.ClockAnswer(draft.now, selected)
    return _HANDLERS[type(command)](draft, command)


def follow(
    version: Version, steps: Iterable[object], decided: Collection[str], campaigns_decided: Collection[str] = ()
) -> Draft:
    """Decide anew what a recorded group brought, for some messages and campaigns; all else happens as it is recorded.

    Arguments:
        version: the state before, whose `messages` and `campaigns` show only those that are decided.
        steps: those of the record.
        decided: keys of the messages; what the record says of them is left out.
        campaigns_decided: keys of the campaigns, likewise.

    Returns:
        The draft.

    Raises:
        Defective: where judging a message failed unexpectedly.
    """
    draft = version.fork()
    kept = [
        step
        for step in steps
        if not isinstance(step, Answered | Inboxed)
        and _message_of(step) not in decided
        and _campaign_of(step) not in campaigns_decided
    ]
    # Who entered other campaigns by time did so on the way of the clock: decisions along it see that.
    on_the_way = 0
    came_from: int | None = None
    for number, step in enumerate(kept):
        if number < on_the_way:
            continue
        if came_from is not None and not isinstance(step, _DECISIONS):
            # What the move of the clock brought other messages stands by now, so that caps count it.
            _settle_part(draft, came_from)
            came_from = None
        if isinstance(step, ClockMoved):
            _judge_touched(draft)
            draft.start_touching()
            on_the_way = next(
                (later for later in range(number + 1, len(kept)) if not isinstance(kept[later], CampaignEntered)),
                len(kept),
            )
            came_from = _advance(draft, step.to, step.unwatched_since, kept[number + 1 : on_the_way])
        elif isinstance(step, AudienceSaved):
            audiences.saved(draft, step.definition)
        else:
            if isinstance(step, EventsAdded | ProfilesChanged | UsersMerged | Noted):
                _judge_apart(draft, getattr(step, "imported", False))
            draft.apply(step)
    if came_from is not None:
        _settle_part(draft, came_from)
    _judge_touched(draft)
    return draft


def _message_of(step: object) -> str | None:
    """The key of the message that a step is about."""
    if isinstance(step, Noted):
        return str(step.properties[0].get("message_id", "")) if step.properties else None
    if isinstance(step, Defined):
        return step.definition.key
    return getattr(step, "key", None)


def _campaign_of(step: object) -> str | None:
    """The key of the campaign that a step is about."""
    if isinstance(step, CampaignDefined):
        return step.definition.key
    return step.campaign if isinstance(step, CampaignEntered) else None


def to_log(draft: Draft) -> bytes:
    """The log's record of a decided group."""
    return encode([FORMAT, draft.steps])


def steps_of(record: bytes) -> list[object]:
    """The steps of a record made by `to_log`."""
    _, steps = decode(record)
    return list(steps)


def replay(version: Version, records: Iterable[tuple[int, bytes]], requests: Requests) -> Version:
    """Apply recorded groups, deciding nothing.

    Arguments:
        records: (position, bytes made by `to_log`), in order, from the version's position on.
    """
    gathered = Gathered()
    for position, data in records:
        draft = version.fork()
        for step in steps_of(data):
            if isinstance(step, Answered):
                requests.add(step.request_id, draft.now, step.command, step.answer)
                continue
            if not (gathered.has_room(step) if isinstance(step, EventsAdded) else isinstance(step, _APART_FROM_EVENTS)):
                for events in gathered.take():
                    draft.apply(events)
            if isinstance(step, EventsAdded):
                gathered.add(step, draft.now)
            else:
                draft.apply(step)
        requests.absorb(draft.now)
        version = draft.publish(position)
    draft = version.fork()
    for events in gathered.take():
        draft.apply(events)
    return draft.publish(version.position)
