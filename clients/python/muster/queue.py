"""The queue behind `track` and `update`: takes records at once, sends them in the background, in order.

Promises:

- Putting never blocks: not on the network, not on a full queue.
- A full queue drops the newest: the record at hand. `track` returns False for it, and `on_error` is told how many.
  What was taken stays, in order.
- What was taken is sent until the server has it on disk: over lost connections and restarts, with growing waits and
  the same request id, so that nothing is stored twice. Only what the server refuses, and what is left when the time
  for closing is over, is lost, and `on_error` is told.
- Records that wait because the server does not take them are not lost: `on_error` is not told, a warning is logged.
- Records of one distinct id are applied in the order in which they were put, events and updates alike. Between
  distinct ids, updates may overtake events.
- After a fork the child begins with an empty queue; what was in it belongs to the parent.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from muster import flow as flows
from muster.connection import Connection, Retry
from muster.errors import REQUEST_TOO_LARGE, Exhausted, InvalidInput, MusterError, TimedOut, Unavailable
from muster.forking import register
from muster.ingest import TRACK, UPDATE
from muster.outage import Outage
from muster.records import Record, batches
from muster.results import record_error
from muster.service import new_request_id
from muster.transport import Blocking
from muster.v1 import ingest_pb2

logger = logging.getLogger("muster")


@dataclass(frozen=True, slots=True)
class Lost:
    """Records that were put into the queue, or could not be, and will not reach the server.

    Arguments:
        error: why.
        record: which; None where the queue was full, for `track` has returned False for each of those.
        count: how many.
    """

    error: MusterError
    record: Record | None = None
    count: int = 1


OnError: TypeAlias = Callable[[Sequence[Lost]], object]


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How the queue works. Times are in seconds.

    Arguments:
        size: most records in it.
        batch: most records sent at once.
        linger: how long a record may wait for others to share a request with.
        exit_timeout: how long the end of the process may wait for what is left.
        on_error: told of records that are lost; None: they are logged as warnings. Called from a thread of the
            queue's; records put meanwhile are sent after it returns.

    Raises:
        InvalidInput: QUEUE_OPTION, for a queue without room.
    """

    size: int = 100_000
    batch: int = 2_000
    linger: float = 0.25
    exit_timeout: float = 5.0
    on_error: OnError | None = None

    def __post_init__(self) -> None:
        for name, number in (("queue_size", self.size), ("queue_batch", self.batch)):
            if number < 1:
                raise InvalidInput(f"a {name} of {number}", field=name, mend="1 or more", code="QUEUE_OPTION")


