"""Projects for tests of the engine's rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A live project whose clock stands at START."""
    with Project(tmp_path / "project") as made:
        yield made


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Project]:
    """A sandbox project."""
    with Project(tmp_path / "sandbox", sandbox=True) as made:
        yield made
