"""The import stream: parcels of records, several under way at once, taken up again where the server has come to."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from muster.connection import Retry
from muster.errors import REQUEST_TOO_LARGE, Exhausted, FailedPrecondition, TimedOut, Unavailable
from muster.flow import Flow, Open, Receive, Rpc, Send, Take, Wait
from muster.records import MOST_BYTES, Record, not_a_record
from muster.results import Imported
from muster.v1 import ingest_pb2

IMPORT: Final = Rpc("/muster.v1.IngestService/Import", ingest_pb2.ImportResponse)
_SKIPPED_AT_ONCE: Final = 10_000
_OFFSET_GAP: Final = "OFFSET_GAP"
"""Code of a parcel that begins after the server's offset: one before it was not taken. Asking for the offset tells."""


@dataclass(slots=True)
class _Parcel:
    """One request's records. `places` are offsets in the source, in the order in which errors count: events first."""

    request: ingest_pb2.ImportRequest
    events: list[int] = field(default_factory=list)
    updates: list[int] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return self.request.offset + len(self.events) + len(self.updates)

    def rest(self, offset: int) -> _Parcel:
        """What of it lies at this offset and after."""
        events = zip(self.request.events, self.events, strict=True)
        updates = zip(self.request.updates, self.updates, strict=True)
        return _Parcel(
            ingest_pb2.ImportRequest(
                offset=offset,
                events=[event for event, place in events if place >= offset],
                updates=[update for update, place in updates if place >= offset],
            ),
            [place for place in self.events if place >= offset],
            [place for place in self.updates if place >= offset],
        )


class Supply:
    """The source of an import, cut into parcels.

    A parcel's events are applied before its updates. Imported events decide nothing, so only a deletion could tell
    the difference: an event that comes after one begins a new parcel.

    Arguments:
        records: the source; read once, from front to back.
        most: records in a parcel.
    """

    def __init__(self, records: Iterable[Record] | AsyncIterable[Record], most: int) -> None:
        self._source = aiter(records) if isinstance(records, AsyncIterable) else iter(records)
        self._most = most
        self._ahead: deque[Record] = deque()
        self._ended = False
        self._offset = 0

    def skip(self, count: int) -> Flow[int]:
        """Pass over records; how many there were."""
        skipped = min(count, len(self._ahead))
        for _ in range(skipped):
            self._ahead.popleft()
        while skipped < count and not self._ended:
            wanted = min(_SKIPPED_AT_ONCE, count - skipped)
            taken = len((yield Take(self._source, wanted)))
            self._ended = taken < wanted
            skipped += taken
        self._offset += skipped
        return skipped

    def parcel(self) -> Flow[_Parcel | None]:
        """The next parcel; None at the end of the source."""
        wanted = self._most - len(self._ahead)
        if wanted and not self._ended:
            taken = yield Take(self._source, wanted)
            self._ended = len(taken) < wanted
            self._ahead.extend(taken)
        return self._cut() if self._ahead else None

    def _cut(self) -> _Parcel:
        parcel = _Parcel(ingest_pb2.ImportRequest(offset=self._offset))
        size, deletes = 0, False
        while self._ahead:
            record = self._ahead[0]
            if not isinstance(record, ingest_pb2.Event | ingest_pb2.ProfileUpdate):
                raise not_a_record(self._offset, record)
            size += record.ByteSize()
            if parcel.end > parcel.request.offset and size > MOST_BYTES:
                break
            if isinstance(record, ingest_pb2.Event):
                if deletes:
                    break
                parcel.request.events.append(record)
                parcel.events.append(self._offset)
            else:
                deletes = deletes or record.HasField("delete")
                parcel.request.updates.append(record)
                parcel.updates.append(self._offset)
            self._ahead.popleft()
            self._offset += 1
        return parcel


def importing(
    supply: Supply,
    *,
    project: str,
    import_id: str,
    window: int,
    progress: Callable[[Imported], object] | None,
    patience: float,
    retry: Retry,
) -> Flow[Imported]:
    """Carry an import to its end; see `Ingest.import_records`."""
    work = _Import(supply, window, progress)
    first = ingest_pb2.ImportRequest(project=project, import_id=import_id)
    failures = 0
    while True:
        try:
            yield Open(IMPORT, None, None)
            yield Send(first)
            yield from work.resume((yield from _next_offset()))
            yield from work.go_on()
            return work.imported
        except (Unavailable, TimedOut, Exhausted, FailedPrecondition) as error:
            if isinstance(error, FailedPrecondition) and error.code != _OFFSET_GAP:
                raise
            failures = 0 if work.moved else failures + 1
            work.moved = False
            given_up = time.monotonic() - work.progressed >= patience if work.begun else failures >= retry.attempts
            if error.code == REQUEST_TOO_LARGE or given_up:
                raise
        yield Wait(retry.wait(failures))
        work.imported.reconnects += work.begun


