"""What messages would do, or would have done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from muster import flow as flows
from muster import values
from muster.campaigns import campaign_of
from muster.flow import Flow, Rpc
from muster.messages import EXISTING, Existing, message_of
from muster.schedules import ASAP
from muster.service import Service, Way, answered
from muster.v1 import simulation_pb2

_SIMULATE: Final = Rpc("/muster.v1.SimulationService/Simulate", simulation_pb2.SimulateResponse)


class Simulation(Service[Way]):
    """`client.simulation`: the real decisions over a copy of the project; nothing is sent or changed."""

    @answered
    def run(
        self,
        *keys: str,
        end: datetime,
        start: datetime | None = None,
        draft: Mapping[str, Any] | None = None,
        campaigns: Sequence[str] = (),
        campaign: Mapping[str, Any] | None = None,
        existing: Existing | None = None,
        examples: int = 5,
        step: timedelta | None = None,
        on_progress: Callable[[simulation_pb2.SimulationProgress], None] | None = None,
    ) -> Flow[simulation_pb2.SimulationResult]:
        """What became of each message: how many, when, for which reasons not, and hand-offs as they would be read.

        Arguments:
            keys: of messages of the project.
            end: aware.
            start: aware; None: the present. Messages that were not live by then are launched at this instant. From a
                start in the past to the present, all that happened happens again, and only these messages are decided
                anew; after the present nothing happens but time, and every live message is decided.
            draft: a message that is not created yet, or a draft as it is to be: its `key`, and what
                `client.messages.create` takes.
            campaigns: keys of campaigns of the project; each is simulated with its messages.
            campaign: one that is not created yet, or a draft as it is to be: its `key`, and what
                `client.campaigns.create` takes. Its messages are of the project.
            existing: as for a launch.
            examples: how many hand-offs of each message are rendered, up to 50.
            step: how far the clock moves at once after the present. None: an hour, or a thousandth of a long span.
            on_progress: told how far it is, every now and then.

        Raises:
            FailedPrecondition: HISTORY_GONE where the start is too long ago, with the earliest that can be had.

        Example::

            result = client.simulation.run("welcome", end=datetime(1998, 7, 8, tzinfo=UTC), existing="send")
            for message in result.messages:
                print(message.message.key, message.selected)
        """
        request = simulation_pb2.SimulateRequest(
            project=self._project, keys=keys, end_time=values.timestamp(end, "end_time"), examples=examples
        )
        if draft is not None:
            request.message.CopyFrom(message_of(**{"schedule": ASAP, **draft}))
        request.campaigns.extend(campaigns)
        if campaign is not None:
            request.campaign.CopyFrom(campaign_of(**campaign))
        if start is not None:
            request.start_time.CopyFrom(values.timestamp(start, "start_time"))
        if existing is not None:
            request.existing = EXISTING[existing]
        if step is not None:
            request.step.CopyFrom(values.duration(step))
        found = simulation_pb2.SimulationResult()

        def keep(part: simulation_pb2.SimulateResponse) -> None:
            if part.HasField("result"):
                found.CopyFrom(part.result)
            elif on_progress is not None:
                on_progress(part.progress)

        yield from flows.stream(_SIMULATE, request, self._transport.connection.retry, keep)
        return found
