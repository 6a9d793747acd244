"""Throughput between protobuf and core."""

from __future__ import annotations

from collections.abc import Iterable

from muster.v1 import message_pb2, project_pb2

from core.limits import Throughput


def of_message(message: message_pb2.Message) -> Throughput | None:
    """The throughput of a message, None where it has none."""
    if not message.throughput_per_second:
        return None
    return Throughput(message.throughput_per_second, "", message.ramp.start, message.ramp.factor)


def lay_throughput(found: Throughput | None, message: message_pb2.Message) -> None:
    """Lay a message's throughput into what clients see."""
    if found is not None:
        message.throughput_per_second = found.per_second
        if found.ramp_start:
            message.ramp.CopyFrom(_ramp(found))


def of_project(sent: Iterable[project_pb2.Throughput]) -> list[Throughput]:
    """A project's throughputs."""
    return [Throughput(one.per_second, one.channel, one.ramp.start, one.ramp.factor) for one in sent]


def project_throughputs(found: Iterable[Throughput]) -> list[project_pb2.Throughput]:
    """A project's throughputs as clients see them."""
    return [
        project_pb2.Throughput(
            channel=one.channel, per_second=one.per_second, ramp=_ramp(one) if one.ramp_start else None
        )
        for one in found
    ]


def _ramp(found: Throughput) -> project_pb2.DailyRamp:
    return project_pb2.DailyRamp(start=found.ramp_start, factor=found.ramp_factor)
