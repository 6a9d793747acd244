"""The past of a project: how far back it goes, and stores restored to one of its instants."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from muster import flow as flows
from muster import values
from muster.connection import Retry
from muster.flow import Flow, Rpc
from muster.service import Service, Way, answered
from muster.v1 import history_pb2

_SERVICE: Final = "/muster.v1.HistoryService"
_GET: Final = Rpc(f"{_SERVICE}/GetHistory", history_pb2.GetHistoryResponse)
_PRUNE: Final = Rpc(f"{_SERVICE}/PruneHistory", history_pb2.PruneHistoryResponse)
_RESTORE: Final = Rpc(f"{_SERVICE}/RestoreProject", history_pb2.RestoreProjectResponse)

# A restored store is written whole.
_LONG: Final = 3600.0


class History(Service[Way]):
    """`client.history`: how far back the project can be asked with `at`, and restored."""

    @answered
    def get(self) -> Flow[history_pb2.GetHistoryResponse]:
        """What is kept of the past, and what it takes of the disk.

        Example::

            print(client.history.get().earliest_time.ToDatetime())
        """
        return (yield from self._ask(_GET, history_pb2.GetHistoryRequest(project=self._project)))

    @answered
    def prune(self, before: datetime, *, timeout: float = _LONG) -> Flow[history_pb2.PruneHistoryResponse]:
        """Drop the history that no time from `before` on needs. It cannot be brought back.

        Arguments:
            before: aware; this and every later instant can still be had.
            timeout: seconds.

        Example::

            client.history.prune(datetime(1998, 1, 1, tzinfo=UTC)).earliest_time
        """
        request = history_pb2.PruneHistoryRequest(project=self._project, before=values.timestamp(before, "before"))
        return (yield from self._ask(_PRUNE, request, timeout))

    @answered
    def restore(
        self, at: datetime, destination: str, *, timeout: float = _LONG
    ) -> Flow[history_pb2.RestoreProjectResponse]:
        """Write the project as it was at an instant, on the server's disk. Not tried again by itself.

        Its live messages are paused there (`restored`), as what was sent after that instant is not known in it.

        Arguments:
            at: aware; from the earliest that can be had up to the present.
            destination: a folder on the server's machine that is absent or empty.
            timeout: seconds.

        Raises:
            FailedPrecondition: HISTORY_GONE, with the earliest instant that can be had.

        Example::

            client.history.restore(datetime(1998, 6, 1, tzinfo=UTC), "/var/backups/shop-june").bytes
        """
        request = history_pb2.RestoreProjectRequest(
            project=self._project, at=values.timestamp(at, "at"), destination=destination
        )
        return (yield from flows.ask(_RESTORE, request, Retry(attempts=1), timeout))
