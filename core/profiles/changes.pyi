import numpy as np
from numpy.typing import NDArray

def work_out(
    users: NDArray[np.uint32],
    operations: NDArray[np.uint8],
    tags: NDArray[np.uint8],
    data: NDArray[np.int64],
    present_tags: NDArray[np.uint8],
    present_data: NDArray[np.int64],
    written: NDArray[np.uint8],
) -> bool: ...
