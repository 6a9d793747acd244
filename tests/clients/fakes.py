"""A gRPC server in this process that fails as it is told to, built on the generated stubs."""
# ruff: noqa: N802 - the names of methods are those of the protocol

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from muster.v1 import ingest_pb2, ingest_pb2_grpc, profile_pb2, profile_pb2_grpc

Fault = Callable[[Any], None]


def refuse(
    context: grpc.ServicerContext, status: grpc.StatusCode, message: str, reason: str = "", **metadata: str
) -> None:
    """End a call as the real server does: a status with google.rpc details in the trailers."""
    if reason:
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="muster", metadata=metadata))
        packed = status_pb2.Status(code=status.value[0], message=message, details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", packed.SerializeToString()),))
    context.abort(status, message)


class FakeIngest(ingest_pb2_grpc.IngestServiceServicer):
    """Keeps what it is sent. `faults` are used up one a call, before or, for `late_faults`, after taking the records.

    A repeated request id answers as the first did. `gate` holds every unary call up while it is cleared.
    """

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.taken: list[Any] = []
        self.answers: dict[str, Any] = {}
        self.faults: list[Fault] = []
        self.late_faults: list[Fault] = []
        self.gate = threading.Event()
        self.gate.set()
        self.importing = threading.Lock()
        self.offsets: dict[str, int] = {}
        self.imported: dict[str, list[Any]] = {}
        self.streams = 0
        self.break_after: list[int | None] = []  # a stream: how many batches are answered; None: no break
        self.swallow_last_answer = False  # the batch after those is stored, its answer lost
        self.when_asked: list[Callable[[], None]] = []  # done one a question for an import's offset, before the answer
        self.poison = False  # whether batches of an import are refused as a whole
        self.reject: Callable[[Any], bool] = lambda record: False

    def Track(self, request: Any, context: Any) -> Any:
        def store() -> Any:
            bad = [i for i, event in enumerate(request.events) if self.reject(event)]
            self.taken += [event for i, event in enumerate(request.events) if i not in bad]
            errors = [_error(index) for index in bad]
            return ingest_pb2.TrackResponse(accepted=len(request.events) - len(bad), errors=errors)

        return self._unary(request, context, store)

    def UpdateProfiles(self, request: Any, context: Any) -> Any:
        def store() -> Any:
            self.taken += list(request.updates)
            return ingest_pb2.UpdateProfilesResponse(accepted=len(request.updates))

        return self._unary(request, context, store)

    def MergeUsers(self, request: Any, context: Any) -> Any:
        return self._unary(request, context, lambda: ingest_pb2.MergeUsersResponse(merged=True))

    def _unary(self, request: Any, context: Any, store: Callable[[], Any]) -> Any:
        self.requests.append(request)
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
        self.gate.wait(20)
        if self.faults:
            self.faults.pop(0)(context)
        if request.request_id not in self.answers:
            self.answers[request.request_id] = store()
        if self.late_faults:
            self.late_faults.pop(0)(context)
        return self.answers[request.request_id]

    def Import(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        self.streams += 1
        limit = self.break_after.pop(0) if self.break_after else None
        name, answered = "", 0
        for request in requests:
            name = name or request.import_id
            known = self.offsets.setdefault(name, 0)
            records = [*request.events, *request.updates]
            if not records:
                if self.when_asked:
                    self.when_asked.pop(0)()
                yield ingest_pb2.ImportResponse(next_offset=self.offsets[name])
                continue
            if self.poison:
                refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "too many", "BATCH_TOO_LARGE")
            if answered == limit and not self.swallow_last_answer:
                refuse(context, grpc.StatusCode.UNAVAILABLE, "the stream broke")
            if request.offset > known:
                refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "a gap", "OFFSET_GAP")
            bad = [index for index, record in enumerate(records) if self.reject(record)]
            good = [record for index, record in enumerate(records) if index not in bad]
            with self.importing:
                fresh = request.offset == self.offsets[name]
                if fresh:
                    self.imported.setdefault(name, []).extend(good)
                    self.offsets[name] += len(records)
            if answered == limit:
                refuse(context, grpc.StatusCode.UNAVAILABLE, "the stream broke")
            answered += 1
            yield ingest_pb2.ImportResponse(
                next_offset=self.offsets[name],
                accepted=len(good) if fresh else 0,
                errors=[_error(index) for index in bad] if fresh else [],
            )

    def land(self, import_id: str, records: list[Any]) -> None:
        """Store a batch of an import that an earlier process sent, and that the server had in its hands until now."""
        self.imported.setdefault(import_id, []).extend(records)
        self.offsets[import_id] = self.offsets.get(import_id, 0) + len(records)


class FakeProfiles(profile_pb2_grpc.ProfileServiceServicer):
    """Seven users in pages of three; one user is not there."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def GetProfile(self, request: Any, context: Any) -> Any:
        if request.distinct_id == "nobody":
            refuse(
                context,
                grpc.StatusCode.NOT_FOUND,
                "there is no user 'nobody'",
                "USER_NOT_FOUND",
                field="distinct_id",
                mend="ids are case-sensitive",
            )
        return profile_pb2.GetProfileResponse(profile=profile_pb2.Profile(distinct_id=request.distinct_id))

    def ListProfiles(self, request: Any, context: Any) -> Any:
        self.pages.append(request.page_token)
        start = int(request.page_token or 0)
        rows = [profile_pb2.Profile(distinct_id=f"u{number}") for number in range(start, min(start + 3, 7))]
        return profile_pb2.ListProfilesResponse(profiles=rows, next_page_token=str(start + 3) if start + 3 < 7 else "")


class FakeServer:
    """The fakes on a free port of loopback. `restart` ends every call and comes back on the same port."""

    def __init__(self, most_bytes: int = 32 << 20, tls: Path | None = None) -> None:
        self._tls = tls  # PEM file of a certificate and its key
        self.ingest = FakeIngest()
        self.profiles = FakeProfiles()
        self.port = 0
        self.most_bytes = most_bytes
        self._server: Any = None
        self.start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", self.most_bytes)]
        # Without so_reuseport a port that is still taken gives an error instead of a server that is never asked.
        self._server = grpc.server(futures.ThreadPoolExecutor(64), options=options)
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(self.ingest, self._server)
        profile_pb2_grpc.add_ProfileServiceServicer_to_server(self.profiles, self._server)
        address = f"127.0.0.1:{self.port}"
        if self._tls is None:
            self.port = self._server.add_insecure_port(address)
        else:
            pem = self._tls.read_bytes()
            self.port = self._server.add_secure_port(address, grpc.ssl_server_credentials([(pem, pem)]))
        self._server.start()

    def stop(self) -> None:
        self.ingest.gate.set()
        self._server.stop(0).wait()


def unavailable(context: Any) -> None:
    """A fault: not now."""
    refuse(context, grpc.StatusCode.UNAVAILABLE, "not now", "UNAVAILABLE")


def _error(index: int) -> Any:
    return ingest_pb2.RecordError(
        index=index, code="VALUE_NOT_FINITE", field="properties.amount", message="not a number", mend="a number"
    )
