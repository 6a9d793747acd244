from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

def identities_of(sent_ids: Sequence[str], insert_ids: Sequence[str]) -> NDArray[np.uint64]: ...
def identities_of_spans(
    heap: Buffer,
    sent_starts: NDArray[np.unsignedinteger],
    sent_lengths: NDArray[np.unsignedinteger],
    insert_starts: NDArray[np.unsignedinteger],
    insert_lengths: NDArray[np.unsignedinteger],
) -> NDArray[np.uint64]: ...
