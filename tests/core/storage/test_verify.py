"""Promise: a flipped byte in a record or a page is found, by reading and by verify; a sound store has no problems."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.errors import StoreError
from core.storage.environment import Environment
from core.storage.faults import NO_FAULTS, Point
from core.storage.log import KEY, RECORDS
from core.storage.pagescan import PAGES
from core.storage.store import LOG_DATABASES, PAGES_DATABASES, Store
from core.storage.verify import verify
from tests.core.storage.conftest import FailingDisk

_MARK = b"here is the byte to flip"
_PAGE_BYTES = 4096


def places(path: Path, needle: bytes) -> list[int]:
    """Where a file has some bytes; LMDB leaves old copies of a page about, and any may be the present one."""
    return [found.start() for found in re.finditer(re.escape(needle), path.read_bytes())]


def flip(path: Path, needle: bytes) -> None:
    with path.open("r+b") as file:
        for at in places(path, needle):
            file.seek(at)
            file.write(bytes([needle[0] ^ 0x01]))


def made(folder: Path) -> None:
    with Store.create(folder) as store:
        store.log.append([b"a", _MARK, b"c" * 100_000])
        store.pages.checkpoint(1, [(b"a", b"1"), (b"b", _MARK), (b"long" * 300, b"2" * 100_000)], at=1)
        store.pages.checkpoint(3, [(b"a", None), (b"c", b"3")], at=2)
        store.log.truncate_before(2)


def codes(folder: Path) -> list[str]:
    return [problem.code for problem in verify(folder)]


def change(folder: Path, part: str, database: bytes, key: bytes, value: bytes | None) -> None:
    """Change a store behind its back."""
    names = LOG_DATABASES if part == "log" else PAGES_DATABASES
    environment = Environment(folder / part, names, map_size=1 << 30, map_limit=1 << 30, create=False, faults=NO_FAULTS)
    if value is None:
        environment.write("test", lambda transaction: transaction.delete(key, db=environment.database(database)))
    else:
        environment.write("test", lambda transaction: transaction.put(key, value, db=environment.database(database)))
    environment.close()


def test_a_sound_store_has_no_problems(folder: Path) -> None:
    Store.create(folder).close()
    assert verify(folder) == []
    made(folder.parent / "full")
    assert verify(folder.parent / "full") == []


def test_a_flipped_byte_in_the_log(folder: Path) -> None:
    made(folder)
    flip(folder / "log" / "data.mdb", _MARK)
    problems = verify(folder)
    assert [problem.code for problem in problems] == ["STORE_DAMAGED"]
    assert "position 2" in str(problems[0])
    with Store.open(folder) as store, pytest.raises(StoreError) as caught:
        list(store.log.read(1))
    assert caught.value.code == "STORE_DAMAGED"
    assert "position 2" in str(caught.value)


def test_a_flipped_byte_in_a_page(folder: Path) -> None:
    made(folder)
    flip(folder / "pages" / "data.mdb", _MARK)
    problems = verify(folder)
    assert [problem.code for problem in problems] == ["STORE_DAMAGED"]
    assert "b'b'" in str(problems[0])
    with Store.open(folder) as store:
        with pytest.raises(StoreError) as caught:
            store.pages.get(b"b")
        assert caught.value.code == "STORE_DAMAGED"
        with pytest.raises(StoreError):
            list(store.pages.scan(b""))
        assert store.pages.get(b"c") == b"3"


def test_a_flipped_byte_in_the_structure_is_found_without_mapping_it(folder: Path) -> None:
    made(folder)
    path = folder / "pages" / "data.mdb"
    with path.open("r+b") as file:
        for at in places(path, _MARK):
            file.seek(at // _PAGE_BYTES * _PAGE_BYTES + 12)  # where the page's free room begins
            file.write(b"\xff\xff")
    assert "STORE_DAMAGED" in codes(folder)


def test_a_gap_in_the_log(folder: Path) -> None:
    with Store.create(folder) as store:
        store.log.append([b"a", b"b", b"c"])
    change(folder, "log", RECORDS, KEY.pack(2), None)
    assert codes(folder) == ["STORE_LOG_GAP"]
    with Store.open(folder) as store, pytest.raises(StoreError) as caught:
        list(store.log.read(0))
    assert "position 2 is missing" in str(caught.value)


def test_a_log_that_begins_after_the_oldest_checkpoint(folder: Path) -> None:
    with Store.create(folder) as store:
        store.log.append([b"a", b"b", b"c"])
        store.pages.checkpoint(1, [(b"a", b"1")], at=1)
        store.log.truncate_before(3)
    assert codes(folder) == ["STORE_LOG_GAP"]


def test_foreign_pages(folder: Path) -> None:
    made(folder)
    change(folder, "pages", PAGES, b"no key", b"")
    assert codes(folder) == ["STORE_DAMAGED"]


def test_what_an_unfinished_checkpoint_left_is_no_problem(folder: Path, disk: FailingDisk) -> None:
    with Store.create(folder, faults=disk) as store:
        store.log.append([b"a"])
        disk.fail("pages.switch", Point.BEGIN)
        disk.fail("pages.collect", Point.BEGIN)
        with pytest.raises(StoreError):
            store.pages.checkpoint(1, [(b"a", b"1")], at=1)
    assert verify(folder) == []
