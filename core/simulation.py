"""What messages and campaigns would do, or would have done: the real decisions over a copy of the project, and nothing written.

Over a span of the past, everything happens as the log has it (users, events, audiences, what other messages did), and the
messages simulated are decided anew as if they had been live. Over a span to come nothing happens but time, and every live
message is decided. Hand-offs are taken to succeed within the step of time that they are queued in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

import numpy as np
from pyroaring import BitMap

from core import commands
from core.errors import FailedPrecondition, InvalidInput
from core.group import Asked, Broken, decide, follow
from core.history import History
from core.messaging.campaign_definitions import EDITABLE as CAMPAIGN_EDITABLE
from core.messaging.campaign_definitions import CampaignDefinition
from core.messaging.campaign_reading import entries
from core.messaging.compiled import compile_message
from core.messaging.definitions import EDITABLE, MessageDefinition
from core.messaging.effects import STATES, is_open
from core.messaging.judge import Defective
from core.messaging.keys import idempotency_key
from core.messaging.ledger import Ledger
from core.messaging.render import HandOff, render_users
from core.messaging.rows import inside
from core.requests import Requests
from core.values import MAX_MICROS, MICROS_PER_DAY, MICROS_PER_SECOND
from core.version import Draft, Version

HOUR: Final = 3_600 * MICROS_PER_SECOND
MOST_EXAMPLES: Final = 50
_MOST_STEPS: Final = 1_000
_HOURS_UPTO: Final = 3 * MICROS_PER_DAY
"""Spans up to this long are told by the hour, longer ones by the day."""

Existing = Literal["send", "skip"]
Progress = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be simulated.

    Arguments:
        keys: messages of the project.
        message: one that is not created yet, or changes a draft; None for none.
        campaigns: campaigns of the project, each with its messages.
        campaign: one of messages of the project that is not created yet, or changes a draft; None for none.
        start: micros UTC of the project's clock, up to the present; launches are at this instant.
        end: micros UTC, after the start.
        existing: as for a launch.
        examples: how many hand-offs of each message are rendered.
        step: micros; how far the clock moves at once in the time to come, 0: an hour, or a thousandth of the span.
    """

    keys: tuple[str, ...]
    message: MessageDefinition | None
    start: int
    end: int
    existing: Existing | None = None
    examples: int = 5
    step: int = 0
    campaigns: tuple[str, ...] = ()
    campaign: CampaignDefinition | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A hand-off as it would have been rendered, at the instant of it."""

    at: int
    occurrence: int
    rendered: HandOff


@dataclass(slots=True)
class Result:
    """What became of one message.

    Arguments:
        definition: as it was at the end.
        states: users by state, over all occurrences.
        reasons: users by (state, reason, whether it is open), of those states that have reasons.
        occurrences: users selected by occurrence.
        histogram: start of an interval in micros → users by state, of those decided in it, as they ended.
        interval: of the histogram, in micros.
        examples: the first hand-offs.
        ledgers: the occurrences, those who were selected before included.
    """

    definition: MessageDefinition
    states: dict[str, int]
    reasons: dict[tuple[str, str, bool], int]
    occurrences: dict[int, int]
    histogram: dict[int, dict[str, int]]
    interval: int
    examples: list[Example] = field(default_factory=list)
    ledgers: dict[int, Ledger] = field(default_factory=dict)

    @property
    def selected(self) -> int:
        """How many users were selected, over all occurrences."""
        return sum(self.states.values())


@dataclass(slots=True)
class CampaignResult:
    """Who entered a campaign.

    Arguments:
        definition: as it was at the end.
        entered: users who did, in the simulation.
        control: of them, who are held out.
        left_out: users who never will enter, by reason.
        histogram: start of an interval in micros → users who entered in it.
        interval: of the histogram, in micros.
    """

    definition: CampaignDefinition
    entered: int
    control: int
    left_out: dict[str, int]
    histogram: dict[int, int]
    interval: int


@dataclass(slots=True)
class Simulated:
    """What became of messages and campaigns, in the order asked; a campaign's messages are among the messages."""

    messages: list[Result] = field(default_factory=list)
    campaigns: list[CampaignResult] = field(default_factory=list)


