"""Promise: a full disk or a full map fails the write, and nothing else: what was there is read, and writing goes on
when there is room."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import StoreError
from core.storage.store import Store
from core.storage.verify import verify

_MEGABYTE = b"m" * (1 << 20)
_LIMITED = """
import resource, sys
from core.errors import StoreError
from core.storage.store import Store
store = Store.open(sys.argv[1])
store.log.append([b"before"])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 20, hard))
try:
    store.log.append([bytes(40 << 20)])
except StoreError as error:
    assert error.code == "DISK_FULL", error
else:
    raise SystemExit("the limit was not felt")
assert list(store.log.read(0)) == [(1, b"before")]
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert store.log.append([bytes(40 << 20)]) == 2
store.close()
"""


def test_the_file_size_limit(folder: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    Store.create(folder).close()
    subprocess.run([sys.executable, "-c", _LIMITED, str(folder)], check=True, cwd=Path(__file__).parents[3])
    assert verify(folder) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root and the right to mount")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_a_full_disk_and_the_log(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(8 << 20))
    with Store.create(small_disk / "s") as store:
        with pytest.raises(StoreError) as caught:
            for _ in range(40):
                store.log.append([_MEGABYTE])
        assert caught.value.code == "DISK_FULL"
        last = store.log.last_position
        assert last > 4
        assert list(store.log.read(0)) == [(n, _MEGABYTE) for n in range(1, last + 1)]
        ballast.unlink()
        assert store.log.append([_MEGABYTE]) == last + 1
    assert verify(small_disk / "s") == []


def test_a_full_disk_and_a_checkpoint(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(8 << 20))
    with Store.create(small_disk / "s") as store:
        store.log.append([b"a", b"b"])
        store.pages.checkpoint(1, [(b"a", b"1")], at=1)
        pages = [(b"%02d" % n, _MEGABYTE) for n in range(14)]
        with pytest.raises(StoreError) as caught:
            store.pages.checkpoint(2, [*pages, *((b"a%02d" % n, _MEGABYTE) for n in range(14))], at=2)
        assert caught.value.code == "DISK_FULL"
        assert list(store.pages.scan(b"")) == [(b"a", b"1")]
    with Store.open(small_disk / "s") as store:
        ballast.unlink()
        store.pages.checkpoint(2, pages, at=2)
        assert store.pages.get(b"13") == _MEGABYTE
    assert verify(small_disk / "s") == []


def test_a_full_disk_and_a_backup(small_disk: Path, folder: Path) -> None:
    with Store.create(folder) as store:
        store.log.append([_MEGABYTE] * 30)
        with pytest.raises(StoreError) as caught:
            store.backup(small_disk / "copy")
        assert caught.value.code == "DISK_FULL"
        assert list(small_disk.iterdir()) == []


def test_a_full_map_grows(folder: Path) -> None:
    with Store.create(folder, log_map_size=1 << 20, pages_map_size=1 << 20, map_limit=64 << 20) as store:
        for _ in range(8):
            reading = store.log.read(0)
            store.log.append([_MEGABYTE])
            next(reading)
            store.log.append([_MEGABYTE])  # the map grows between two slices of a reader
            assert all(payload == _MEGABYTE for _, payload in reading)
        store.pages.checkpoint(1, [(b"%02d" % n, _MEGABYTE) for n in range(12)], at=1)
        assert len(list(store.pages.scan(b""))) == 12
    with Store.open(folder, log_map_size=1 << 20, pages_map_size=1 << 20) as store:
        assert store.log.last_position == 16


def test_a_map_at_its_limit_says_so(folder: Path) -> None:
    with Store.create(folder, log_map_size=1 << 20, map_limit=8 << 20) as store:
        with pytest.raises(StoreError) as caught:
            for _ in range(20):
                store.log.append([_MEGABYTE])
        assert caught.value.code == "STORE_MAP_FULL"
        last = store.log.last_position
        assert len(list(store.log.read(0))) == last
    with Store.open(folder, log_map_size=1 << 20, map_limit=64 << 20) as store:
        assert store.log.append([_MEGABYTE]) == last + 1
