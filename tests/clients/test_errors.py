"""Promise: a call that fails raises an error of its own class, with the server's code, field, mend and place."""

from __future__ import annotations

from typing import Any

import grpc
import muster
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from muster.errors import from_status

from server import errors as server_errors
from tests.clients.fakes import FakeServer


def trailers(reason: str, metadata: dict[str, str], *before: Any) -> list[tuple[str, str | bytes]]:
    details = []
    for message in (*before, error_details_pb2.ErrorInfo(reason=reason, domain="muster", metadata=metadata)):
        details.append(any_pb2.Any())
        details[-1].Pack(message)
    status = status_pb2.Status(code=3, message="m", details=details)
    return [("content-type", "grpc"), ("grpc-status-details-bin", status.SerializeToString())]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, muster.InvalidInput),
        (grpc.StatusCode.NOT_FOUND, muster.NotFound),
        (grpc.StatusCode.ALREADY_EXISTS, muster.AlreadyExists),
        (grpc.StatusCode.ABORTED, muster.StaleEtag),
        (grpc.StatusCode.FAILED_PRECONDITION, muster.FailedPrecondition),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, muster.Exhausted),
        (grpc.StatusCode.UNAVAILABLE, muster.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, muster.TimedOut),
        (grpc.StatusCode.CANCELLED, muster.Cancelled),
        (grpc.StatusCode.UNAUTHENTICATED, muster.Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, muster.PermissionDenied),
        (grpc.StatusCode.UNIMPLEMENTED, muster.Unimplemented),
        (grpc.StatusCode.INTERNAL, muster.InternalError),
    ],
)
def test_each_status_has_its_class(status: grpc.StatusCode, kind: type[muster.MusterError]) -> None:
    error = from_status(status, "no", None)
    assert type(error) is kind
    assert error.code == kind.code


def test_every_status_of_the_server_has_a_class() -> None:
    statuses = {*server_errors.STATUS.values(), *server_errors.BY_CODE.values()}
    assert all(type(from_status(status, "", None)) is not muster.MusterError for status in statuses)


def test_the_details_are_read() -> None:
    metadata = {"field": "expression", "mend": "add a )", "position": "17"}
    error = from_status(
        grpc.StatusCode.INVALID_ARGUMENT, "a bracket is missing", trailers("EXPRESSION_SYNTAX", metadata)
    )
    assert (error.code, error.field, error.mend, error.position) == ("EXPRESSION_SYNTAX", "expression", "add a )", 17)
    assert str(error) == "expression: a bracket is missing (add a ))"


def test_a_template_error_has_line_and_column() -> None:
    error = from_status(grpc.StatusCode.INVALID_ARGUMENT, "no", trailers("X", {"line": "3", "column": "9"}))
    assert (error.line, error.column, error.position) == (3, 9, -1)


def test_details_of_other_kinds_are_passed_over() -> None:
    other = error_details_pb2.RetryInfo()
    assert from_status(grpc.StatusCode.NOT_FOUND, "no", trailers("GONE", {}, other)).code == "GONE"


@given(reason=st.text(max_size=20), metadata=st.dictionaries(st.text(max_size=8), st.text(max_size=30), max_size=5))
def test_details_are_read_as_googles_own_classes_write_them(reason: str, metadata: dict[str, str]) -> None:
    error = from_status(grpc.StatusCode.NOT_FOUND, "no", trailers(reason, metadata))
    assert error.code == (reason or "NOT_FOUND")
    assert error.mend == metadata.get("mend", "")


@given(st.binary(max_size=60))
def test_damaged_details_leave_the_status(data: bytes) -> None:
    error = from_status(grpc.StatusCode.NOT_FOUND, "gone", [("grpc-status-details-bin", data)])
    assert isinstance(error, muster.NotFound)
    assert error.message == "gone"


def test_a_call_raises_the_typed_error(client: muster.Client) -> None:
    with pytest.raises(muster.NotFound) as caught:
        client.profiles.get("nobody")
    assert caught.value.code == "USER_NOT_FOUND"
    assert caught.value.field == "distinct_id"
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_a_method_that_the_server_lacks(client: muster.Client) -> None:
    with pytest.raises(muster.Unimplemented):
        client.profiles.schema()


def test_no_server(fake: FakeServer) -> None:
    fake.stop()
    with (
        muster.Client(fake.target, retry=muster.Retry(attempts=2, first_wait=0.01)) as client,
        pytest.raises(muster.Unavailable),
    ):
        client.profiles.get("u1")
