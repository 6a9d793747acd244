"""What providers said when they refused: read from the events that note it, so that it is kept in one place."""

from __future__ import annotations

import numpy as np
from pyroaring import BitMap

from core.messaging.outcomes import FAILED
from core.messaging.work import View
from core.values import MIN_MICROS


def words_of_refusal(view: View, key: str, occurrence: int, users: BitMap) -> dict[int, str]:
    """For users of an occurrence whose hand-off failed, what the provider said last; who has none is left out.

    Arguments:
        users: ordinals.
    """
    table = view.population.events(FAILED)
    if table is None or not users:
        return {}
    rows = table.slice(users.min(), users.max(), MIN_MICROS, view.now)
    rows = rows.take(np.isin(rows.ordinals, np.array(users.to_array(), np.uint32)))
    # In the order of time for each user, so that the last word stays.
    return {
        ordinal: properties["detail"]
        for ordinal, properties in zip(rows.ordinals.tolist(), table.properties(rows), strict=True)
        if properties.get("message_id") == key and properties.get("occurrence") == occurrence and "detail" in properties
    }
