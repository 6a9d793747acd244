import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

class UserSet:
    blocks: NDArray[np.uint32]
    def __init__(self, users: BitMap) -> None: ...
    def words(self, blocks: NDArray[np.uint32]) -> NDArray[np.uint64]: ...
