"""A memory limit for a process of a benchmark, by a control group (version 2) of its own, where the system lets us make one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from core.errors import Unavailable

_ROOT: Final = Path("/sys/fs/cgroup")
_CONTROLLER: Final = "memory"


@contextmanager
def limited(memory_bytes: int) -> Iterator[Path]:
    """A group below this process's own in which all processes together may use so much memory; gone afterwards.

    Yields:
        The file to which a process writes its id in order to enter.

    Raises:
        Unavailable: NO_CGROUP, with the reason why there can be none.
    """
    group = _own() / f"muster-bench-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise _unavailable(f"no control group can be made: {error.strerror}") from error
    try:
        try:
            (group / "memory.max").write_text(str(memory_bytes))
            (group / "memory.swap.max").write_text("0")
        except OSError as error:
            raise _unavailable(f"the control group takes no memory limit: {error.strerror}") from error
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def _own() -> Path:
    """This process's group in the unified hierarchy, with the memory controller handed on to its children."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        path = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
        group = _ROOT / path.lstrip("/")
        handed_on = (group / "cgroup.subtree_control").read_text(encoding="utf-8").split()
    except (OSError, StopIteration) as error:
        raise _unavailable("there are no control groups of version 2") from error
    if _CONTROLLER not in handed_on:
        raise _unavailable(f"the group {path} does not hand on the memory controller")
    return group


def _unavailable(why: str) -> Unavailable:
    return Unavailable(why, mend="run it where a control group of version 2 may be made", code="NO_CGROUP")
