"""What became of records that were sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from muster.errors import InvalidInput
from muster.v1 import ingest_pb2


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that the server did not take.

    Arguments:
        offset: its 0-based place among the records given.
        error: why, with code, field and mend.
    """

    offset: int
    error: InvalidInput


@dataclass(slots=True)
class Written:
    """What became of records.

    Arguments:
        accepted: how many were taken.
        duplicates: events that were known already, by identity; not stored twice.
        rejected: those that were not taken, by offset.
    """

    accepted: int = 0
    duplicates: int = 0
    rejected: list[Rejected] = field(default_factory=list)

    def count(
        self, accepted: int, duplicates: int, errors: Iterable[ingest_pb2.RecordError], places: Sequence[int]
    ) -> None:
        """Add an answer about the records at these places."""
        self.accepted += accepted
        self.duplicates += duplicates
        self.rejected.extend(Rejected(places[error.index], record_error(error)) for error in errors)


@dataclass(slots=True)
class Imported(Written):
    """How far an import is.

    Arguments:
        offset: so many records, from the first, are on disk or rejected.
        resumed_at: where an earlier attempt of the same `import_id` had come to; what is below it is not counted here.
        unreported: records that are on disk or rejected, and whose answer was lost when the stream broke: they are
            in none of the counts.
        reconnects: how often the stream broke and was opened anew.
    """

    offset: int = 0
    resumed_at: int = 0
    unreported: int = 0
    reconnects: int = 0


@dataclass(slots=True)
class Reported(Written):
    """What became of feedback.

    Arguments:
        accepted: how much was taken.
        duplicates: how much was known already.
        unknown: how much is of no hand-off or user that the server knows.
    """

    unknown: int = 0


def record_error(error: ingest_pb2.RecordError) -> InvalidInput:
    """Why a record was not taken, as an error."""
    return InvalidInput(error.message, code=error.code, field=error.field, mend=error.mend)
