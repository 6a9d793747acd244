"""What the demo must come to, computed from the raw file by DuckDB alone: another engine, another language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import duckdb

from server.demo.cdnow import END, Person
from server.demo.truth import load

# Purchases of one day have one instant; someone lapses 90 days after a day by which there were two or more, if the
# next day of purchases comes later than that.
_LAPSES: Final = """
create table lapses as
with days as (
    select customer, day, sum(count(*)) over (partition by customer order by day) as bought
    from purchases group by customer, day
), followed as (
    select customer, day, bought, lead(day) over (partition by customer order by day) as following from days
)
select customer, min(day + interval 90 days) as lapse
from followed
where bought >= 2 and (following is null or following > day + interval 90 days)
group by customer
having min(day + interval 90 days) <= ?::timestamp
"""

# Hand-off looks again: who bought within the 90 days before it is skipped for good.
_HANDED_OFF: Final = """
select lapses.customer, exists (
    from purchases where purchases.customer = lapses.customer
    and day > ?::timestamp - interval 90 days and day <= ?::timestamp
) as back
from lapses where lapse > ?::timestamp and lapse <= ?::timestamp
"""


@dataclass(frozen=True, slots=True)
class Mailed:
    """What must become of the mail: who lapsed when, and how many were skipped for which reason or handed off."""

    lapses: dict[str, datetime]
    skipped: dict[str, int]
    handed_off: int


def database(file: Path, customers: list[Person]) -> duckdb.DuckDBPyConnection:
    """The raw file's purchases by some customers, with the table of lapses."""
    found = load(file)
    found.execute("create table chosen as select unnest(?) as customer", [[person.customer for person in customers]])
    found.execute("delete from purchases where customer not in (from chosen)")
    found.execute(_LAPSES, [END.replace(tzinfo=None)])
    return found


def mailed(data: duckdb.DuckDBPyConnection, customers: list[Person], moments: list[datetime]) -> Mailed:
    """The mail's outcome, if everything due is handed off after each move of the clock.

    Arguments:
        moments: where the clock stood, move by move, from its beginning on.
    """
    by_name = {person.customer: person for person in customers}
    skipped: dict[str, int] = {}
    handed_off = 0
    naive = [moment.replace(tzinfo=None) for moment in moments]
    for before, now in pairwise(naive):
        for customer, back in data.execute(_HANDED_OFF, [now, now, before, now]).fetchall():
            person = by_name[customer]
            if person.email is None:
                reason = "unreachable"
            elif person.first_name is None:
                reason = "missing_property:First name"
            elif back:
                reason = "no_longer_matches"
            else:
                handed_off += 1
                continue
            skipped[reason] = skipped.get(reason, 0) + 1
    rows = data.execute("from lapses").fetchall()
    return Mailed({customer: lapse.replace(tzinfo=UTC) for customer, lapse in rows}, skipped, handed_off)


def spenders(data: duckdb.DuckDBPyConnection) -> set[str]:
    """Customers whose purchases sum to more than $200."""
    rows = data.execute("select customer from purchases group by customer having sum(dollars) > 200").fetchall()
    return {customer for (customer,) in rows}


def total(data: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """(customers, purchases)."""
    rows = data.execute("select count(distinct customer), count(*) from purchases").fetchall()
    return rows[0]
