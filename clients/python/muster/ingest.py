"""Durable writes: batches of events and updates, imports that resume, merges. Each answers when all is on disk."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from typing import Final

from muster.errors import InvalidInput
from muster.flow import Flow, Rpc
from muster.importing import Supply, importing
from muster.records import MOST_RECORDS, Record, batches, checked
from muster.results import Imported, Written
from muster.service import Service, Way, answered, new_request_id
from muster.v1 import ingest_pb2

_SERVICE: Final = "/muster.v1.IngestService"
TRACK: Final = Rpc(f"{_SERVICE}/Track", ingest_pb2.TrackResponse)
UPDATE: Final = Rpc(f"{_SERVICE}/UpdateProfiles", ingest_pb2.UpdateProfilesResponse)
MERGE: Final = Rpc(f"{_SERVICE}/MergeUsers", ingest_pb2.MergeUsersResponse)


class Ingest(Service[Way]):
    """The durable writes of a client; see `muster.Client`."""

    @answered
    def track_many(self, events: Iterable[ingest_pb2.Event], *, request_id: str = "") -> Flow[Written]:
        """Store events, in order, in requests of up to 10,000; answers when they are on disk.

        Good records are taken, bad ones come back in `rejected`. A call that fails half-way has stored the requests
        before; give events a time or an insert id, and the whole may be sent again.

        Arguments:
            events: made by `muster.event`.
            request_id: names the call, so that the same one repeated within 24 hours does nothing new.

        Raises:
            MusterError: where a request as a whole was refused.

        Example::

            written = client.track_many([muster.event("Purchase", "u1", {"amount": 9.9})])
            print(written.accepted, [rejected.error.code for rejected in written.rejected])
        """
        name = request_id or new_request_id()
        written, start = Written(), 0
        for number, batch in enumerate(batches(checked(events, ingest_pb2.Event))):
            request = ingest_pb2.TrackRequest(project=self._project, request_id=f"{name}.{number}", events=batch)
            answer = yield from self._ask(TRACK, request)
            written.count(answer.accepted, answer.duplicates, answer.errors, range(start, start + len(batch)))
            start += len(batch)
        return written

    @answered
    def update_many(self, updates: Iterable[ingest_pb2.ProfileUpdate], *, request_id: str = "") -> Flow[Written]:
        """Change profiles, in order, in requests of up to 10,000; answers when it is on disk.

        Good records are taken, bad ones come back in `rejected`.

        Arguments:
            updates: made by `muster.update`, which gives a list for each call: join the lists of several.
            request_id: names the call, so that the same one repeated within 24 hours does nothing new.

        Raises:
            MusterError: where a request as a whole was refused; those before it are stored.
            InvalidInput: VALUE_TYPE, for what is no update, such as a list of them.

        Example::

            client.update_many(muster.update("u1", set={"plan": "free"}, add={"visits": 1}))
        """
        name = request_id or new_request_id()
        written, start = Written(), 0
        for number, batch in enumerate(batches(checked(updates, ingest_pb2.ProfileUpdate))):
            request = ingest_pb2.UpdateProfilesRequest(
                project=self._project, request_id=f"{name}.{number}", updates=batch
            )
            answer = yield from self._ask(UPDATE, request)
            written.count(answer.accepted, 0, answer.errors, range(start, start + len(batch)))
            start += len(batch)
        return written

    @answered
    def merge_users(self, distinct_id: str, other_id: str, *, request_id: str = "") -> Flow[bool]:
        """Make two ids one user, with all their history.

        Arguments:
            distinct_id: the id that stays: where both have a property, its value wins.
            other_id: an alias, or the anonymous id; from now on another name of the same user.

        Returns:
            Whether two users with history of their own became one.

        Example::

            client.merge_users("u1", "anonymous-4711")
        """
        request = ingest_pb2.MergeUsersRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            distinct_id=distinct_id,
            other_id=other_id,
        )
        answer = yield from self._ask(MERGE, request)
        return bool(answer.merged)

    @answered
    def import_records(
        self,
        records: Iterable[Record] | AsyncIterable[Record],
        *,
        import_id: str = "",
        batch: int = 5_000,
        window: int = 8,
        progress: Callable[[Imported], object] | None = None,
        patience: float = 60.0,
    ) -> Flow[Imported]:
        """Load history: events and profile updates, in order, over one stream that resumes by itself.

        The server says how far it has come; after a broken stream or its restart the import goes on there. It also
        does in another process that gives the same `import_id` and the same records in the same order. Imported
        events trigger no "asap" message.

        Arguments:
            records: made by `muster.event` and `muster.update`; read as they are needed. AsyncClient also takes an
                async iterable.
            import_id: names the import; "": a new name, which lives as long as this call.
            batch: records a request, at most 10,000.
            window: requests sent before the first must be answered.
            progress: called after each answer, with how far the import is. Must return soon.
            patience: seconds without progress after which a broken stream is given up. Before the first contact, the
                client's retries decide.

        Raises:
            MusterError: what broke the stream for good; what was acknowledged before is on disk.

        Example::

            done = client.import_records(
                (muster.event("Purchase", row.customer, {"amount": row.amount}, time=row.time) for row in rows),
                import_id="purchases-1998",
                progress=lambda at: print(at.offset),
            )
            print(done.accepted, done.duplicates, len(done.rejected))
        """
        if not 1 <= batch <= MOST_RECORDS:
            raise InvalidInput(f"a batch of {batch}", field="batch", mend=f"1 to {MOST_RECORDS:,}", code="BATCH_SIZE")
        if window < 1:
            raise InvalidInput(f"a window of {window}", field="window", mend="1 or more", code="WINDOW_SIZE")
        supply = Supply(records, batch)
        return (
            yield from importing(
                supply,
                project=self._project,
                import_id=import_id or new_request_id(),
                window=window,
                progress=progress,
                patience=patience,
                retry=self._transport.connection.retry,
            )
        )
