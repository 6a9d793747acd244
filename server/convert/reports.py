"""Forecasts, reports and deliveries as messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from muster.v1 import message_pb2

from core.commands import SendAnswer
from core.messaging.effects import is_open
from core.messaging.reading import Counts, DeliveryRow, Forecast, Report
from server.convert import audiences
from server.convert.messages import message
from server.convert.times import timestamp

_OUTCOMES: Final = {
    "fired": message_pb2.RUN_OUTCOME_FIRED,
    "late": message_pb2.RUN_OUTCOME_LATE,
    "missed": message_pb2.RUN_OUTCOME_MISSED,
}


def forecast(found: Forecast) -> message_pb2.LaunchForecast:
    """What a launch would do now."""
    return message_pb2.LaunchForecast(
        matching=found.matching,
        reachable=found.reachable,
        ready=found.ready,
        missing=[message_pb2.MissingProperty(name=name, users=users) for name, users in sorted(found.missing.items())],
        warnings=audiences.warnings(found.warnings),
        leaves=audiences.leaves(found.leaves),
        past=found.past,
        blocked=[
            message_pb2.SkipCount(reason=reason, open=is_open(reason), users=users) for reason, users in found.blocked
        ],
    )


def counts(found: Counts) -> message_pb2.DeliveryCounts:
    """Users by present state."""
    return message_pb2.DeliveryCounts(
        selected=found.selected,
        held_out=found.held_out,
        skipped=[
            message_pb2.SkipCount(reason=reason, open=is_open, users=users) for reason, is_open, users in found.skipped
        ],
        deferred=found.deferred,
        queued=found.queued,
        begun=found.begun,
        sent=found.sent,
        failed=found.failed,
        ambiguous=found.ambiguous,
        failures=[message_pb2.FailureCount(reason=reason, users=users) for reason, users in found.failures],
    )


def report(found: Report) -> message_pb2.GetReportResponse:
    """A message accounted for."""
    return message_pb2.GetReportResponse(
        message=message(found.definition),
        counts=counts(found.counts),
        reconciled=found.reconciled,
        problems=found.problems,
        selected_per_day=[
            message_pb2.DecisionCount(time=timestamp(start), users=users) for start, users in found.per_day
        ],
        now=timestamp(found.now),
        occurrences=[
            message_pb2.OccurrenceCounts(
                number=one.number,
                first_decide_time=timestamp(one.first_at),
                last_decide_time=timestamp(one.last_at),
                counts=counts(one.counts),
            )
            for one in found.occurrences
        ],
        runs=[
            message_pb2.Run(
                number=one.occurrence,
                plan_time=timestamp(one.planned),
                decide_time=timestamp(one.at),
                outcome=_OUTCOMES[one.outcome],
            )
            for one in found.runs
        ],
        next_run_time=None if found.next_run is None else timestamp(found.next_run),
    )


def sent(found: SendAnswer) -> list[message_pb2.SentTo]:
    """What a call that sends a message made of its users."""
    return [
        message_pb2.SentTo(
            distinct_id=one.distinct_id,
            state=one.state,
            reason=one.reason,
            occurrence=one.occurrence,
            idempotency_key=one.idempotency_key,
        )
        for one in found.users
    ]


def deliveries(rows: Iterable[DeliveryRow]) -> message_pb2.ListDeliveriesResponse:
    """A part of a listing of decisions."""
    return message_pb2.ListDeliveriesResponse(
        deliveries=[
            message_pb2.Delivery(
                message_key=row.message_key,
                distinct_id=row.distinct_id,
                decide_time=timestamp(row.decided_at),
                state=row.state,
                reason=row.reason,
                idempotency_key=row.idempotency_key,
                detail=row.detail,
                occurrence=row.occurrence,
                group=row.group,
            )
            for row in rows
        ]
    )