class Stopped(Exception):
    """Nobody waits for the result any more."""


def simulate(history: History, present: Version, question: Question, progress: Progress) -> Simulated:
    """Decide messages and campaigns over a span of time.

    Arguments:
        history: of the project.
        present: its newest version.
        progress: told the instant that is reached, every now and then; False ends it.

    Raises:
        MusterError: what a creation and a launch raise; InvalidInput: NOTHING_TO_SIMULATE, SPAN_EMPTY,
            TOO_MANY_EXAMPLES; FailedPrecondition: HISTORY_GONE, MESSAGE_ENDED, CAMPAIGN_ENDED, JUDGEMENT_FAILED.
        Stopped: where `progress` said so.
    """
    wanted, campaigns = _wanted(present, question)
    world = history.apart(question.start, "start_time")
    of_campaigns = [present.messages.get(key) for one in campaigns.values() for key in one.messages]
    keys = list(dict.fromkeys([*wanted, *(message.key for message in of_campaigns)]))
    run = _Run(world, question, keys, list(campaigns), progress)
    for message in of_campaigns:
        run.draft(message)
    for campaign in campaigns.values():
        run.launch_campaign(campaign)
    for definition in wanted.values():
        run.launch(definition)
    run.relive(history, min(question.end, present.now))
    run.go_on(question.end)
    return run.results()


def _wanted(present: Version, question: Question) -> tuple[dict[str, MessageDefinition], dict[str, CampaignDefinition]]:
    wanted = {key: present.messages.get(key) for key in question.keys}
    if question.message is not None:
        wanted[question.message.key] = question.message
    campaigns = {key: present.campaigns.get(key) for key in question.campaigns}
    if question.campaign is not None:
        campaigns[question.campaign.key] = question.campaign
    if not wanted and not campaigns:
        raise InvalidInput(
            "no message or campaign is named", field="keys", mend="name one, or give one", code="NOTHING_TO_SIMULATE"
        )
    if not question.start < question.end <= MAX_MICROS:
        raise InvalidInput(
            "the span ends before it begins", field="end_time", mend="a time after start_time", code="SPAN_EMPTY"
        )
    if not 0 <= question.examples <= MOST_EXAMPLES:
        raise InvalidInput(
            f"{question.examples} examples", field="examples", mend=f"up to {MOST_EXAMPLES}", code="TOO_MANY_EXAMPLES"
        )
    return wanted, campaigns


