"""DuckDB: all events in one table in memory, sorted by name and time."""

from __future__ import annotations

import duckdb

from benchmarks.arrow import events_table
from benchmarks.history import SHARES, History
from benchmarks.sequels import PURCHASE, Sequel


class DuckEvents:
    """The events as one table."""

    def __init__(self, history: History) -> None:
        self._connection = duckdb.connect(":memory:")
        names = ", ".join(f"'{name}'" for name in sorted(SHARES))
        self._connection.execute(f"CREATE TYPE event_name AS ENUM ({names})")
        self._connection.execute(
            "CREATE TABLE events (name event_name, user_id UINTEGER, time TIMESTAMP, amount DOUBLE)"
        )
        for name in sorted(SHARES):
            for day in history.days(name):
                self._connection.register("sent", events_table(day))
                self._connection.execute(
                    f"INSERT INTO events SELECT '{name}'::event_name, user_id, time, amount FROM sent ORDER BY time"
                )
                self._connection.unregister("sent")

    def count(self, sequel: Sequel) -> int:
        """How many people behaved so."""
        row = self._connection.execute(
            "SELECT count(*) FROM (SELECT user_id FROM events"
            f" WHERE name = '{PURCHASE}' AND time > make_timestamp({sequel.counted_after})"
            f" AND time <= make_timestamp({sequel.now}) GROUP BY user_id"
            f" HAVING count(*) FILTER (amount > {sequel.amount}::DOUBLE) >= {sequel.times}"
            f" AND count(*) FILTER (time > make_timestamp({sequel.none_after})) = 0)"
        ).fetchone()
        return int(row[0])

    def close(self) -> None:
        """Give back what it holds."""
        self._connection.close()
