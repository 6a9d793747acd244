"""How the C library's allocator hands memory back; set once, before a server starts its threads."""

from __future__ import annotations

import ctypes
import platform
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt(3)
_THRESHOLD: Final = 1 << 20


def keep_together() -> bool:
    """Let what is freed go back to the system: one arena, and each piece of a megabyte or more a mapping of its own.

    By default glibc gives threads arenas of their own, which a server fills in turn, and raises both thresholds to the
    size of what was freed last, so that the heap keeps the holes that large pieces leave behind.

    Returns:
        Whether all of it was taken; False where the C library is another, which is left as it is.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(_ARENA_MAX, 1), mallopt(_TRIM_THRESHOLD, _THRESHOLD), mallopt(_MMAP_THRESHOLD, _THRESHOLD)])
