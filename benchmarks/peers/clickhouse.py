"""ClickHouse inside the process (chdb): a MergeTree table, and every predicate precomputed as a groupBitmap."""

from __future__ import annotations

import tempfile
from typing import Any

import pyarrow as pa
from chdb.session import Session

from benchmarks.question import COUNTRIES, LEAST_AGE, PLAN, Question

_TABLE = """CREATE TABLE bench.people (
  id UInt32, country LowCardinality(String), plan LowCardinality(String), age UInt8, last_seen DateTime64(6, 'UTC'),
  ltv Float64, email Nullable(String), unsubscribed Bool
) ENGINE = MergeTree ORDER BY id"""
_SETS = "CREATE TABLE bench.sets (users AggregateFunction(groupBitmap, UInt32)) ENGINE = MergeTree ORDER BY tuple()"


def _predicates(question: Question) -> list[str]:
    countries = ", ".join(f"'{country}'" for country in COUNTRIES)
    return [
        f"country IN ({countries})",
        f"plan = '{PLAN}'",
        f"age >= {LEAST_AGE}",
        f"last_seen < fromUnixTimestamp64Micro({question.seen_before}, 'UTC')",
        f"ltv > {question.ltv}",
        "email IS NOT NULL",
        "NOT unsubscribed",
    ]


class ClickHouse:
    """One session with the people in it. A process can have only one."""

    def __init__(self, people: pa.Table) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="muster-bench-")
        self._session: Any = Session(self._folder.name)
        self._session.query("CREATE DATABASE bench")
        self._session.query(_TABLE)
        # chdb's `Python` reads the Arrow table from this frame's variable of that name.
        self._session.query("INSERT INTO bench.people SELECT * FROM Python(people)")
        self._session.query("OPTIMIZE TABLE bench.people FINAL")
        self._session.query(_SETS)
        for predicate in _predicates(Question(0)):
            self._session.query(
                f"INSERT INTO bench.sets SELECT groupBitmapState(id) FROM bench.people WHERE {predicate}"
            )
        self._session.query("OPTIMIZE TABLE bench.sets FINAL")

    def count(self, question: Question) -> int:
        """See `Peer`: by scanning the table."""
        return self._number(f"SELECT count() FROM bench.people WHERE {' AND '.join(_predicates(question))}")

    def count_by_bitmaps(self, question: Question) -> int:
        """See `Peer`: by the precomputed sets, the same in every round."""
        return self._number("SELECT groupBitmapAnd(users) FROM bench.sets")

    def _number(self, query: str) -> int:
        return int(str(self._session.query(query, "CSV")))

    def close(self) -> None:
        """See `Peer`."""
        self._session.close()
        self._folder.cleanup()
