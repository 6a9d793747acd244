"""The one table from domain errors to gRPC status, and the status' details on the wire.

A failed call carries, in the trailing metadata `grpc-status-details-bin`, a `google.rpc.Status` with one
`google.rpc.ErrorInfo`: `reason` is the stable code, `domain` is "muster", and `metadata` holds `field`, `mend`
and, for expressions and templates, `position`, `line` and `column`. No text of an unknown exception is sent.
"""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from core.errors import (
    AlreadyExists,
    Exhausted,
    ExpressionTooCostly,
    FailedPrecondition,
    InvalidExpression,
    InvalidInput,
    InvalidTemplate,
    MusterError,
    NotFound,
    StaleEtag,
    StoreError,
    Unavailable,
)

DOMAIN: Final = "muster"
DETAILS_KEY: Final = "grpc-status-details-bin"
# Bytes of each text. Peers refuse trailing metadata beyond 8 KiB, where a message takes thrice its bytes as gRPC
# writes it and is there a second time, with field and mend, in base64.
_MOST_BYTES: Final = 600


class Unauthenticated(MusterError):
    """The call carries no token, or none that is known."""

    code = "UNAUTHENTICATED"


class PermissionDenied(MusterError):
    """The token is known but may not do this."""

    code = "PERMISSION_DENIED"


STATUS: Final[dict[type[MusterError], grpc.StatusCode]] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    InvalidExpression: grpc.StatusCode.INVALID_ARGUMENT,
    InvalidTemplate: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    StaleEtag: grpc.StatusCode.ABORTED,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    StoreError: grpc.StatusCode.FAILED_PRECONDITION,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    MusterError: grpc.StatusCode.INTERNAL,
}
"""By class; a subclass that is not listed counts as its nearest listed base."""

BY_CODE: Final[dict[str, grpc.StatusCode]] = {
    "REQUEST_TOO_LARGE": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "STORE_LOCKED": grpc.StatusCode.UNAVAILABLE,
}
"""By code, where one code means another status than the rest of its class."""


def status_of(error: MusterError) -> grpc.StatusCode:
    """The gRPC status of a domain error."""
    if error.code in BY_CODE:
        return BY_CODE[error.code]
    for cls in type(error).__mro__:
        if cls in STATUS:
            return STATUS[cls]
    raise AssertionError("MusterError itself is in the table")


def error_info(error: MusterError) -> error_details_pb2.ErrorInfo:
    """The error's code, field, mend and position as `google.rpc.ErrorInfo`."""
    metadata = {"field": _short(error.field), "mend": _short(error.mend)}
    if isinstance(error, InvalidExpression | ExpressionTooCostly) and error.position >= 0:
        metadata["position"] = str(error.position)
    if isinstance(error, InvalidTemplate) and error.line > 0:
        metadata["line"] = str(error.line)
        metadata["column"] = str(error.column)
    return error_details_pb2.ErrorInfo(
        reason=error.code, domain=DOMAIN, metadata={key: text for key, text in metadata.items() if text}
    )


def status_details(error: MusterError) -> bytes:
    """The serialised `google.rpc.Status` for the trailing metadata."""
    code = status_of(error).value[0]
    packed = any_pb2.Any()
    packed.Pack(error_info(error))
    status: bytes = status_pb2.Status(code=code, message=sentence(error), details=[packed]).SerializeToString()
    return status


def sentence(error: MusterError) -> str:
    """The error's message, short enough for a status."""
    return _short(error.message)


def _short(text: str) -> str:
    """The text without lone surrogates, which no protobuf string can hold, and no longer than is let through."""
    data = text.encode("utf-8", "replace")
    if len(data) <= _MOST_BYTES:
        return data.decode()
    return data[:_MOST_BYTES].decode("utf-8", "ignore") + "…"
