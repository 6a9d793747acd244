"""What the analysis of time finds: leaves with the instants at which they may flip, and uses that are not understood."""

from __future__ import annotations

from dataclasses import dataclass

from core.evaluator.calendar_steps import Unit
from core.evaluator.time_terms import Constant, EventSource, PropertySource


@dataclass(frozen=True, slots=True)
class Calendar:
    """The beginnings of a unit of the calendar in a zone ("" is UTC), the same for everybody."""

    unit: Unit
    zone: str


Source = PropertySource | EventSource | Constant | Calendar


@dataclass(frozen=True, slots=True)
class TimeLeaf:
    """The answer may change at t + offset (micros) for each offset and each instant t of the source."""

    source: Source
    offsets: tuple[int, ...]
    position: int


@dataclass(frozen=True, slots=True)
class UnknownUse:
    """A use of `now` whose next change cannot be known from an index."""

    position: int
    message: str


@dataclass(frozen=True, slots=True)
class TimeUse:
    """How an expression depends on time."""

    leaves: tuple[TimeLeaf, ...]
    unknown: tuple[UnknownUse, ...]
