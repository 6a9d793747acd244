"""pytest fixtures: one server a session, one project a test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pytest

from muster.testing.process import ServerProcess, start_server
from muster.testing.server import TestServer

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Where the clock of a test's project stands at first."""


@pytest.fixture(scope="session")
def muster_server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on an empty store, for the whole session."""
    with start_server(tmp_path_factory.mktemp("muster") / "store") as process:
        yield process


@pytest.fixture
def muster_server(muster_server_process: ServerProcess) -> Iterator[TestServer]:
    """A server and a project of the test's own: a sandbox whose clock stands at 2026-01-01 until it is moved."""
    server = TestServer.with_project(muster_server_process, f"test-{uuid.uuid4().hex[:12]}", START)
    try:
        yield server
    finally:
        server.close()
