"""Promise: what was appended is read back whole and in order; what failed to be appended is never seen."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from core.errors import StoreError
from core.storage.faults import Point
from core.storage.store import Store
from tests.core.storage.conftest import FailingDisk


def test_positions_count_from_one_and_survive_reopening(store: Store, folder: Path) -> None:
    assert store.log.last_position == 0
    assert list(store.log.read(0)) == []
    assert store.log.append([b"one", b"", b"three"]) == 3
    assert store.log.append([]) == 3
    store.close()
    with Store.open(folder) as again:
        assert again.log.last_position == 3
        assert again.log.append([b"four"]) == 4
        assert list(again.log.read(1)) == [(2, b""), (3, b"three"), (4, b"four")]
        assert list(again.log.read(4)) == []


def test_many_records_are_read_in_slices(store: Store) -> None:
    records = [b"%d" % n for n in range(10_000)]
    store.log.append(records[:9_000])
    store.log.append(records[9_000:])
    assert list(store.log.read(0)) == list(enumerate(records, 1))


def test_records_appended_while_reading_are_read(store: Store) -> None:
    store.log.append([b"a"])
    reading = store.log.read(0)
    assert next(reading) == (1, b"a")
    store.log.append([b"b"])
    assert list(reading) == [(2, b"b")]


def test_a_group_of_50_mb(store: Store, folder: Path) -> None:
    big = bytes(range(256)) * (50 * 4096)
    store.log.append([b"small", big, b"small too"])
    store.close()
    with Store.open(folder) as again:
        assert [payload for _, payload in again.log.read(0)] == [b"small", big, b"small too"]


def test_truncation_keeps_positions_and_the_last_record(store: Store, folder: Path) -> None:
    store.log.append([b"x"] * 10_000)
    store.log.truncate_before(9_000)
    assert store.log.first_position == 9_000
    assert next(store.log.read(8_999)) == (9_000, b"x")
    with pytest.raises(StoreError) as caught:
        list(store.log.read(8_998))
    assert caught.value.code == "STORE_LOG_GAP"
    store.log.truncate_before(50_000)
    store.close()
    with Store.open(folder) as again:
        assert (again.log.first_position, again.log.last_position) == (10_000, 10_000)
        assert again.log.append([b"y"]) == 10_001


@pytest.mark.parametrize("point", list(Point))
@pytest.mark.parametrize(("number", "code"), [(errno.EIO, "STORE_WRITE_FAILED"), (errno.ENOSPC, "DISK_FULL")])
def test_a_failed_append_leaves_nothing_and_the_next_one_works(
    store: Store, folder: Path, disk: FailingDisk, point: Point, number: int, code: str
) -> None:
    store.log.append([b"before"])
    disk.fail("log.append", point, number)
    with pytest.raises(StoreError) as caught:
        store.log.append([b"lost", b"lost too"])
    assert caught.value.code == code
    assert list(store.log.read(0)) == [(1, b"before")]
    assert store.log.append([b"after"]) == 2
    store.close()
    with Store.open(folder) as again:
        assert list(again.log.read(0)) == [(1, b"before"), (2, b"after")]


def test_a_doubtful_record_is_hidden_until_it_can_be_taken_out(store: Store, disk: FailingDisk) -> None:
    store.log.append([b"before"])
    disk.fail("log.append", Point.COMMITTED)
    for after in range(2):
        disk.fail("log.truncate", Point.BEGIN, after=after)
    with pytest.raises(StoreError):
        store.log.append([b"doubtful"])
    assert store.log.last_position == 1
    assert list(store.log.read(0)) == [(1, b"before")]
    with pytest.raises(StoreError):
        store.log.append([b"refused"])
    assert store.log.append([b"after"]) == 2
    assert list(store.log.read(0)) == [(1, b"before"), (2, b"after")]
