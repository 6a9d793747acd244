"""A fake server a test, and clients that hardly wait between attempts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import muster
import pytest

from tests.clients.fakes import FakeServer

QUICK = muster.Retry(attempts=5, first_wait=0.01, longest_wait=0.05)


@pytest.fixture(scope="session", autouse=True)
def no_variables() -> Iterator[None]:
    """Whoever runs the tests may have a server of their own in mind."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MUSTER_")]:
            patch.delenv(name)
        yield


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """A server in this process."""
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def connect(fake: FakeServer) -> Iterator[Callable[..., muster.Client]]:
    """Makes clients of the fake server; closes them at the end."""
    made: list[muster.Client] = []

    def make(**options: Any) -> muster.Client:
        settings = {"project": "shop", "retry": QUICK, "linger": 0.01, "exit_timeout": 2.0, "timeout": 10.0}
        made.append(muster.Client(fake.target, **(settings | options)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(connect: Callable[..., muster.Client]) -> muster.Client:
    """A client of the fake server."""
    return connect()
