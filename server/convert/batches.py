"""Requests that carry records: from the wire's bytes to core's columns, what `wire` leaves by the official decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from core.profiles.batch import NO_CHANGES, NO_EVENTS, NO_PLACES, ChangeBatch, EventBatch, Places, Read
from core.profiles.records import EventRecord, ProfileChange
from server.convert import records, wire

Parse = Callable[[bytes], Message]


@dataclass(frozen=True, slots=True)
class Records:
    """A request's records.

    Arguments:
        events, event_places, changes, change_places: what `wire` took.
        others: a message with what it left, which has lists `events` and `updates`, or one of them.
        other_events, other_changes: the places of those.
    """

    events: EventBatch
    event_places: Places
    changes: ChangeBatch
    change_places: Places
    others: Any
    other_events: Sequence[int]
    other_changes: Sequence[int]

    def __len__(self) -> int:
        return len(self.events) + len(self.changes) + len(self.other_events) + len(self.other_changes)

    @property
    def is_read(self) -> bool:
        """Whether `lists` has nothing to convert."""
        return not self.other_events and not self.other_changes

    def lists(self) -> tuple[Read[EventBatch, EventRecord], Read[ChangeBatch, ProfileChange]]:
        """Events and changes, what `wire` left converted one by one."""
        events = [records.event(one) for one in self.others.events] if self.other_events else []
        changes = [records.change(one) for one in self.others.updates] if self.other_changes else []
        return (
            Read(self.events, self.event_places, list(zip(self.other_events, events, strict=True))),
            Read(self.changes, self.change_places, list(zip(self.other_changes, changes, strict=True))),
        )


@dataclass(frozen=True, slots=True)
class Request:
    """A TrackRequest, UpdateProfilesRequest or ImportRequest; what the message does not have is empty."""

    project: str
    records: Records
    request_id: str = ""
    import_id: str = ""
    offset: int = 0


def _read(raw: bytes, parse: Parse, events: int, updates: int, *, imported: bool = False) -> Request:
    """Read a request; `events` and `updates` are the numbers of its fields, 0 where it has none."""
    found = wire.read(raw, events, updates, imported)
    if found is None:
        message: Any = parse(raw)
        sent_events = range(len(message.events) if events else 0)
        sent_changes = range(len(message.updates) if updates else 0)
        left = Records(NO_EVENTS, NO_PLACES, NO_CHANGES, NO_PLACES, message, sent_events, sent_changes)
        if imported:
            return Request(message.project, left, import_id=message.import_id, offset=message.offset)
        return Request(message.project, left, message.request_id)
    project, name, offset, of_events, of_updates = found
    event_spans, other_events = of_events.rest()
    update_spans, other_changes = of_updates.rest()
    others = None
    if other_events or other_changes:
        # In a message of their own they mean what they do in the request, and nest as deep.
        others = parse(b"".join(raw[start:end] for start, end in (*event_spans, *update_spans)))
    events_read, event_places = of_events.events() if events else (NO_EVENTS, NO_PLACES)
    changes_read, change_places = of_updates.changes() if updates else (NO_CHANGES, NO_PLACES)
    taken = Records(events_read, event_places, changes_read, change_places, others, other_events, other_changes)
    if imported:
        return Request(project, taken, import_id=name, offset=offset)
    return Request(project, taken, name)


def track(raw: bytes, parse: Parse) -> Request:
    """Read a TrackRequest; `parse` gives the message of bytes, or raises what the client is to hear."""
    return _read(raw, parse, 3, 0)


def update_profiles(raw: bytes, parse: Parse) -> Request:
    """Read an UpdateProfilesRequest, as `track`."""
    return _read(raw, parse, 0, 3)


def import_request(raw: bytes, parse: Parse) -> Request:
    """Read an ImportRequest, as `track`."""
    return _read(raw, parse, 4, 5, imported=True)


_SERVICE: Final = "/muster.v1.IngestService/"
READERS: Final = {
    f"{_SERVICE}Track": track,
    f"{_SERVICE}UpdateProfiles": update_profiles,
    f"{_SERVICE}Import": import_request,
}
"""By method, how its requests are read."""
