"""One hierarchy of domain errors, each with a stable code.

A code never changes once released: clients branch on it. `server/errors.py` maps each class to a gRPC
status in one table. `field` names the offending input in the caller's own terms (a dotted path with
indexes, such as `events[3].properties.amount`) and `mend` says what would be right.
"""

from __future__ import annotations


class MusterError(Exception):
    """Base of every error that Muster raises on purpose.

    Arguments:
        message: what is wrong, in one sentence, safe to show to a client.
        field: the offending input, or "" where none applies.
        mend: what would be right. None is raised without one (tests/test_mends.py); "" is for what is made of a
            status that has none.
        code: overrides the class's stable code with a more precise one.
    """

    code = "INTERNAL"

    def __init__(self, message: str, *, field: str = "", mend: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.mend = mend
        if code:
            self.code = code

    def __str__(self) -> str:
        place = f"{self.field}: " if self.field else ""
        mend = f" ({self.mend})" if self.mend else ""
        return f"{place}{self.message}{mend}"


class InvalidInput(MusterError):
    """The request can never succeed as it is."""

    code = "INVALID_INPUT"


class InvalidExpression(InvalidInput):
    """A targeting expression that does not parse, check or fit. `position` is a 0-based code point offset."""

    code = "INVALID_EXPRESSION"

    def __init__(self, message: str, *, position: int = -1, field: str = "expression", mend: str = "", code: str = ""):
        super().__init__(message, field=field, mend=mend, code=code)
        self.position = position


class InvalidTemplate(InvalidInput):
    """A template that does not parse or uses what is not allowed. `line` and `column` count from 1; 0 = not known."""

    code = "INVALID_TEMPLATE"

    def __init__(
        self, message: str, *, line: int = 0, column: int = 0, field: str = "template", mend: str = "", code: str = ""
    ):
        super().__init__(message, field=field, mend=mend, code=code)
        self.line = line
        self.column = column


class NotFound(MusterError):
    """The named thing does not exist."""

    code = "NOT_FOUND"


class AlreadyExists(MusterError):
    """The name is taken."""

    code = "ALREADY_EXISTS"


class StaleEtag(MusterError):
    """The thing changed since the caller read it."""

    code = "STALE_ETAG"


class FailedPrecondition(MusterError):
    """The request is well formed but the present state does not allow it."""

    code = "FAILED_PRECONDITION"


class Exhausted(MusterError):
    """A limit is reached: a queue is full, a disk is full."""

    code = "EXHAUSTED"


class ExpressionTooCostly(Exhausted):
    """A targeting expression that would take too long over these users. `position` is a 0-based code point offset."""

    code = "EXPRESSION_TOO_COSTLY"

    def __init__(self, message: str, *, position: int = -1, field: str = "expression", mend: str = "", code: str = ""):
        super().__init__(message, field=field, mend=mend, code=code)
        self.position = position


class Unavailable(MusterError):
    """Not now; the same request may succeed later."""

    code = "UNAVAILABLE"


class StoreError(MusterError):
    """The store on disk cannot be used as it is: damaged, truncated, locked, or of a newer format."""

    code = "STORE_ERROR"

    def __init__(
        self, message: str, *, field: str = "", mend: str = "restore a backup of this store", code: str = ""
    ) -> None:
        super().__init__(message, field=field, mend=mend, code=code)
