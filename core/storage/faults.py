"""The seam through which a test makes the disk fail: named points that a write passes."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol


class Point(StrEnum):
    """Where a write can be made to fail."""

    BEGIN = "begin"  # before anything of the transaction is written
    SYNC = "sync"  # everything is put, the durable commit comes next
    COMMITTED = "committed"  # durable, but the caller does not know yet


class Faults(Protocol):
    """What a store tells its owner about each write. The real one does nothing."""

    def reach(self, place: str, point: Point) -> None:
        """Called as a write passes a point.

        Arguments:
            place: which write: "log.append", "log.truncate", "pages.begin", "pages.slice", "pages.switch",
                "pages.drop" or "pages.collect".
            point: how far it is.

        Raises:
            OSError: to have the write fail just there as if the disk had.
        """
        ...


class _NoFaults:
    def reach(self, place: str, point: Point) -> None:
        """Nothing fails here."""


NO_FAULTS: Final[Faults] = _NoFaults()
