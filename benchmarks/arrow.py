"""The people as an Arrow table, which every peer can read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.history import Day
from benchmarks.people import COUNTRIES, DIGITS, EMAIL, PLANS, People


def arrow_table(people: People) -> pa.Table:
    """The same people for the peers: `id` (the ordinal), then a column for each property, null where it is absent."""
    return pa.table(
        {
            "id": pa.array(np.arange(len(people), dtype=np.uint32)),
            "country": pa.DictionaryArray.from_arrays(pa.array(people.country), pa.array(COUNTRIES)),
            "plan": pa.DictionaryArray.from_arrays(pa.array(people.plan), pa.array(PLANS)),
            "age": pa.array(people.age),
            "last_seen": pa.array(people.last_seen, pa.timestamp("us")),
            "ltv": pa.array(people.ltv),
            "email": _emails(people.has_email),
            "unsubscribed": pa.array(people.unsubscribed),
        }
    )


def _emails(present: NDArray[np.bool_]) -> pa.Array:
    """All emails at once: a text of fixed width whose digits are written column by column."""
    count, width = len(present), len(EMAIL)
    texts = np.tile(np.frombuffer(EMAIL.encode(), np.uint8), (count, 1))
    rest = np.arange(count)
    for place in range(DIGITS, 0, -1):
        texts[:, place] = ord("0") + rest % 10
        rest //= 10
    ends = np.arange(0, (count + 1) * width, width, dtype=np.int64)
    validity = np.packbits(present, bitorder="little")
    parts = [pa.py_buffer(validity), pa.py_buffer(ends), pa.py_buffer(texts.reshape(-1))]
    return pa.Array.from_buffers(pa.large_string(), count, parts, int(count - np.count_nonzero(present)))


def events_table(day: Day) -> pa.Table:
    """Events as `user_id`, `time` and `amount`, the last null where events of the name have none."""
    amount = day.properties.get("amount")
    return pa.table(
        {
            "user_id": pa.array(day.ordinals),
            "time": pa.array(day.times).cast(pa.timestamp("us")),
            "amount": pa.nulls(len(day.ordinals), pa.float64()) if amount is None else pa.array(amount[1]),
        }
    )
