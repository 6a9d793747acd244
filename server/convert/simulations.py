"""What is to be simulated, and what came of it, as messages."""

from __future__ import annotations

from muster.v1 import campaign_pb2, message_pb2, simulation_pb2

from core.errors import InvalidInput
from core.simulation import CampaignResult, Question, Result, Simulated
from server.convert import campaigns, messages
from server.convert.choices import EXISTING, chosen
from server.convert.deliveries import rendered
from server.convert.times import duration, duration_micros, micros, timestamp


def question(request: simulation_pb2.SimulateRequest, now: int) -> Question:
    """What a client asks for.

    Arguments:
        now: the project's present, micros UTC.

    Raises:
        InvalidInput: TIME_MISSING, UNKNOWN_ENUM_VALUE, and what a message raises.
    """
    if not request.HasField("end_time"):
        raise InvalidInput("there is no end", field="end_time", mend="an instant after the start", code="TIME_MISSING")
    return Question(
        tuple(dict.fromkeys(request.keys)),
        messages.definition(request.message) if request.HasField("message") else None,
        micros(request.start_time, "start_time") if request.HasField("start_time") else now,
        micros(request.end_time, "end_time"),
        chosen(EXISTING, request.existing, "existing", "Existing"),
        request.examples,
        duration_micros(request.step, "step") if request.HasField("step") else 0,
        tuple(dict.fromkeys(request.campaigns)),
        campaigns.definition(request.campaign) if request.HasField("campaign") else None,
    )


def progress(asked: Question, reached: int) -> simulation_pb2.SimulateResponse:
    """How far it got."""
    share = (reached - asked.start) / (asked.end - asked.start)
    return simulation_pb2.SimulateResponse(
        progress=simulation_pb2.SimulationProgress(time=timestamp(reached), share=max(0.0, min(share, 1.0)))
    )


def result(asked: Question, found: Simulated) -> simulation_pb2.SimulateResponse:
    """What became of each message and campaign."""
    return simulation_pb2.SimulateResponse(
        result=simulation_pb2.SimulationResult(
            start_time=timestamp(asked.start),
            end_time=timestamp(asked.end),
            messages=[_message(one) for one in found.messages],
            campaigns=[_campaign(one) for one in found.campaigns],
        )
    )


def _campaign(found: CampaignResult) -> simulation_pb2.SimulatedCampaign:
    return simulation_pb2.SimulatedCampaign(
        campaign=campaigns.campaign(found.definition),
        entered=found.entered,
        control=found.control,
        left_out=[campaign_pb2.LeftOutCount(reason=reason, users=users) for reason, users in found.left_out.items()],
        entered_by_interval=[
            message_pb2.DecisionCount(time=timestamp(start), users=users) for start, users in found.histogram.items()
        ],
        interval=duration(found.interval),
    )


def _message(found: Result) -> simulation_pb2.SimulatedMessage:
    return simulation_pb2.SimulatedMessage(
        message=messages.message(found.definition),
        selected=found.selected,
        counts=_counts(found.states),
        reasons=[
            simulation_pb2.SimulatedReason(state=state, reason=reason, open=still, users=users)
            for (state, reason, still), users in found.reasons.items()
        ],
        occurrences=[
            simulation_pb2.SimulatedOccurrence(number=number, selected=users)
            for number, users in found.occurrences.items()
        ],
        intervals=[
            simulation_pb2.SimulatedInterval(start_time=timestamp(start), counts=_counts(states))
            for start, states in found.histogram.items()
        ],
        interval=duration(found.interval),
        examples=[
            simulation_pb2.SimulatedExample(
                distinct_id=one.rendered.distinct_id,
                time=timestamp(one.at),
                occurrence=one.occurrence,
                rendered=rendered(one.rendered),
            )
            for one in found.examples
        ],
    )


def _counts(states: dict[str, int]) -> list[simulation_pb2.SimulatedCount]:
    return [simulation_pb2.SimulatedCount(state=state, users=users) for state, users in states.items()]
