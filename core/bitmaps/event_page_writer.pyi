from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def write_page(
    ordinals: NDArray[np.uint32],
    times: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    identities: NDArray[np.uint64],
    insert_ids: tuple[Any, NDArray[np.uint64], NDArray[np.uint32]] | None,
    properties: Sequence[tuple[int, NDArray[np.uint8], NDArray[np.int64]]],
) -> bytes: ...
