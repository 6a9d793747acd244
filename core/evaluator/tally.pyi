import numpy as np
from numpy.typing import NDArray

def count_into(slots: NDArray[np.int64], flags: NDArray[np.uint8], counters: NDArray[np.uint32]) -> None: ...
def sum_into(
    slots: NDArray[np.int64],
    tags: NDArray[np.uint8],
    data: NDArray[np.int64],
    sum_tags: NDArray[np.uint8],
    sums: NDArray[np.int64],
) -> None: ...
