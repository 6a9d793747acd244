"""Who gets a message: judgement of everybody, of touched users, and of the clock's crossings.

Users are independent of each other, so that one far move of the clock decides exactly what any finer sequence
of moves would: each user is judged at the instants at which that user's answer may change. The one thing that
couples users is a message's `max_recipients`; it is applied in the order of instants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from pyroaring import BitMap

from core.errors import StoreError
from core.messaging import when_met
from core.messaging.admission import admit, rejudge
from core.messaging.campaign_definitions import JOURNEY_ENTERED, CampaignDefinition
from core.messaging.campaign_pause import pause_campaign
from core.messaging.compiled import Compiled, compile_message
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import BACKFILLED, SUPERSEDED, Defined, Moved, is_open
from core.messaging.entry import audience_of, enter_by_time, enter_touched
from core.messaging.firings import Homes, Run, due, next_run, unpunctual
from core.messaging.gates import had_enough, matching
from core.messaging.gathering import Shared, gathered, matching_touched
from core.messaging.occurrences import FIRST
from core.messaging.rounds import first_matches
from core.messaging.rows import at_once
from core.messaging.runs import Fired, Outcome
from core.messaging.schedules import Once, WhenMet
from core.messaging.work import Work

JUDGEMENT_FAILED: Final = "judgement_failed"
"""Why a message pauses whose judgement met a defect: it must not keep others from being judged, nor events out."""
MISSED: Final = "missed"
"""Why a one-time message ended that nobody could be sent."""


class Defective(Exception):
    """Judging a message, or who enters a campaign, failed for no reason of anybody's making: the draft is unusable.

    Never leaves the engine.
    """

    def __init__(self, definition: MessageDefinition | CampaignDefinition) -> None:
        what = "campaign" if isinstance(definition, CampaignDefinition) else "message"
        super().__init__(f"the {what} {definition.key!r}")
        self.definition = definition


@contextmanager
def attributed(definition: MessageDefinition | CampaignDefinition) -> Iterator[None]:
    """What fails in here is the judgement of this message or campaign; what the disk does is not.

    Raises:
        Defective: in place of whatever was raised.
    """
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise Defective(definition) from error


def pause_defective(work: Work, found: MessageDefinition | CampaignDefinition) -> None:
    """Pause a message or campaign whose judgement failed, before it is judged again."""
    if isinstance(found, CampaignDefinition):
        pause_campaign(work, work.campaigns.get(found.key), JUDGEMENT_FAILED)
        return
    definition = work.messages.get(found.key)
    paused = replace(
        definition,
        state="paused",
        pause_reason=JUDGEMENT_FAILED,
        paused_at=work.now,
        revision=definition.revision + 1,
    )
    work.do(Defined(paused))


def judge_everybody(work: Work, definition: MessageDefinition, compiled: Compiled, at: int, *, skip: str = "") -> None:
    """Select all who match now, `at`, and were not selected before; of a message sent each time, all who came to match."""
    if isinstance(definition.schedule, WhenMet):
        when_met.judge_everybody(work, definition, compiled, skip=skip)
    else:
        _judge_at_once(work, definition, compiled, None, at, skip=skip)


def _judge_at_once(
    work: Work,
    definition: MessageDefinition,
    compiled: Compiled,
    among: BitMap | None,
    at: int,
    *,
    skip: str = "",
    occurrence: int = FIRST,
) -> None:
    """Select, of some users (None: all), those who match at an instant and whom the occurrence may select."""
    if definition.campaign:
        members = audience_of(work, definition, at)
        among = members if among is None else among & members
    new = matching(work, compiled.targeting, among, at) - work.messages.ledger(definition.key, occurrence).closed_to
    new -= had_enough(work, definition, occurrence)
    admit(work, definition, compiled, *at_once(new, at), skip=skip, occurrence=occurrence)


def _cross(work: Work, definition: MessageDefinition, compiled: Compiled, after: int, upto: int) -> None:
    """Select those whom time alone makes match in (after, upto], each at the first such instant."""
    candidates = audience_of(work, definition, upto) - work.messages.ledger(definition.key).closed_to
    arrivals = work.campaigns.arrivals(definition.campaign) if definition.campaign else None
    for found in first_matches(work, compiled.targeting, compiled.time_use, candidates, after, upto, arrivals):
        admit(work, definition, compiled, *found)
        definition = work.messages.get(definition.key)
        if definition.state != "live":
            return


def advance(work: Work, after: int, upto: int, unwatched_since: int = 0) -> None:
    """Decide what time alone decides in (after, upto], for every live campaign and message. `work.now` is already `upto`.

    Arguments:
        unwatched_since: from when on nobody could decide anything until `upto`, in micros; 0: everything was watched.
            Runs of that time are late, or missed. Who comes to match by time does so at the instant, all the same.
    """
    for campaign in work.campaigns.live():
        with attributed(campaign):
            enter_by_time(work, campaign, after, upto)
    homes = Homes(work)
    watched = unwatched_since or upto
    for definition in work.messages.live():
        with attributed(definition):
            if isinstance(definition.schedule, WhenMet):
                when_met.advance(work, definition, compile_message(work, definition), after, upto)
            elif definition.by_match:
                _cross(work, definition, compile_message(work, definition), after, upto)
            else:
                for run in due(work, definition.schedule, homes, after, watched):
                    fire(work, definition.key, run, "fired", run.at)
                settle_runs(work, definition.key, due(work, definition.schedule, homes, watched, upto))


def settle_runs(work: Work, key: str, runs: Sequence[Run]) -> None:
    """Decide now about runs whose own instants passed while nobody could judge them, in the order of these.

    A one-time message that has nothing to come, and never had anything but missed runs, ends.
    """
    definition = work.messages.get(key)
    if definition.state != "live" or not runs:
        return
    for run, outcome in unpunctual(runs, definition, work.now):
        if outcome == "late" and work.messages.get(key).state == "live":
            fire(work, key, run, "late", work.now)
        else:
            work.do(Fired(key, run.occurrence, run.at, work.now, "missed"))
    missed = all(one.outcome == "missed" for one in work.messages.occurrences(key).runs.all(key))
    if missed and isinstance(definition.schedule, Once) and next_run(work, definition.schedule, work.now) is None:
        work.do(Defined(replace(definition, state="ended", pause_reason=MISSED, revision=definition.revision + 1)))


def fire(work: Work, key: str, run: Run, outcome: Outcome, at: int, *, skip: str = "") -> None:
    """A run of a live message: everybody it is for who matches is selected; earlier runs are over for them.

    Arguments:
        at: when it is judged, in micros.
        skip: a reason for which all of them are skipped.
    """
    definition = work.messages.get(key)
    if definition.state != "live":  # an earlier run paused it
        return
    work.do(Fired(key, run.occurrence, run.at, at, outcome))
    _supersede(work, key, run)
    compiled = compile_message(work, definition)
    _judge_at_once(work, definition, compiled, run.users, at, skip=skip, occurrence=run.occurrence)


def _supersede(work: Work, key: str, run: Run) -> None:
    """Nobody waits for an earlier run any more of those whom a new one is for."""
    for occurrence, ledger in work.messages.occurrences(key).active():
        if occurrence >= run.occurrence:
            continue
        for reason, skipped in ledger.reasons("skipped"):
            users = skipped.copy() if run.users is None else skipped & run.users
            if users and is_open(reason):
                work.do(Moved(key, users, "skipped", reason, "skipped", SUPERSEDED, occurrence=occurrence))


def judge_touched(work: Work) -> None:
    """Judge, for every live campaign and message, the users whom this group touched in what it reads.

    Who enters a campaign is touched by that, too, so that messages can read it. A paused message judges nobody but those
    whose match an import or a late event decides: recorded now, they are not taken for new ones at the resume.
    """
    if not work.touched:
        return
    touched = gathered(work)
    entered = 0
    for campaign in work.campaigns.all():
        if campaign.state in ("live", "paused") and campaign.pause_reason != JUDGEMENT_FAILED:
            with attributed(campaign):
                entered += enter_touched(work, campaign, touched)
    if entered:
        touched = gathered(work)
    shared = Shared(work, touched)
    for definition in work.messages.all():
        if definition.state in ("live", "paused") and definition.pause_reason != JUDGEMENT_FAILED:
            with attributed(definition):
                _judge_touched(work, definition, shared)


def _judge_touched(work: Work, definition: MessageDefinition, shared: Shared) -> None:
    compiled = compile_message(work, definition)
    if definition.by_match:
        _judge_new(work, definition, compiled, shared)
    if definition.state == "live":
        touched_users: BitMap | None = None
        for occurrence, ledger in work.messages.occurrences(definition.key).active():
            skipped = ledger.open_skips()
            if skipped and touched_users is None:
                touched_users = BitMap.union(*work.touched.by(compiled.reads_of_all, ()))
            if skipped and touched_users:
                again = skipped & touched_users
                rejudge(work, work.messages.get(definition.key), compiled, again, occurrence)


def _judge_new(work: Work, definition: MessageDefinition, compiled: Compiled, shared: Shared) -> None:
    """Select who of those touched matches and was not selected before."""
    targeting = compiled.targeting
    properties = None if compiled.everything else targeting.properties
    events = targeting.events | {JOURNEY_ENTERED} if definition.campaign else targeting.events
    live, late = work.touched.by(properties, events)
    each_time = isinstance(definition.schedule, WhenMet)
    if targeting.audiences or definition.campaign or each_time:
        # Who may have come into a list, or a campaign, with the other.
        live = live | BitMap([stays for _, stays in work.touched.merged])
    if not live and not late:
        return
    able = None if each_time else shared.able(targeting)  # who leaves matters, too, where a match counts each time
    for users, skip in ((live if definition.state == "live" else BitMap(), ""), (late - live, BACKFILLED)):
        among = (users if able is None else users & able) & work.population.live
        if not among:
            continue
        if each_time:
            when_met.judge_touched(work, definition, compiled, among, shared.touched, skip=skip, stirred=shared.stirred)
            continue
        if definition.campaign:
            among &= work.campaigns.membership(definition.campaign).members
        new = work.messages.ledger(definition.key).open_to(among)
        if new:
            matched = matching_touched(work, targeting, new, shared.touched)
            admit(work, definition, compiled, *at_once(matched, work.now), skip=skip, stirred=shared.stirred)
