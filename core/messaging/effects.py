"""What a decision changes, as the log records it.

Deciding reads a version and gives effects; applying effects never decides. Recovery applies the recorded
effects and so cannot contradict what was decided, whatever release or time zone table it runs with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.codec import record
from core.messaging.definitions import MessageDefinition
from core.messaging.presence import Crossed
from core.messaging.runs import Fired
from core.values import Value

DeliveryState = Literal["held_out", "skipped", "deferred", "queued", "begun", "sent", "failed", "ambiguous"]

STATES: Final[tuple[DeliveryState, ...]] = (
    "held_out",
    "skipped",
    "deferred",
    "queued",
    "begun",
    "sent",
    "failed",
    "ambiguous",
)

OPEN_REASONS: Final = frozenset({"unreachable", "missing_property", "address_in_use"})
"""Skips that are judged again when what they read changes. Part before `:` of a reason."""

MATCHED_AT_LAUNCH: Final = "matched_at_launch"
BACKFILLED: Final = "backfilled"
UNREACHABLE: Final = "unreachable"
MISSING_PROPERTY: Final = "missing_property"
MISSING_EVENT: Final = "missing_event"
MISSING_DATA: Final = "missing_data"
RENDER_FAILED: Final = "render_failed"
NO_LONGER_MATCHES: Final = "no_longer_matches"
EXPIRED: Final = "expired"
ENDED: Final = "ended"
EXITED: Final = "exited"
MERGED: Final = "merged"
DELETED: Final = "deleted"
ONCE: Final = "once"
SUPERSEDED: Final = "superseded"
LOCAL_TIME_PAST: Final = "local_time_past"
SEND_WINDOW: Final = "send_window"
QUIET_HOURS: Final = "quiet_hours"
FREQUENCY_CAP: Final = "frequency_cap"
RATE_LIMIT: Final = "rate_limit"


def is_open(reason: str) -> bool:
    """Whether a skip for this reason is judged again when what it read changes."""
    return reason.partition(":")[0] in OPEN_REASONS


AT_SEND: Final = "at_send"
"""Before a reason that may pass, of a message that is sent on a call: nobody waits until it has passed."""


def lasting(reason: str, *, at_send: bool) -> str:
    """A skip's reason, made final where a call sends the message."""
    return f"{AT_SEND}:{reason}" if at_send and is_open(reason) else reason


@record("selected")
@dataclass(frozen=True, slots=True)
class Selected:
    """Users enter the ledger of an occurrence: each once, with the instant of the decision.

    ordinals: uint32[n]; instants: int64[n] in micros, of the same order. `reason` is set for skips and deferrals; the
    deferred are judged again at `due`, in micros.
    """

    key: str
    state: DeliveryState
    reason: str
    ordinals: npt.NDArray[np.uint32]
    instants: npt.NDArray[np.int64]
    occurrence: int = 0
    due: int = 0


@record("moved")
@dataclass(frozen=True, slots=True)
class Moved:
    """Users of an occurrence go from one state to another. Reasons belong to skips, deferrals and failures.

    `at`, in micros, says since when the users wait, where they join the queue later than they were selected, or when
    they would have, being held out; of those who begin, when they do, where that is counted.
    `doubt` is for those who return to the queue although their hand-off may have reached them. Who is deferred is
    judged again at `due`, in micros.
    """

    key: str
    users: BitMap
    source: DeliveryState
    source_reason: str
    target: DeliveryState
    target_reason: str
    at: int = 0
    doubt: bool = False
    occurrence: int = 0
    due: int = 0


@record("defined")
@dataclass(frozen=True, slots=True)
class Defined:
    """A message is created or changed, its state included."""

    definition: MessageDefinition


@record("caused")
@dataclass(frozen=True, slots=True)
class Caused:
    """The event that made each user match, kept for templates that name `event`; or what a call gave as `data`."""

    key: str
    events: dict[int, dict[str, Value]]
    occurrence: int = 0


@record("assigned")
@dataclass(frozen=True, slots=True)
class Assigned:
    """Users of an occurrence belong to a group, for good: `control`, `holdout`, or `variant:` and a key."""

    key: str
    occurrence: int
    group: str
    users: BitMap


@record("inbox_entry")
@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A message that a sandbox project did not send. `at` is micros of the project's clock."""

    message_key: str
    distinct_id: str
    channel: str
    at: int
    to: str
    subject: str = ""
    html: str = ""
    text: str = ""
    url: str = ""
    body: str = ""
    idempotency_key: str = ""


@record("inboxed")
@dataclass(frozen=True, slots=True)
class Inboxed:
    """Messages laid in the inbox, which from then on keeps its entries from number `first` on."""

    entries: list[InboxEntry] = field(default_factory=list)
    first: int = 0


@record("noted")
@dataclass(frozen=True, slots=True)
class Noted:
    """Events of Muster's own (`$campaign_delivery`, …), of one message: name, then ordinals uint32[n] and one map each.

    They happened at `at`, in micros, or each at its own of `times`, int64[n].
    """

    name: str
    ordinals: npt.NDArray[np.uint32]
    at: int
    insert_ids: list[str]
    properties: list[dict[str, Value]]
    times: npt.NDArray[np.int64] | None = None


Effect = Selected | Moved | Assigned | Defined | Caused | Inboxed | Noted | Fired | Crossed
