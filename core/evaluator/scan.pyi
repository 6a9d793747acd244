import numpy as np
from numpy.typing import NDArray

class Range:
    def __init__(
        self,
        *,
        int_tag: int = 0,
        int_least: int = 1,
        int_greatest: int = 0,
        double_tag: int = 0,
        double_least: float = 1.0,
        double_greatest: float = 0.0,
        others_false: bool = False,
        negate: bool = False,
    ) -> None: ...

def scan(
    tags: NDArray[np.uint8],
    data: NDArray[np.int64],
    within: NDArray[np.uint64],
    true_words: NDArray[np.uint64],
    false_words: NDArray[np.uint64],
    wanted: Range,
) -> None: ...
