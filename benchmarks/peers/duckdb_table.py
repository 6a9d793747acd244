"""DuckDB: a table in memory, country and plan as enums."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from benchmarks.people import COUNTRIES as ALL_COUNTRIES
from benchmarks.people import PLANS
from benchmarks.question import COUNTRIES, LEAST_AGE, PLAN, Question


def _listed(texts: tuple[str, ...]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


class DuckTable:
    """The people as one table."""

    def __init__(self, people: pa.Table) -> None:
        self._connection = duckdb.connect(":memory:")
        self._connection.execute(f"CREATE TYPE country AS ENUM ({_listed(ALL_COUNTRIES)})")
        self._connection.execute(f"CREATE TYPE plan AS ENUM ({_listed(PLANS)})")
        self._connection.register("sent", people)
        self._connection.execute(
            "CREATE TABLE people AS SELECT id, country::country AS country, plan::plan AS plan, age, last_seen, ltv, email,"
            " unsubscribed FROM sent"
        )
        self._connection.unregister("sent")

    def count(self, question: Question) -> int:
        """See `Peer`."""
        row = self._connection.execute(
            f"SELECT count(*) FROM people WHERE country IN ({_listed(COUNTRIES)}) AND plan = '{PLAN}'"
            f" AND age >= {LEAST_AGE} AND last_seen < make_timestamp({question.seen_before}) AND ltv > {question.ltv}::DOUBLE"
            " AND email IS NOT NULL AND NOT unsubscribed"
        ).fetchone()
        return int(row[0])

    def close(self) -> None:
        """See `Peer`."""
        self._connection.close()
