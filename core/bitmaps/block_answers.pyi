import numpy as np
from numpy.typing import NDArray

def scan_kernels() -> list[str]: ...
def scan_with(
    name: str, offsets: NDArray[np.unsignedinteger], low: int, high: int, within: NDArray[np.uint64]
) -> NDArray[np.uint64]: ...
