"""Promise: a store that cannot be used is refused with a reason before anything is mapped or changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import StoreError
from core.storage.datafile import check_data_file
from core.storage.store import Store
from core.storage.verify import verify

_OPEN = "import sys; from core.storage.store import Store; Store.open(sys.argv[1])"


def refused(folder: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        Store.open(folder)
    return caught.value


def made(folder: Path) -> Path:
    with Store.create(folder) as store:
        store.log.append([b"record %d" % n for n in range(2_000)])
        store.pages.checkpoint(1, [(b"%05d" % n, b"value" * 20) for n in range(2_000)], at=1)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_missing_store_is_not_made(folder: Path) -> None:
    assert refused(folder).code == "STORE_NOT_FOUND"
    assert not folder.exists()


def test_a_store_is_not_made_over_something_else(folder: Path) -> None:
    made(folder)
    with pytest.raises(StoreError) as caught:
        Store.create(folder)
    assert caught.value.code == "STORE_EXISTS"
    other = folder.parent / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(StoreError) as caught:
        Store.create(other)
    assert caught.value.code == "STORE_FOLDER_NOT_EMPTY"


def test_an_interrupted_making_is_told_and_can_be_repeated(folder: Path) -> None:
    Store.create(folder).close()
    (folder / "format").rename(folder / "format.draft")
    (folder / "pages" / "data.mdb").write_bytes(b"")
    assert refused(folder).code == "STORE_NOT_FOUND"
    with Store.create(folder) as store:
        assert store.log.append([b"a"]) == 1
    Store.open(folder).close()


def test_data_without_its_format_file_is_not_thrown_away(folder: Path) -> None:
    made(folder)
    (folder / "format").unlink()
    with pytest.raises(StoreError) as caught:
        Store.create(folder)
    assert caught.value.code == "STORE_DAMAGED"


def test_a_second_opener_is_told_who_holds_it(folder: Path) -> None:
    with Store.create(folder):
        error = refused(folder)
        assert error.code == "STORE_LOCKED"
        assert str(folder) in str(error) and str(os.getpid()) in str(error)
        other = subprocess.run([sys.executable, "-c", _OPEN, str(folder)], capture_output=True, text=True, check=False)
        assert "in use by process" in other.stderr
        with pytest.raises(StoreError) as caught:
            verify(folder)
        assert caught.value.code == "STORE_LOCKED"
    Store.open(folder).close()


def test_a_newer_format_is_not_touched(folder: Path) -> None:
    made(folder)
    (folder / "format").write_text("muster-store 4\n")
    before = contents(folder)
    assert refused(folder).code == "STORE_FORMAT_NEWER"
    assert contents(folder) == before


def test_an_older_format_is_not_touched(folder: Path) -> None:
    made(folder)
    (folder / "format").write_text("muster-store 1\n")
    before = contents(folder)
    error = refused(folder)
    assert (error.code, "export" in error.mend) == ("STORE_FORMAT_OLDER", True)
    assert contents(folder) == before


def test_a_format_file_that_is_none(folder: Path) -> None:
    made(folder)
    (folder / "format").write_bytes(b"\xff\x00")
    assert refused(folder).code == "STORE_DAMAGED"
    assert [problem.code for problem in verify(folder)] == ["STORE_DAMAGED"]


@pytest.mark.parametrize("part", ["log", "pages"])
@pytest.mark.parametrize("length", [0, 100, 4096, 5000, 8192, "half"])
def test_a_truncated_file_is_refused_before_it_is_mapped(folder: Path, part: str, length: int | str) -> None:
    path = made(folder) / part / "data.mdb"
    needed = check_data_file(path).bytes_needed
    os.truncate(path, needed // 2 if length == "half" else int(length))
    assert refused(folder).code == "STORE_TRUNCATED"
    assert {problem.code for problem in verify(folder)} == {"STORE_TRUNCATED"}


def test_room_ahead_of_the_last_page_may_be_cut(folder: Path) -> None:
    path = made(folder) / "log" / "data.mdb"
    os.truncate(path, check_data_file(path).bytes_needed)
    with Store.open(folder) as store:
        assert len(list(store.log.read(0))) == 2_000


@pytest.mark.parametrize("offset", [10, 16, 20, 40, 4096 + 16])
def test_a_broken_meta_page_is_refused(folder: Path, offset: int) -> None:
    path = made(folder) / "log" / "data.mdb"
    flip(path, offset)
    assert refused(folder).code == "STORE_DAMAGED"


def test_a_commit_is_not_forgotten_because_its_number_was_damaged(folder: Path) -> None:
    """LMDB takes the older of its two meta pages where the newer one's transaction number has become a smaller one."""
    path = made(folder) / "log" / "data.mdb"
    newest = check_data_file(path).transaction
    data = bytearray(path.read_bytes())
    place = 4096 * (newest % 2) + 144
    assert int.from_bytes(data[place : place + 8], "little") == newest, "where a meta page has its transaction's number"
    data[place : place + 8] = bytes(8)
    path.write_bytes(data)
    assert refused(folder).code == "STORE_DAMAGED"


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def test_a_missing_file(folder: Path) -> None:
    (made(folder) / "pages" / "data.mdb").unlink()
    assert refused(folder).code == "STORE_DAMAGED"


def test_a_checkpoint_beyond_the_log_is_refused(folder: Path) -> None:
    with Store.create(folder) as store:
        store.pages.checkpoint(7, [(b"a", b"1")], at=1)
    assert refused(folder).code == "STORE_DAMAGED"
    assert [problem.code for problem in verify(folder)] == ["STORE_DAMAGED"]


def test_a_closed_store_says_so(folder: Path) -> None:
    store = Store.create(folder)
    store.close()
    store.close()
    for use in (lambda: store.log.append([b"a"]), lambda: store.pages.get(b"a"), lambda: list(store.pages.scan(b""))):
        with pytest.raises(StoreError) as caught:
            use()
        assert caught.value.code == "STORE_CLOSED"
