"""polars: a data frame in memory, country and plan as categoricals."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from benchmarks.question import COUNTRIES, LEAST_AGE, PLAN, Question


class PolarsFrame:
    """The people as one frame."""

    def __init__(self, people: pa.Table) -> None:
        self._frame = pl.DataFrame(pl.from_arrow(people)).rechunk()

    def count(self, question: Question) -> int:
        """See `Peer`."""
        matching = (
            pl.col("country").is_in(list(COUNTRIES))
            & (pl.col("plan") == PLAN)
            & (pl.col("age") >= LEAST_AGE)
            & (pl.col("last_seen") < pl.lit(question.seen_before).cast(pl.Datetime("us")))
            & (pl.col("ltv") > float(question.ltv))
            & pl.col("email").is_not_null()
            & ~pl.col("unsubscribed")
        )
        return int(self._frame.lazy().filter(matching).select(pl.len()).collect().item())

    def close(self) -> None:
        """See `Peer`."""
        del self._frame
