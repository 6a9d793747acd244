import numpy as np
from numpy.typing import NDArray

from core.bitmaps.event_page import EventPage
from core.evaluator.program import Leaf
from core.evaluator.ranges import Bounds

class Tally(Leaf):
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
