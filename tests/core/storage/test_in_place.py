"""Promise: a page used in place has the bytes that were written, as long as anybody holds it, whatever the store does."""

from __future__ import annotations

import errno
import gc
import time
from pathlib import Path

import numpy as np
import pytest

from core.errors import StoreError
from core.storage.faults import Point
from core.storage.scrub import Scrub
from core.storage.store import Store
from tests.core.storage.conftest import FailingDisk

_BIG = 70_000


def _page(seed: int, size: int = _BIG) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def _made(store: Store, *seeds: int) -> None:
    """One more checkpoint, of the pages `p0`, `p1`, … as these seeds give them."""
    position = store.log.append([b"record"])
    store.pages.checkpoint(position, [(b"p%d" % number, _page(seed)) for number, seed in enumerate(seeds)], at=position)


def _held(store: Store) -> list[memoryview]:
    return [memoryview(page) for _, page in store.pages.scan_in_place(b"p")]


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)


def test_long_pages_are_in_place_and_aligned_and_short_ones_are_copies(store: Store) -> None:
    pages = [(b"p%07d" % size, _page(size, size)) for size in [0, 1, 2000, 4000, 4049, 5000, 8192, 1 << 20]]
    store.log.append([b"record"])
    store.pages.checkpoint(1, pages, at=1)
    found = list(store.pages.scan_in_place(b""))
    assert [(key, bytes(memoryview(page))) for key, page in found] == pages == list(store.pages.scan(b""))
    for (key, page), (_, written) in zip(found, pages, strict=True):
        assert bytes(memoryview(store.pages.get_in_place(key) or b"")) == written
        if len(written) > 4048:
            assert isinstance(page, memoryview)
            assert page.readonly
            assert _address(page) % 64 == 0
        else:
            assert isinstance(page, bytes)
    assert store.pages.get_in_place(b"none") is None


def test_a_held_page_is_not_collected(store: Store) -> None:
    _made(store, 1, 2)
    held = _held(store)
    for seed in range(3, 40):
        _made(store, seed, seed + 100)
        store.pages.collect(1 << 40)
    assert [bytes(page) for page in held] == [_page(1), _page(2)]
    assert [bytes(page) for page in _held(store)] == [_page(39), _page(139)]


def test_what_nobody_holds_is_collected_and_its_room_used_again(store: Store, folder: Path) -> None:
    _made(store, 1, 2)
    held = _held(store)
    _made(store, 3, 4)
    store.pages.collect(1 << 40)
    file = folder / "pages" / "data.mdb"
    del held
    gc.collect()
    for seed in range(5, 10):
        _made(store, seed, seed)
        store.pages.collect(1 << 40)
    settled = file.stat().st_blocks
    for seed in range(10, 60):
        _made(store, seed, seed)
        store.pages.collect(1 << 40)
    assert file.stat().st_blocks <= settled + 2 * _BIG // 512


def test_a_page_lives_on_when_the_store_is_closed(store: Store, folder: Path) -> None:
    _made(store, 1, 2)
    held = _held(store)
    store.close()
    assert [bytes(page) for page in held] == [_page(1), _page(2)]
    with Store.open(folder) as again:
        assert [bytes(page) for page in _held(again)] == [_page(1), _page(2)]


def test_a_page_lives_on_when_the_environment_is_opened_anew(store: Store, disk: FailingDisk) -> None:
    _made(store, 1, 2)
    held = _held(store)
    disk.fail("pages.slice", Point.SYNC, errno.EIO)
    with pytest.raises(StoreError):
        _made(store, 3, 4)
    for seed in range(3, 20):
        _made(store, seed, seed)
        store.pages.collect(1 << 40)
    assert [bytes(page) for page in held] == [_page(1), _page(2)]


def test_a_page_lives_on_when_the_map_grows(folder: Path) -> None:
    with Store.create(folder, pages_map_size=1 << 20) as store:
        _made(store, 1, 2)
        held = _held(store)
        for seed in range(3, 60):
            _made(store, *range(seed, seed + 10))
        assert [bytes(page) for page in held] == [_page(1), _page(2)]
        assert [bytes(page) for page in _held(store)] == [_page(seed) for seed in range(59, 69)]


def test_the_same_page_is_one_buffer(store: Store) -> None:
    _made(store, 1)
    position = store.log.append([b"record"])
    first = _held(store)
    store.pages.checkpoint(position, [(b"q", b"")], at=position)
    assert _address(first[0]) == _address(_held(store)[0])


def test_a_copy_in_which_all_pages_stand_elsewhere_is_read_alike(store: Store, tmp_path: Path) -> None:
    for seed in range(1, 30, 3):
        _made(store, seed, seed + 1, seed + 2)
        store.pages.collect(1 << 40)
    store.backup(tmp_path / "copy")
    with Store.open(tmp_path / "copy") as copy:
        assert (
            [bytes(page) for page in _held(copy)]
            == [bytes(page) for page in _held(store)]
            == list(map(_page, (28, 29, 30)))
        )


def test_notes_of_places_go_with_their_pages(store: Store) -> None:
    for seed in range(1, 30, 3):
        _made(store, seed, seed + 1, seed + 2)
        store.pages.collect(1 << 40)
    environment = store._environments[1]
    with environment.read() as transaction:
        notes = [bytes(key) for key, _ in transaction.cursor(environment.database(b"state")) if bytes(key[:1]) == b"p"]
        pages = [bytes(key) for key, _ in transaction.cursor(environment.database(b"pages"))]
    assert notes == [b"p" + key for key in pages]


def test_a_damaged_head_is_told_at_once(store: Store, folder: Path) -> None:
    _made(store, 1)
    at = _place_of(_page(1), folder)
    store.close()
    _flip(folder, at - 40)
    with Store.open(folder) as again, pytest.raises(StoreError) as caught:
        _held(again)
    assert (caught.value.code, "p0" in caught.value.message) == ("STORE_DAMAGED", True)


def test_damage_within_a_page_is_found_after_opening(store: Store, folder: Path) -> None:
    _made(store, 1, 2, 3)
    store.scrub.start()
    store.scrub.wait()
    assert store.scrub.damage == ""
    at = _place_of(_page(2), folder)
    store.close()
    _flip(folder, at + 1000)
    with Store.open(folder) as again:
        assert len(_held(again)) == 3
        again.scrub.start()
        again.scrub.wait()
        assert "p1" in again.scrub.damage and "checksum" in again.scrub.damage
        with pytest.raises(StoreError) as caught:
            again.pages.get(b"p1")
        assert caught.value.code == "STORE_DAMAGED"


def test_reading_all_pages_ends_with_the_store(store: Store) -> None:
    position = store.log.append([b"record"])
    store.pages.checkpoint(position, [(b"p%02d" % n, _page(n, 1 << 20)) for n in range(40)], at=1)
    scrub = Scrub(store._environments[1], bytes_a_second=1 << 20)
    scrub.start()
    started = time.monotonic()
    scrub.stop()
    assert time.monotonic() - started < 10
    assert scrub.damage == ""


def _place_of(page: bytes, folder: Path) -> int:
    return (folder / "pages" / "data.mdb").read_bytes().index(page)


def _flip(folder: Path, place: int) -> None:
    with (folder / "pages" / "data.mdb").open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))
