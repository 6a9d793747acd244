"""Promise: a limit is set by either version of control groups, below this process's own, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.limits import forget_cached, limited
from core.errors import Unavailable


class Fake:
    """A proc and a cgroup file system of plain files: `proc` is given to `limited`."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.root = folder / "proc", folder / "groups"
        self.proc.mkdir()
        self.lines: list[str] = []
        self.mounts: list[str] = ["22 1 8:1 / / rw,relatime - ext4 /dev/root rw"]

    def first(self, path: str, root: str = "/") -> Path:
        """A hierarchy of version 1 with the memory controller, of which `root` is mounted."""
        at = self.root / "memory"
        self.lines.append(f"4:cpu,memory:{path}")
        self.mounts.append(f"35 31 0:32 {root} {at} rw,relatime shared:9 - cgroup cgroup rw,cpu,memory")
        return self._made(at, path, root)

    def second(self, path: str, handed_on: str) -> Path:
        """The unified hierarchy."""
        at = self.root / "unified"
        self.lines.append(f"0::{path}")
        self.mounts.append(f"41 31 0:38 / {at} rw,relatime - cgroup2 cgroup2 rw")
        made = self._made(at, path, "/")
        (made / "cgroup.subtree_control").write_text(handed_on)
        return made

    def _made(self, at: Path, path: str, root: str) -> Path:
        made = at / path.removeprefix(root).lstrip("/")
        made.mkdir(parents=True)
        (self.proc / "cgroup").write_text("".join(f"{line}\n" for line in ["9:name=systemd:/", *self.lines]))
        (self.proc / "mountinfo").write_text("".join(f"{line}\n" for line in self.mounts))
        return made


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """None of it mounted yet. A folder of a group holds files, with which it goes, as no other folder does."""

    def remove(group: Path) -> None:
        for file in group.iterdir():
            file.unlink()
        plain(group)

    plain = Path.rmdir
    monkeypatch.setattr(Path, "rmdir", remove)
    return Fake(tmp_path)


@pytest.mark.parametrize("root", ["/", "/outer"])
def test_version_1(fake: Fake, root: str) -> None:
    own = fake.first("/outer/inner", root)
    with limited(1_000, fake.proc) as group:
        made = group.procs.parent
        assert made.parent == own and (made / "memory.limit_in_bytes").read_text() == "1000"
        assert group.peak_bytes() is None
        (made / "memory.max_usage_in_bytes").write_text("999\n")
        assert group.peak_bytes() == 999
    assert list(own.iterdir()) == []


def test_version_2_comes_first_where_it_hands_memory_on(fake: Fake) -> None:
    own = fake.second("/mine", "cpu memory\n")
    fake.first("/mine")
    with limited(1_000, fake.proc) as group:
        assert group.procs.parent.parent == own
        assert (group.procs.parent / "memory.max").read_text() == "1000"


def test_version_1_where_version_2_has_no_memory(fake: Fake) -> None:
    fake.second("/", "cpu\n")
    own = fake.first("/mine")
    with limited(1_000, fake.proc) as group:
        assert group.procs.parent.parent == own


def test_why_there_can_be_none_is_told(fake: Fake, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no control groups") as refused, limited(1, tmp_path / "nowhere"):
        pass
    assert refused.value.code == "NO_CGROUP"
    fake.second("/mine", "cpu\n")
    with pytest.raises(Unavailable, match="/mine of version 2 does not hand on"), limited(1, fake.proc):
        pass
    fake.lines.append("4:memory:/elsewhere")
    fake.second("/mine/too", "")
    with pytest.raises(Unavailable, match="the group /elsewhere is not mounted"), limited(1, fake.proc):
        pass


def test_forgetting_leaves_files_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "data").write_bytes(b"x" * 10_000)
    forget_cached(tmp_path)
    assert (tmp_path / "pages" / "data").read_bytes() == b"x" * 10_000