class _Import:
    """What is sent, and how far the server has come."""

    def __init__(self, supply: Supply, window: int, progress: Callable[[Imported], object] | None) -> None:
        self.imported = Imported()
        self.progressed = time.monotonic()
        self.moved = False
        self._supply = supply
        self._window = window
        self._progress = progress
        self._unanswered: deque[_Parcel] = deque()
        self._under_way = 0  # how many of those were sent on this stream
        self.begun = False

    def resume(self, offset: int) -> Flow[None]:
        """Begin at the server's offset: pass over what has arrived, by an earlier stream or an earlier process."""
        if not self.begun:
            yield from self._skip(offset)
            self.imported.offset = self.imported.resumed_at = offset
            self.begun = True
        if offset < self.imported.offset:
            raise _diverged(offset, self.imported.offset)
        yield from self._pass_over(offset)
        self._under_way = 0

    def _pass_over(self, offset: int) -> Flow[None]:
        """Leave out what is below the server's offset. It may lie within a parcel: batches of an earlier process, cut
        at other places, can land as long as the server has them in its hands."""
        while self._unanswered and self._unanswered[0].request.offset < offset:
            parcel = self._unanswered.popleft()
            if parcel.end > offset:
                self._unanswered.appendleft(parcel.rest(offset))
            arrived = min(parcel.end, offset)
            self.imported.unreported += arrived - parcel.request.offset
            self._note(arrived)
        if self.imported.offset < offset:
            yield from self._skip(offset)
            self.imported.unreported += offset - self.imported.offset
            self._note(offset)

    def _skip(self, offset: int) -> Flow[None]:
        """Pass over records of the source that were not read yet, up to the server's offset."""
        wanted = offset - self.imported.offset
        skipped = yield from self._supply.skip(wanted)
        if skipped < wanted:
            raise FailedPrecondition(
                f"an import of that id has come to {offset}, and there are only {self.imported.offset + skipped} records",
                field="import_id",
                mend="give the records that it was begun with, or another import_id",
                code="IMPORT_TOO_SHORT",
            )

    def go_on(self) -> Flow[None]:
        """Keep the window full until everything is answered.

        After a break one parcel goes alone at first: if it was what broke the stream, the server's word is heard.
        """
        while True:
            window = 1 if self.imported.reconnects and not self.moved else self._window
            while self._under_way < window and (parcel := (yield from self._next())) is not None:
                self._under_way += 1
                yield Send(parcel.request)
            if not self._unanswered:
                return
            self._answered((yield from _answer()))

    def _next(self) -> Flow[_Parcel | None]:
        """The next parcel to send: one that an earlier stream left unanswered, or a new one."""
        if self._under_way < len(self._unanswered):
            return self._unanswered[self._under_way]
        parcel = yield from self._supply.parcel()
        if parcel is not None:
            self._unanswered.append(parcel)
        return parcel

    def _answered(self, answer: ingest_pb2.ImportResponse) -> None:
        parcel = self._unanswered[0]
        if answer.next_offset < parcel.request.offset:
            raise _diverged(answer.next_offset, parcel.request.offset)
        if answer.next_offset < parcel.end:
            raise Unavailable(
                f"an earlier stream of this import has come to {answer.next_offset} meanwhile",
                mend="run one import of an id at a time",
                code="IMPORT_OVERTAKEN",
            )
        self._unanswered.popleft()
        self._under_way -= 1
        places = parcel.events + parcel.updates
        if answer.accepted + answer.duplicates + len(answer.errors):
            self.imported.count(answer.accepted, answer.duplicates, answer.errors, places)
        else:  # the broken stream's copy was taken after all, later than the server told where it was
            self.imported.unreported += len(places)
        self._note(parcel.end)

    def _note(self, offset: int) -> None:
        self.imported.offset = offset
        self.progressed = time.monotonic()
        self.moved = True
        if self._progress is not None:
            self._progress(self.imported)


def _diverged(server: int, client: int) -> FailedPrecondition:
    return FailedPrecondition(
        f"the server has come to {server}, and this import to {client}",
        field="import_id",
        mend="run one import of an id at a time, on one store",
        code="IMPORT_DIVERGED",
    )


def _answer() -> Flow[ingest_pb2.ImportResponse]:
    answer: ingest_pb2.ImportResponse | None = yield Receive()
    if answer is None:
        raise Unavailable("the server ended the stream")
    return answer


def _next_offset() -> Flow[int]:
    answer = yield from _answer()
    return int(answer.next_offset)
