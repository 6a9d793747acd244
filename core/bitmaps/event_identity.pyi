from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def identities_of(sent_ids: Sequence[str], insert_ids: Sequence[str]) -> NDArray[np.uint64]: ...
