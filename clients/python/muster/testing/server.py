"""What a test holds in its hand: a server, a project of the test's own, its clock and its inbox."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Self

from muster import values
from muster.client import Client
from muster.errors import TimedOut
from muster.testing.process import ServerProcess
from muster.v1 import project_pb2


class TestServer:
    """A running server and one project of it: a sandbox whose clock moves by request.

    Arguments:
        process: the server.
        project: name of a project that is there.

    Example::

        def test_nothing_happens_before_its_time(muster_server):
            muster_server.move_clock(timedelta(days=1))
            assert muster_server.inbox() == []
    """

    __test__ = False  # pytest must not take it for a class of tests

    def __init__(self, process: ServerProcess, project: str) -> None:
        self.process = process
        # No variable of the environment, which speak of another server.
        self.client = Client(process.target, project=project, token="", tls=False)

    @classmethod
    def with_project(cls, process: ServerProcess, project: str, start_time: datetime) -> Self:
        """A new sandbox project whose clock stands at `start_time`."""
        server = cls(process, project)
        server.client.projects.create(project, clock="manual", start_time=start_time)
        return server

    @property
    def target(self) -> str:
        """Address of the gRPC services."""
        return self.process.target

    @property
    def project(self) -> str:
        """The test's project."""
        return self.client.project

    @property
    def now(self) -> datetime:
        """Where the project's clock stands."""
        return values.to_datetime(self.client.projects.get().now)

    def move_clock(self, to: datetime | timedelta) -> datetime:
        """Move the clock to an instant, or by a length of time; where it stands then.

        What was tracked before is on disk first, and whatever time alone decides on the way is decided after.
        """
        self._flush()
        moment = self.now + to if isinstance(to, timedelta) else to
        return values.to_datetime(self.client.projects.move_clock(moment).now)

    def inbox(
        self, message_key: str = "", distinct_id: str = "", *, patience: float = 5.0
    ) -> list[project_pb2.InboxEntry]:
        """What the project would have sent, newest first, to all that was tracked and decided until now.

        Arguments:
            message_key: only this message's.
            distinct_id: only this user's.
            patience: seconds that live messages may take to get there. What is for an allowed address never does.
        """
        self._flush()
        deadline = time.monotonic() + patience
        while self._queued() and time.monotonic() < deadline:
            time.sleep(0.01)
        return list(self.client.projects.inbox(message_key=message_key, distinct_id=distinct_id))

    def _flush(self) -> None:
        if not self.client.flush():
            raise TimedOut(f"{self.client.pending:,} records are not on the server's disk yet", code="FLUSH")

    def _queued(self) -> int:
        live = self.client.messages.list(state="live")
        return sum(self.client.messages.report(message.key).counts.queued for message in live)

    def close(self) -> None:
        """Close the client; the server goes on."""
        self.client.close()
