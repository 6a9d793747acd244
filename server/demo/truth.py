"""The same questions put to DuckDB on the raw file, so that Muster's answers can be held against another engine's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb

_LOAD: Final = r"""
create table purchases as
select fields[1] as customer, strptime(fields[2], '%Y%m%d') as day, fields[3]::int as discs, fields[4]::decimal(12, 2) as dollars
from (
    select string_split_regex(trim(line), '\s+') as fields
    from read_csv(?, delim = '\t', header = false, skip = 1, columns = {'line': 'varchar'})
)
"""


@dataclass(frozen=True, slots=True)
class Timed:
    """A count with the seconds it took, without reading the file."""

    count: int
    seconds: float


def load(file: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory whose table `purchases` (customer, day, discs, dollars) is the raw file."""
    database = duckdb.connect()
    database.execute(_LOAD, [str(file)])
    return database


def count(database: duckdb.DuckDBPyConnection, query: str, parameters: list[Any]) -> Timed:
    """The number that a query gives, timed."""
    started = time.perf_counter()
    rows = database.execute(query, parameters).fetchall()
    seconds = time.perf_counter() - started
    return Timed(int(rows[0][0]), seconds)


def loyal(database: duckdb.DuckDBPyConnection, now: datetime) -> Timed:
    """Customers with at least three purchases over $30 in the 180 days before an instant; see `audience.LOYAL`."""
    query = """
        select count(*) from (
            select customer from purchases
            where day > ?::timestamp - interval 180 days and day <= ?::timestamp and dollars > 30
            group by customer having count(*) >= 3
        )
    """
    naive = now.replace(tzinfo=None)  # the file's days are UTC, and so are the table's
    return count(database, query, [naive, naive])
