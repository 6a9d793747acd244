"""A memory limit for processes of a benchmark, by a control group of their own, where the system lets us make one.

The group stands below this process's own, so that whatever bounds that one goes on to bound it. Either version of control
groups will do; both count pages of files that the group's processes were the first to read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import Unavailable

_PROC: Final = Path("/proc/self")
_CONTROLLER: Final = "memory"


@dataclass(frozen=True, slots=True)
class _Files:
    """How a version of control groups calls its files. `further`: what else is written to some, where they are there."""

    limit: str
    peak: str
    further: tuple[tuple[str, str], ...]


_SECOND: Final = _Files("memory.max", "memory.peak", (("memory.swap.max", "0"),))
_FIRST: Final = _Files("memory.limit_in_bytes", "memory.max_usage_in_bytes", (("memory.swappiness", "0"),))


@dataclass(frozen=True, slots=True)
class Group:
    """A control group. `procs`: the file to which a process writes its id in order to enter."""

    procs: Path
    _peak: Path

    def peak_bytes(self) -> int | None:
        """The most that its processes used at once, pages of files included; None where the system does not tell."""
        return int(self._peak.read_text()) if self._peak.exists() else None


@contextmanager
def limited(memory_bytes: int, proc: Path = _PROC) -> Iterator[Group]:
    """A group in which all processes together may use so much memory; gone afterwards.

    Arguments:
        proc: this process's folder of the proc file system.

    Raises:
        Unavailable: NO_CGROUP, with the reason why there can be none.
    """
    own, files = _own(proc)
    group = own / f"muster-bench-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise _unavailable(f"no control group can be made: {error.strerror}") from error
    try:
        try:
            (group / files.limit).write_text(str(memory_bytes))
            for name, value in files.further:
                if (group / name).exists():
                    (group / name).write_text(value)
        except OSError as error:
            raise _unavailable(f"the control group takes no memory limit: {error.strerror}") from error
        yield Group(group / "cgroup.procs", group / files.peak)
    finally:
        group.rmdir()


def forget_cached(folder: Path) -> None:
    """Have the system write a folder's files to disk and drop their pages, which count for whoever reads them next."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _own(proc: Path) -> tuple[Path, _Files]:
    """This process's group in a hierarchy with the memory controller, which a group below it gets, too."""
    try:
        mounts = (proc / "mountinfo").read_text(encoding="utf-8").splitlines()
        groups = (proc / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise _unavailable("there are no control groups") from error
    whys = []
    for group in groups:
        number, controllers, path = group.split(":", 2)
        second = number == "0" and not controllers
        if not second and _CONTROLLER not in controllers.split(","):
            continue
        folder = _folder(mounts, path, second)
        if folder is None or not folder.is_dir():
            whys.append(f"the group {path} is not mounted")
        elif second and _CONTROLLER not in (folder / "cgroup.subtree_control").read_text(encoding="utf-8").split():
            whys.append(f"the group {path} of version 2 does not hand on the memory controller")
        else:
            return folder, _SECOND if second else _FIRST
    raise _unavailable("; ".join(whys) or "there are no control groups with a memory controller")


def _folder(mounts: list[str], path: str, second: bool) -> Path | None:
    """Where a group of this process is mounted, by the lines of proc_pid_mountinfo(5)."""
    for mount in mounts:
        place, _, kind = mount.partition(" - ")
        system, _, options = kind.split(" ", 2)
        if system == ("cgroup2" if second else "cgroup") and (second or _CONTROLLER in options.split(",")):
            root, at = place.split(" ")[3:5]
            inside = path.removeprefix(root.rstrip("/"))
            return Path(at) / inside.lstrip("/")
    return None


def _unavailable(why: str) -> Unavailable:
    return Unavailable(why, mend="run it where a control group with a memory limit may be made", code="NO_CGROUP")
