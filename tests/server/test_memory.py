"""Promise: the allocator is told to hand memory back where it can be told."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_LARGE = """
from pathlib import Path
from server.memory import keep_together
def resident():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line)
assert keep_together()
# Freed from the inside of what was taken: with thresholds that grow, the heap would keep all of it.
bytes(24 << 20)
held = [bytearray(4 << 20) for _ in range(16)]
tails = [bytearray(4_000) for _ in range(200)]
full = resident()
del held
print(full - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.platform != "linux", reason="another C library")
def test_what_is_freed_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", _LARGE], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 60 * 1024
