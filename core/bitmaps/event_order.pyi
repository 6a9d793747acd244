import numpy as np
from numpy.typing import NDArray

def merged_order(
    first_ordinals: NDArray[np.uint32],
    first_times: NDArray[np.int64],
    first_arrivals: NDArray[np.int64],
    second_ordinals: NDArray[np.uint32],
    second_times: NDArray[np.int64],
    second_arrivals: NDArray[np.int64],
) -> NDArray[np.int64]: ...
def mark_repeats(
    ordinals: NDArray[np.uint32], times: NDArray[np.int64], identities: NDArray[np.uint64], known: NDArray[np.uint8]
) -> None: ...
