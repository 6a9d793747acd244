"""Muster's Python client: events and profiles in, audiences and messages out.

    import muster

    with muster.Client("127.0.0.1:7171", project="shop") as client:
        client.track("Purchase", "u1", {"amount": 9.9})  # returns at once
        client.update("u1", set={"plan": "free"})
        client.flush()
        print(client.audiences.count('user.plan == "free"').count)

`muster.v1` holds the protocol's messages, `muster.worker` the delivery stream for channel workers, `muster.testing`
a server for your tests.
"""

from muster import values
from muster.client import AsyncClient, Client
from muster.connection import Retry
from muster.errors import (
    AlreadyExists,
    Cancelled,
    Exhausted,
    FailedPrecondition,
    InternalError,
    InvalidInput,
    MusterError,
    NotFound,
    PermissionDenied,
    StaleEtag,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from muster.in_app import in_app_report
from muster.messages import UNCHANGED
from muster.queue import Lost
from muster.records import Record, event, update
from muster.reporting import feedback
from muster.results import Imported, Rejected, Reported, Written
from muster.schedules import Once, Recurring, WhenMet

__version__ = "0.1.0"

__all__ = [
    "UNCHANGED",
    "AlreadyExists",
    "AsyncClient",
    "Cancelled",
    "Client",
    "Exhausted",
    "FailedPrecondition",
    "Imported",
    "InternalError",
    "InvalidInput",
    "Lost",
    "MusterError",
    "NotFound",
    "Once",
    "PermissionDenied",
    "Record",
    "Recurring",
    "Rejected",
    "Reported",
    "Retry",
    "StaleEtag",
    "TimedOut",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "WhenMet",
    "Written",
    "event",
    "feedback",
    "in_app_report",
    "update",
    "values",
]
