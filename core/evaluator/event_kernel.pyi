import numpy as np
from numpy.typing import NDArray

from core.bitmaps.event_page import EventPage
from core.evaluator.ranges import Bounds

class Tally:
    def __init__(
        self,
        parts: list[tuple[EventPage, NDArray[np.uint64] | None]],
        leaves: list[tuple[int, Bounds | None]],
        operations: list[int],
        now: int,
        kind: str,
        least: int = 1,
        greatest: int = 255,
        negate: bool = False,
        portable: bool = False,
    ) -> None: ...
    def split(
        self,
        blocks: NDArray[np.uint32],
        within: NDArray[np.uint64],
        true_words: NDArray[np.uint64],
        false_words: NDArray[np.uint64],
    ) -> None: ...
