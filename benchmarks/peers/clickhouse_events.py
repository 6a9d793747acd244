"""ClickHouse inside the process (chdb): all events in a MergeTree table ordered by name and time."""

from __future__ import annotations

import tempfile
from typing import Any

from chdb.session import Session

from benchmarks.arrow import events_table
from benchmarks.history import SHARES, History
from benchmarks.sequels import PURCHASE, Sequel

_TABLE = """CREATE TABLE bench.events (
  name LowCardinality(String), user_id UInt32, time DateTime64(6, 'UTC'), amount Float64
) ENGINE = MergeTree ORDER BY (name, time)"""


class ClickHouseEvents:
    """One session with the events in it. A process can have only one."""

    def __init__(self, history: History) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="muster-bench-")
        self._session: Any = Session(self._folder.name)
        self._session.query("CREATE DATABASE bench")
        self._session.query(_TABLE)
        for name in SHARES:
            for day in history.days(name):
                sent = events_table(
                    day
                )  # chdb's `Python` reads the Arrow table from this frame's variable of that name
                self._session.query(
                    f"INSERT INTO bench.events SELECT '{name}', user_id, time, ifNull(amount, 0) FROM Python(sent)"
                )
                del sent
        self._session.query("OPTIMIZE TABLE bench.events FINAL")

    def count(self, sequel: Sequel) -> int:
        """How many people behaved so."""
        counted, none, now = (
            f"fromUnixTimestamp64Micro({micros}, 'UTC')"
            for micros in (sequel.counted_after, sequel.none_after, sequel.now)
        )
        return int(
            str(
                self._session.query(
                    "SELECT count() FROM (SELECT user_id FROM bench.events"
                    f" WHERE name = '{PURCHASE}' AND time > {counted} AND time <= {now} GROUP BY user_id"
                    f" HAVING countIf(amount > {sequel.amount}) >= {sequel.times} AND countIf(time > {none}) = 0)",
                    "CSV",
                )
            )
        )

    def close(self) -> None:
        """Give back what it holds."""
        self._session.close()
        self._folder.cleanup()
