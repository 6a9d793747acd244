"""What came of messages, as messages of the protocol."""

from __future__ import annotations

from muster.v1 import message_pb2, results_pb2

from core.analytics.difference import Estimate
from core.analytics.sums import Sums
from core.messaging.results import Arm, Compared, Day, Divided, Outcome, Results
from server.convert.goals import goal_message
from server.convert.reports import counts
from server.convert.times import timestamp


def results(found: Results) -> results_pb2.Results:
    """What came of messages."""
    return results_pb2.Results(
        goal=None if found.goal is None else goal_message(found.goal),
        now=timestamp(found.now),
        arms=[_arm(arm) for arm in found.arms],
        comparisons=[_comparison(one) for one in found.compared],
        sample_ratios=[_sample_ratio(one) for one in found.divided],
        maturing=found.maturing,
    )


def _arm(found: Arm) -> results_pb2.Arm:
    return results_pb2.Arm(
        name=found.name,
        counts=counts(found.counts),
        users=found.users,
        outcome=_outcome(found.outcome),
        days=[_day(day) for day in found.days],
    )


def _day(found: Day) -> results_pb2.ArmDay:
    return results_pb2.ArmDay(
        time=timestamp(found.start),
        selected=found.selected,
        held_out=found.held_out,
        skipped=[message_pb2.SkipCount(reason=reason, users=users) for reason, users in found.skipped],
        outcome=_outcome(found.outcome),
    )


def _outcome(found: Outcome) -> results_pb2.ArmOutcome:
    return results_pb2.ArmOutcome(
        exposed=found.exposed,
        delivered=found.delivered,
        opened=found.opened,
        clicked=found.clicked,
        bounced=found.bounced,
        complained=found.complained,
        unsubscribed=found.unsubscribed,
        replied=found.replied,
        dismissed=found.dismissed,
        converted=found.converted,
        revenue=found.revenue,
    )


def _comparison(one: Compared) -> results_pb2.Comparison:
    found = one.found
    return results_pb2.Comparison(
        metric=one.metric,
        arm=one.arm,
        baseline=one.baseline,
        treated=_sample(found.treated),
        control=_sample(found.control),
        difference=_estimate(found.difference),
        always_low=found.always_low or 0.0,
        always_high=found.always_high or 0.0,
        lift=_estimate(found.lift),
        least_detectable=found.detectable or 0.0,
    )


def _sample_ratio(one: Divided) -> results_pb2.SampleRatio:
    whole = sum(share for _, share in one.sizes.values())
    return results_pb2.SampleRatio(
        arms=[
            results_pb2.ArmShare(arm=name, users=users, share=share / whole)
            for name, (users, share) in one.sizes.items()
        ],
        statistic=one.found.statistic,
        p_value=one.found.p_value,
        mismatch=one.found.mismatch,
    )


def _sample(found: Sums) -> results_pb2.Sample:
    return results_pb2.Sample(users=found.n, mean=found.mean)


def _estimate(found: Estimate | None) -> results_pb2.Estimate | None:
    if found is None:
        return None
    return results_pb2.Estimate(
        value=found.value, low=found.low, high=found.high, statistic=found.statistic, p_value=found.p_value
    )
