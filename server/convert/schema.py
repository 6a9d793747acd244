"""The schema of seen names as messages."""

from __future__ import annotations

from typing import Any

from muster.v1 import profile_pb2

from server.convert.times import timestamp
from server.convert.values import KINDS


def property_schema(found: Any) -> profile_pb2.PropertySchema:
    """One property with its types and how many have each."""
    return profile_pb2.PropertySchema(
        name=found.name,
        kinds=[
            profile_pb2.PropertySchema.KindCount(kind=KINDS[kind], count=count)
            for kind, count in sorted(found.kinds.items())
            if count
        ],
    )


def event_schema(found: Any) -> profile_pb2.EventSchema:
    """One event name with its count, properties, first and last instant."""
    message = profile_pb2.EventSchema(
        name=found.name, count=found.count, properties=[property_schema(one) for one in found.properties]
    )
    if found.count:
        message.first_time.CopyFrom(timestamp(found.first))
        message.last_time.CopyFrom(timestamp(found.last))
    return message
