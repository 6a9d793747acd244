import numpy as np
from numpy.typing import NDArray

from core.bitmaps.strings import StringTable

def email_keys(table: StringTable, codes: NDArray[np.int64], key: bytes) -> NDArray[np.uint64]: ...
def phone_keys(
    table: StringTable, codes: NDArray[np.int64], key: bytes, starts: NDArray[np.uint8]
) -> NDArray[np.uint64]: ...
