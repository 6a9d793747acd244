"""Values and stores that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hypothesis import strategies as st

from core.bitmaps.population import Population
from core.values import from_micros

Pages = dict[bytes, bytes]

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-200, 200),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.integers(-(10**13), 10**13).map(from_micros),
)
values = st.one_of(plain, st.lists(plain, max_size=2), st.dictionaries(st.text(max_size=2), plain, max_size=2))
ordinals = st.sampled_from([0, 1, 2, 65_535, 65_536, 200_000])


def scan_of(pages: Pages) -> Callable[[bytes], Iterator[tuple[bytes, bytes]]]:
    """What a store's `scan` does, over a dict."""
    return lambda prefix: iter(sorted((key, page) for key, page in pages.items() if key.startswith(prefix)))


def checkpoint(population: Population, pages: Pages) -> Population:
    """Write a version's dirty pages, in key order as a store demands; returns the clean fork that follows."""
    last = b""
    for key, page in population.dirty_pages():
        assert key > last
        last = key
        if page is None:
            pages.pop(key, None)
        else:
            pages[key] = page
    following = population.fork()
    following.clean()
    return following


def adopted(population: Population, frozen: Population, pages: Pages) -> Population:
    """A fork of a version that uses in place what a checkpoint of `frozen` wrote."""
    twin = population.fork()
    twin.adopt(frozen, pages.get)
    return twin


def picture(population: Population) -> object:
    """All that a reader can see of a version."""
    columns = {}
    for name, column in population.columns.items():
        if column.presence:
            users = list(column.presence)
            columns[name] = (users, [repr(column.get(user)) for user in users], column.type_counts())
    tables = {}
    for name, table in population.event_tables.items():
        tables[name] = [
            (
                day,
                table.chunk(day).ordinals.tolist(),
                table.chunk(day).times.tolist(),
                table.chunk(day).arrivals.tolist(),
            )
            for day in table.days()
        ]
        tables[name].append([repr(table.of_user(user, 2**62)) for user in range(4)])
    return population.size, list(population.live), columns, tables
