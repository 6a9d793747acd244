"""Stores for tests, and a disk that fails on request."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.storage.faults import Point
from core.storage.store import Store


class FailingDisk:
    """Fails the n-th time (from 0) that a write passes a point; counts how often each was passed."""

    def __init__(self) -> None:
        self.passed: dict[tuple[str, Point], int] = {}
        self._plan: dict[tuple[str, Point, int], int] = {}

    def fail(self, place: str, point: Point, number: int = errno.EIO, after: int = 0) -> None:
        """Plan a failure with an errno, `after` further passes from now."""
        self._plan[(place, point, self.passed.get((place, point), 0) + after)] = number

    def reach(self, place: str, point: Point) -> None:
        """See core.storage.faults.Faults."""
        count = self.passed.get((place, point), 0)
        self.passed[(place, point)] = count + 1
        number = self._plan.pop((place, point, count), None)
        if number is not None:
            raise OSError(number, "made to fail")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "project"


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.fixture
def store(folder: Path, disk: FailingDisk) -> Iterator[Store]:
    with Store.create(folder, faults=disk) as made:
        yield made