class Queue:
    """A bounded queue and the thread that empties it. The thread starts with the first record.

    Arguments:
        connection: where to; the queue has a channel of its own.
        project: of the records.
        options: see `QueueOptions`.
    """

    def __init__(self, connection: Connection, project: str, options: QueueOptions) -> None:
        self._connection = connection
        self._project = project
        self.options = options
        self._transport = Blocking(connection)
        self.start_over()
        _QUEUES.add(self)
        register(self)

    def cut_off(self) -> None:
        """Before a fork: nothing to do, for the transport does it."""

    def start_over(self) -> None:
        """Be empty, with no thread yet. In a forked child: the parent's records and thread are left to it."""
        # Puts only append, so that nobody waits for the lock longer than an append takes. Reentrant: a signal
        # handler that puts may interrupt a put.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[Record] = deque()
        self._put = 0
        self._settled = 0
        self._dropped = 0
        self._dropped_untold = 0
        self._hurry = 0  # records up to this count are wanted now
        self._closed = False
        self._deadline: float | None = None  # monotonic; set by close
        self._outage = Outage(logger)
        self._failure: MusterError | None = None  # of the last attempt, while the server does not take records
        self._left: list[Lost] = []  # what the time for closing did not suffice for
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> int:
        """Records taken and not yet settled."""
        return self._put - self._settled

    @property
    def dropped(self) -> int:
        """Records not taken because the queue was full or closed."""
        return self._dropped

    def put(self, records: Sequence[Record]) -> bool:
        """Take records, all or none. False where they do not fit or the queue is closed. Never blocks."""
        with self._changed:
            if self._closed or self.pending + len(records) > self.options.size:
                self._dropped += len(records)
                self._dropped_untold += len(records)
                return False
            self._waiting.extend(records)
            self._put += len(records)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="muster-queue", daemon=True)
                self._thread.start()
                _flush_at_end_of_multiprocessing_child()
            if len(self._waiting) <= len(records) or len(self._waiting) >= self.options.batch:
                self._changed.notify_all()
            return True

    def flush(self, timeout: float | None) -> bool:
        """Wait until everything put so far is settled; whether it is.

        Arguments:
            timeout: seconds; None: as long as one call may take, inf: as long as it takes.
        """
        seconds = self._connection.timeout if timeout is None else timeout
        with self._changed:
            wanted = self._put
            self._hurry = max(self._hurry, wanted)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._settled >= wanted, min(seconds, threading.TIMEOUT_MAX))

    def close(self, timeout: float) -> bool:
        """Send what is left, for so many seconds, then give the rest up; whether all was settled in time.

        Records put from now on are not taken.
        """
        with self._changed:
            self._closed = True
            self._deadline = time.monotonic() + timeout
            self._changed.notify_all()
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return not self.pending
        thread.join(timeout)
        in_time = not thread.is_alive()
        # Ends a call that is still under way; the thread then tells `on_error` of what is lost.
        self._transport.close()
        if not in_time:
            thread.join(1.0)
        return in_time

    def wind_up(self) -> None:
        """Send what is left, however long it takes, then let the thread end. Returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while (window := self._next_window()) is not None:
            for stage in stages(window):
                for batch in batches(stage):
                    self._deliver(batch)
            with self._changed:
                self._settled += len(window)
                self._changed.notify_all()
            self._tell_dropped()
        self._tell_dropped()
        self._tell(self._left)

    def _next_window(self) -> list[Record] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            self._changed.wait_for(self._is_due, self.options.linger)
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self.options.batch))]

    def _is_due(self) -> bool:
        return len(self._waiting) >= self.options.batch or self._hurry > self._settled or self._closed

    def _deliver(self, batch: list[Any]) -> None:
        """Send one batch of one kind until it is settled."""
        if self._failure is not None and self._out_of_time():
            self._give_up(batch, self._failure)
            return
        rpc, request = self._request(batch)
        number = 0
        while True:
            try:
                answer: Any = self._transport.run(flows.ask(rpc, request, Retry(attempts=1), self._timeout()))
            except MusterError as error:
                if error.code == REQUEST_TOO_LARGE and len(batch) > 1:
                    middle = len(batch) // 2
                    self._deliver(batch[:middle])
                    self._deliver(batch[middle:])
                    return
                again = isinstance(error, Unavailable | TimedOut | Exhausted) and error.code != REQUEST_TOO_LARGE
                if again and self._out_of_time():
                    self._give_up(batch, self._failure or error)
                    return
                if not again:
                    self._tell([Lost(error, record) for record in batch])
                    return
                self._failure = error
                self._outage.say(
                    "%s does not take records; %s until it does: %s", self._connection.target, self._who_waits(), error
                )
            else:
                self._failure = None
                self._outage.over("%s takes records again", self._connection.target)
                self._tell([Lost(record_error(error), batch[error.index]) for error in answer.errors])
                return
            self._tell_dropped()
            self._pause(self._connection.retry.wait(number))
            number += 1

    def _give_up(self, batch: list[Any], error: MusterError) -> None:
        self._left.extend(Lost(error, record) for record in batch)

    def _who_waits(self) -> str:
        return "1 waits" if self.pending == 1 else f"{self.pending:,} wait"

    def _request(self, batch: list[Any]) -> tuple[flows.Rpc[Any], Any]:
        if isinstance(batch[0], ingest_pb2.Event):
            return TRACK, ingest_pb2.TrackRequest(project=self._project, request_id=new_request_id(), events=batch)
        return UPDATE, ingest_pb2.UpdateProfilesRequest(
            project=self._project, request_id=new_request_id(), updates=batch
        )

    def _timeout(self) -> float:
        deadline = self._deadline
        return self._connection.timeout if deadline is None else max(0.0, deadline - time.monotonic())

    def _out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if self._deadline is None:
                self._changed.wait_for(lambda: self._closed, seconds)
            else:
                self._changed.wait(min(seconds, max(0.0, self._deadline - time.monotonic())))

    def _tell_dropped(self) -> None:
        with self._changed:
            count, self._dropped_untold = self._dropped_untold, 0
        if count:
            size = self.options.size
            full = Exhausted(
                f"the queue is full: {size:,} records wait", mend="a larger queue_size", code="CLIENT_QUEUE_FULL"
            )
            self._tell([Lost(full, count=count)])

    def _tell(self, lost: list[Lost]) -> None:
        if not lost:
            return
        if self.options.on_error is None:
            count = sum(one.count for one in lost)
            what = "1 record was lost" if count == 1 else f"{count:,} records were lost, the first"
            logger.warning("%s because: %s", what, lost[0].error)
            return
        try:
            self.options.on_error(lost)
        except Exception:
            logger.exception("on_error failed")


def stages(records: Sequence[Record]) -> list[list[Record]]:
    """Split records into runs of one kind, sent one after the other, that keep each distinct id's order.

    Runs alternate between updates and events. A record goes into the first run of its kind that does not come
    before another record of its id: interleaved records of many users make few runs.
    """
    found: list[list[Record]] = [[]]
    reached: dict[str, int] = {}
    for record in records:
        stage = reached.get(record.distinct_id, 0)
        if stage % 2 != isinstance(record, ingest_pb2.Event):
            stage += 1
        reached[record.distinct_id] = stage
        while stage >= len(found):
            found.append([])
        found[stage].append(record)
    return [stage for stage in found if stage]


_QUEUES: Final[weakref.WeakSet[Queue]] = weakref.WeakSet()
"""Every queue of this process."""


def _at_exit() -> None:
    for queue in list(_QUEUES):
        queue.close(queue.options.exit_timeout)


atexit.register(_at_exit)


def _flush_at_end_of_multiprocessing_child() -> None:
    """Processes made by multiprocessing end without atexit; they have an end of their own."""
    multiprocessing: Any = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _at_exit, exitpriority=0)
