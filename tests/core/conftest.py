"""Projects for tests of the engine's rules."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from core.storage import environment
from tests.core.project import Project


@pytest.fixture
def project(tmp_path: Path, unsynced: None) -> Iterator[Project]:
    """A live project whose clock stands at START."""
    with Project(tmp_path / "project") as made:
        yield made


@pytest.fixture
def sandbox(tmp_path: Path, unsynced: None) -> Iterator[Project]:
    """A sandbox project."""
    with Project(tmp_path / "sandbox", sandbox=True) as made:
        yield made


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting for the platter, in tests of rules: a store as always, except that a power cut could harm it."""
    monkeypatch.setattr(environment.lmdb, "open", partial(environment.lmdb.open, sync=False, metasync=False))
