"""What a figure depends on beside the code: the machine and the versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

NOT_INSTALLED: Final = "not installed"


def machine() -> dict[str, str | int]:
    """Processor, cores this process may use, memory in MiB, and system."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return {"cpu": _cpu(), "cores": cores, "memory_mib": memory, "system": f"{platform.system()} {platform.machine()}"}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions(*distributions: str) -> dict[str, str]:
    """Versions of Python, of Muster and of distributions; `NOT_INSTALLED` for one that is not there."""
    found = {"python": platform.python_version()}
    for name in ("muster-server", *distributions):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = NOT_INSTALLED
    return found
