from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.bitmaps.block_tables import BlockTable
from core.bitmaps.blocks import BlockTest
from core.bitmaps.user_set import UserSet

AND: Final[int]
OR: Final[int]
NOT: Final[int]
CHOICE: Final[int]
CLOSED: Final[int]

class Leaf: ...

Part: TypeAlias = bool | Leaf | tuple[int, Sequence["Part"]] | None

class Blocks:
    def __init__(self, numbers: NDArray[np.uint32]) -> None: ...

class ComparisonLeaf(Leaf):
    def __init__(self, blocks: BlockTable, wanted: BlockTest) -> None: ...

class PresenceLeaf(Leaf):
    def __init__(self, blocks: BlockTable) -> None: ...

class MembersLeaf(Leaf):
    def __init__(self, users: UserSet) -> None: ...

class Program:
    def __init__(self, root: Part) -> None: ...
    def rank(self, sample: int) -> None: ...
    def count(self, live: UserSet, among: UserSet | None, blocks: Blocks) -> int: ...
    def select(self, live: UserSet, among: UserSet | None, blocks: Blocks, out: NDArray[np.uint64]) -> None: ...
    def narrow(self, blocks: NDArray[np.uint32], words: NDArray[np.uint64], *, false_rail: bool) -> None: ...

def word_kernels() -> list[str]: ...
def combined(name: str, into: NDArray[np.uint64], other: NDArray[np.uint64]) -> dict[str, Any]: ...