class _Run:
    """A world of its own, and what is simulated in it."""

    def __init__(
        self, world: Version, question: Question, keys: list[str], campaigns: list[str], progress: Progress
    ) -> None:
        self._question = question
        self._keys = keys
        self._campaigns = campaigns
        self._progress = progress
        self._requests = Requests()
        self._examples: dict[str, list[Example]] = {key: [] for key in keys}
        world.messages.show(keys)
        world.campaigns.show(campaigns)
        self._world = world
        self._entered_before = {key: world.campaigns.membership(key) for key in campaigns}
        self._before = {
            key: {number: ledger.selected for number, ledger in world.messages.occurrences(key).all()}
            for key in keys
            if key in world.messages
        }

    # Deciding

    def draft(self, wanted: MessageDefinition) -> None:
        """Have a message of a campaign there at the start: as a draft, unless it was launched by then."""
        if wanted.key not in self._world.messages:
            self._ask(commands.CreateMessage(_as_draft(wanted)))
        elif self._world.messages.get(wanted.key).state == "draft":
            changes = {name: getattr(wanted, name) for name in EDITABLE["draft"]}
            self._ask(commands.UpdateMessage(wanted.key, changes))

    def launch_campaign(self, wanted: CampaignDefinition) -> None:
        """Make a campaign live at the start with its messages, unless it was."""
        there = self._world.campaigns.get(wanted.key) if wanted.key in self._world.campaigns else None
        if there is None:
            self._ask(commands.CreateCampaign(wanted))
        elif there.state == "draft":
            changes = {name: getattr(wanted, name) for name in CAMPAIGN_EDITABLE["draft"]}
            self._ask(commands.UpdateCampaign(wanted.key, changes))
        elif wanted is self._question.campaign:
            raise FailedPrecondition(
                f"there is a campaign {wanted.key!r}, and it is {there.state}",
                field="campaign.key",
                mend="give this one another key",
                code="CAMPAIGN_EXISTS",
            )
        elif there.state == "paused":
            self._ask(commands.ResumeCampaign(wanted.key))
            return
        elif there.state == "ended":
            raise FailedPrecondition(
                f"the campaign {wanted.key!r} has ended by then",
                field="campaigns",
                mend="start before its end, or give a copy of it under another key",
                code="CAMPAIGN_ENDED",
            )
        else:
            return
        self._ask(commands.LaunchCampaign(wanted.key, self._question.existing))

    def launch(self, wanted: MessageDefinition) -> None:
        """Make a message live at the start, unless it was."""
        there = self._world.messages.get(wanted.key) if wanted.key in self._world.messages else None
        if there is None:
            self._ask(commands.CreateMessage(_as_draft(wanted)))
        elif there.state == "draft":
            changes = {
                item.name: getattr(wanted, item.name) for item in fields(wanted) if item.name in EDITABLE["draft"]
            }
            self._ask(commands.UpdateMessage(wanted.key, changes))
        elif wanted is self._question.message:
            raise FailedPrecondition(
                f"there is a message {wanted.key!r}, and it is {there.state}",
                field="message.key",
                mend="give this one another key",
                code="MESSAGE_EXISTS",
            )
        elif there.state == "paused":
            self._ask(commands.ResumeMessage(wanted.key))
            return
        elif there.state == "ended":
            raise FailedPrecondition(
                f"the message {wanted.key!r} has ended by then",
                field="keys",
                mend="start before its end, or give a copy of it under another key",
                code="MESSAGE_ENDED",
            )
        else:
            return
        self._ask(commands.LaunchMessage(wanted.key, self._question.existing))

    def relive(self, history: History, end: int) -> None:
        """Let everything happen that the log has after the world's position, up to an instant."""
        for _, steps in history.steps(self._world.position, end):
            self._hand_off()
            self._settle(self._tried(lambda steps=steps: follow(self._world, steps, self._keys, self._campaigns)))  # type: ignore[misc]
            self._tell()
        self._move(end)

    def go_on(self, end: int) -> None:
        """Let time pass, and every live message be decided."""
        if end <= self._world.now:
            return
        self._world.messages.show(None)
        self._world.campaigns.show(None)
        span = end - self._question.start
        step = self._question.step or max(HOUR, span // _MOST_STEPS)
        while self._world.now < end:
            self._move(min(self._world.now + step, end))

    def _move(self, to: int) -> None:
        if to > self._world.now:
            self._settle(self._tried(lambda: decide(self._world, to, [], self._requests)))
            self._tell()
        self._hand_off()

    def _hand_off(self) -> None:
        """Be a worker to whom every hand-off succeeds, until nobody is queued."""
        while True:
            began = 0
            for definition in self._world.messages.live():
                for occurrence, ledger in self._world.messages.occurrences(definition.key).active():
                    queued = ledger.state("queued")
                    if queued:
                        began += self._send(definition, occurrence, list(queued))
            if not began:
                return

    def _send(self, definition: MessageDefinition, occurrence: int, ordinals: list[int]) -> int:
        self._render(definition, occurrence, ordinals)
        granted = self._ask(commands.Begin(definition.key, ordinals, occurrence=occurrence, paced=False))
        world = self._world
        ledger = world.messages.ledger(definition.key, occurrence)
        acks = [
            commands.Ack(
                idempotency_key(world.settings.uid, definition.key, ledger.known_as(ordinal), occurrence),
                "sent",
                attempt=ledger.attempt(ordinal),
            )
            for ordinal in granted
        ]
        if acks:
            self._ask(commands.Acknowledge(acks))
        return len(acks)

    def _render(self, definition: MessageDefinition, occurrence: int, ordinals: list[int]) -> None:
        examples = self._examples.get(definition.key)
        if examples is None or len(examples) >= self._question.examples:
            return
        compiled = compile_message(self._world, definition)
        some = ordinals[: self._question.examples - len(examples)]
        for found in render_users(self._world, definition, compiled, some, occurrence=occurrence):
            if isinstance(found, HandOff):
                examples.append(Example(self._world.now, occurrence, found))

    def _ask(self, command: commands.Command) -> Any:
        asked = Asked(command)
        self._settle(self._tried(lambda: decide(self._world, self._world.now, [asked], self._requests)))
        if asked.error is not None:
            raise asked.error
        return asked.answer

    def _tried(self, make: Callable[[], Draft]) -> Draft:
        try:
            return make()
        except Broken as broken:
            raise broken.asked.error or broken from broken
        except Defective as found:
            raise FailedPrecondition(
                f"judging {found} failed unexpectedly",
                field="keys",
                mend="report it; leave it out, or pause it",
                code="JUDGEMENT_FAILED",
            ) from found

    def _settle(self, draft: Draft) -> None:
        self._requests.discard()
        self._world = draft.publish(draft.position)

    def _tell(self) -> None:
        if not self._progress(self._world.now):
            raise Stopped

    # Telling

    def results(self) -> Simulated:
        """What became of each message and campaign."""
        return Simulated(
            [self._result(key) for key in self._keys], [self._campaign_result(key) for key in self._campaigns]
        )

    @property
    def _interval(self) -> int:
        return HOUR if self._question.end - self._question.start <= _HOURS_UPTO else MICROS_PER_DAY

    def _campaign_result(self, key: str) -> CampaignResult:
        before, now, interval = self._entered_before[key], self._world.campaigns.membership(key), self._interval
        fresh = now.members - before.members
        ordinals, instants = entries(self._world, key)
        started = instants[inside(ordinals, fresh)] // interval * interval
        return CampaignResult(
            self._world.campaigns.get(key),
            len(fresh),
            len(now.control & fresh),
            {
                reason: len(new)
                for reason, users in sorted(now.left_out.items())
                if (new := users - before.left_out.get(reason, BitMap()))
            },
            dict(_counted(started)),
            interval,
        )

    def _result(self, key: str) -> Result:
        interval = self._interval
        found = Result(self._world.messages.get(key), {}, {}, {}, {}, interval, self._examples[key])
        before: Mapping[int, BitMap] = self._before.get(key, {})
        for occurrence, ledger in self._world.messages.occurrences(key).all():
            found.ledgers[occurrence] = ledger
            fresh = ledger.selected - before.get(occurrence, BitMap())
            if not fresh:
                continue
            found.occurrences[occurrence] = len(fresh)
            for state in STATES:
                users = ledger.state(state) & fresh
                if not users:
                    continue
                found.states[state] = found.states.get(state, 0) + len(users)
                for reason, of_reason in ledger.reasons(state):
                    count = of_reason.intersection_cardinality(fresh)
                    if reason and count:
                        place = (state, reason, state == "skipped" and is_open(reason))
                        found.reasons[place] = found.reasons.get(place, 0) + count
                for ordinals, instants in ledger.decisions():
                    theirs = np.isin(ordinals, np.array(users.to_array(), np.uint32))
                    for start, count in _counted(instants[theirs] // interval * interval):
                        row = found.histogram.setdefault(start, {})
                        row[state] = row.get(state, 0) + count
        found.histogram = dict(sorted(found.histogram.items()))
        return found


def _counted(starts: np.ndarray[Any, np.dtype[np.int64]]) -> Iterator[tuple[int, int]]:
    values, counts = np.unique(starts, return_counts=True)
    return zip(values.tolist(), counts.tolist(), strict=True)


def _as_draft(definition: MessageDefinition) -> MessageDefinition:
    return replace(definition, state="draft", pause_reason="", launched_at=0, fired_at=0, paused_at=0)
