"""What can go wrong, by gRPC status and by the server's stable code.

Branch on the class where the kind matters, on `.code` where the cause does::

    try:
        client.profiles.get("nobody")
    except muster.NotFound as error:
        print(error.code, error.mend)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import grpc
from google.protobuf import any_pb2, empty_pb2
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

_DETAILS_KEY: Final = "grpc-status-details-bin"
REQUEST_TOO_LARGE: Final = "REQUEST_TOO_LARGE"
"""Code of a request with more bytes than the server takes: the only Exhausted that waiting does not mend."""

_TOO_LARGE: Final = "larger than max"  # how gRPC itself puts it, where the request does not even reach the server
_ERROR_INFO: Final = "/google.rpc.ErrorInfo"
_LENGTH_DELIMITED: Final = 2


class MusterError(Exception):
    """Base of all errors of this package.

    Arguments:
        message: what is wrong, in one sentence.
        code: stable code, such as "PROJECT_NOT_FOUND"; the class's own where the server gave none.
        field: the offending input as a dotted path, such as `events[3].properties.amount`; "" where none applies.
        mend: what would be right; "" where nobody can say.
        position: 0-based code point offset in an expression; -1 where there is none.
        line: of a template, from 1; 0 where there is none.
        column: of a template, from 1; 0 where there is none.

    Example::

        >>> error = InvalidInput("a page of -1", code="PAGE_SIZE", field="page_size", mend="0 to 1000")
        >>> print(error)
        page_size: a page of -1 (0 to 1000)
        >>> error.code
        'PAGE_SIZE'
    """

    code = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        field: str = "",
        mend: str = "",
        position: int = -1,
        line: int = 0,
        column: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.mend = mend
        self.position = position
        self.line = line
        self.column = column
        if code:
            self.code = code

    def __str__(self) -> str:
        place = f"{self.field}: " if self.field else ""
        mend = f" ({self.mend})" if self.mend else ""
        return f"{place}{self.message}{mend}"


class InvalidInput(MusterError):
    """The request can never succeed as it is."""

    code = "INVALID_INPUT"


class NotFound(MusterError):
    """The named thing does not exist."""

    code = "NOT_FOUND"


class AlreadyExists(MusterError):
    """The name is taken."""

    code = "ALREADY_EXISTS"


class StaleEtag(MusterError):
    """The thing changed since it was read: read it again, then decide anew."""

    code = "STALE_ETAG"


class FailedPrecondition(MusterError):
    """The request is well formed, but the present state does not allow it."""

    code = "FAILED_PRECONDITION"


class Exhausted(MusterError):
    """A limit is reached: a queue or a disk is full, a request is too large."""

    code = "EXHAUSTED"


class Unavailable(MusterError):
    """Not now: no connection, or a server that starts, stops or cannot write. The same request may succeed later."""

    code = "UNAVAILABLE"


class TimedOut(MusterError):
    """No answer in time. Whether the request took effect is not known; asking again with its request id tells."""

    code = "TIMED_OUT"


class Unauthenticated(MusterError):
    """The call carries no token, or none that is known."""

    code = "UNAUTHENTICATED"


class PermissionDenied(MusterError):
    """The token is known but may not do this."""

    code = "PERMISSION_DENIED"


class Cancelled(MusterError):
    """The client was closed during the call, or the server ended it. Whether it took effect is not known."""

    code = "CANCELLED"


class Unimplemented(MusterError):
    """The server does not know this method: it is older than this client, or no Muster server."""

    code = "UNIMPLEMENTED"


class InternalError(MusterError):
    """The server failed in a way nobody foresaw; its log has more."""

    code = "INTERNAL"


_BY_STATUS: Final[Mapping[grpc.StatusCode, type[MusterError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.OUT_OF_RANGE: InvalidInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.ABORTED: StaleEtag,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Exhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.INTERNAL: InternalError,
    grpc.StatusCode.DATA_LOSS: InternalError,
}


def from_status(
    status: grpc.StatusCode, details: str | None, trailers: Iterable[tuple[str, str | bytes]] | None
) -> MusterError:
    """The typed error of a failed call, from its status and its trailing metadata."""
    reason, facts = "", dict[str, str]()
    for key, value in trailers or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            reason, facts = _error_info(value)
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED and not reason and _TOO_LARGE in (details or ""):
        reason = REQUEST_TOO_LARGE
    return _BY_STATUS.get(status, MusterError)(
        details or status.name,
        code=reason,
        field=facts.get("field", ""),
        mend=facts.get("mend", ""),
        position=_number(facts.get("position"), -1),
        line=_number(facts.get("line"), 0),
        column=_number(facts.get("column"), 0),
    )


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isdecimal() else otherwise


# google.rpc.Status and ErrorInfo belong to a package of their own (googleapis-common-protos). Two messages are not
# worth a dependency: protobuf itself reads them as fields by number.


def _error_info(status: bytes) -> tuple[str, dict[str, str]]:
    """Reason and metadata of the google.rpc.ErrorInfo in a serialised google.rpc.Status; empty where it has none.

    What does not parse counts as absent: the status code has said already that the call failed.
    """
    try:
        for packed in _fields(status).get(3, ()):
            detail = any_pb2.Any.FromString(packed)
            if detail.type_url.endswith(_ERROR_INFO):
                info = _fields(detail.value)
                entries = [_fields(entry) for entry in info.get(3, ())]
                return _text(info, 1), {_text(entry, 1): _text(entry, 2) for entry in entries}
    except (DecodeError, UnicodeDecodeError):
        return "", {}
    return "", {}


def _fields(data: bytes) -> dict[int, list[bytes]]:
    """The length-delimited fields of a serialised message, by number."""
    message: Message = empty_pb2.Empty.FromString(data)
    found: dict[int, list[bytes]] = {}
    unknown: Any = UnknownFieldSet(message)  # its stubs do not know that it can be iterated over
    for field in unknown:
        if field.wire_type == _LENGTH_DELIMITED:
            found.setdefault(field.field_number, []).append(field.data)
    return found


def _text(fields: Mapping[int, list[bytes]], number: int) -> str:
    return fields[number][-1].decode() if number in fields else ""
