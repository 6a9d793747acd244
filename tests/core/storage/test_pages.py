"""Promise: a checkpoint becomes current as a whole or not at all, and each retained one is read as it was made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput, NotFound, StoreError
from core.storage.checkpoints import CLOSE, Spacing
from core.storage.collection import superseded
from core.storage.faults import Point
from core.storage.store import Store
from tests.core.storage.conftest import FailingDisk

_LONG = b"n" * 470
_keys = st.sampled_from(
    [b"a", b"a\x00", b"a\x00b", b"a\xff", b"b", b"bb", _LONG, *(_LONG + b"%d" % n * 20 for n in range(6))]
)
_changes = st.dictionaries(_keys, st.none() | st.binary(max_size=30), max_size=8)


def everything(store: Store, at_position: int | None = None, prefix: bytes = b"") -> dict[bytes, bytes]:
    found = list(store.pages.scan(prefix, at_position=at_position))
    assert [key for key, _ in found] == sorted({key for key, _ in found})
    return dict(found)


def records(store: Store, count: int) -> None:
    """Lengthen the log so that checkpoints may stand at these positions."""
    store.log.append([b"record"] * count)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_changes, min_size=1, max_size=5), st.integers(0, 5), st.integers(0, 3), _keys)
def test_checkpoints_are_read_as_a_dictionary_of_each_time_would_be(
    tmp_path_factory: pytest.TempPathFactory,
    history: list[dict[bytes, bytes | None]],
    horizon: int,
    spacing: int,
    prefix: bytes,
) -> None:
    with Store.create(tmp_path_factory.mktemp("pages") / "s") as store:
        records(store, len(history))
        model: dict[bytes, bytes] = {}
        states: dict[int, dict[bytes, bytes]] = {}
        for position, changes in enumerate(history, 1):
            store.pages.checkpoint(position, sorted(changes.items()), at=position)
            for key, value in changes.items():
                model.pop(key, None)
                if value is not None:
                    model[key] = value
            states[position] = dict(model)
        for _ in range(2):
            for one in store.pages.checkpoints():
                expected = states[one.position]
                assert everything(store, one.position) == expected
                assert everything(store, one.position, prefix) == {
                    k: v for k, v in expected.items() if k.startswith(prefix)
                }
                assert store.pages.get(prefix, at_position=one.position) == expected.get(prefix)
            store.pages.collect(horizon, spacing=Spacing(spacing, 1 << 40))
        assert store.pages.position == len(history)


def test_pages_are_scanned_in_slices(store: Store) -> None:
    records(store, 2)
    pages = [(b"p%06d" % n, b"v%d" % n) for n in range(20_000)]
    store.pages.checkpoint(1, pages, at=1)
    store.pages.checkpoint(2, [(key, value + b"!") for key, value in pages[::2]], at=2)
    assert list(store.pages.scan(b"p", at_position=1)) == pages
    now = [(key, value + b"!" if n % 2 == 0 else value) for n, (key, value) in enumerate(pages)]
    assert list(store.pages.scan(b"p")) == now
    assert list(store.pages.scan(b"p01999")) == now[-10:]
    assert list(store.pages.scan(b"q")) == []


def test_big_pages(store: Store, folder: Path) -> None:
    records(store, 1)
    pages = [(b"big%02d" % n, bytes([n]) * (1 << 20)) for n in range(30)]
    store.pages.checkpoint(1, iter(pages), at=1)
    store.close()
    with Store.open(folder) as again:
        assert list(again.pages.scan(b"")) == pages


def test_two_checkpoints_at_one_position(store: Store) -> None:
    records(store, 1)
    store.pages.checkpoint(1, [(b"a", b"1")], at=1)
    store.pages.checkpoint(1, [(b"a", b"2")], at=2)
    assert [one.position for one in store.pages.checkpoints()] == [1, 1]
    assert store.pages.get(b"a", at_position=1) == b"2"


def test_what_cannot_be_is_refused_and_changes_nothing(store: Store) -> None:
    records(store, 9)
    store.pages.checkpoint(5, [(b"a", b"1")], at=1)
    for position, pages, code in [
        (4, [(b"a", b"2")], "CHECKPOINT_BACKWARDS"),
        (6, [(b"b", b"2"), (b"a", b"2")], "PAGES_OUT_OF_ORDER"),
        (6, [(b"a", b"2"), (b"a", b"3")], "PAGES_OUT_OF_ORDER"),
        (6, [(b"", b"2")], "PAGE_KEY"),
        (6, [(b"x" * 5000, b"2")], "PAGE_KEY"),
    ]:
        with pytest.raises(InvalidInput) as caught:
            store.pages.checkpoint(position, pages, at=2)
        assert caught.value.code == code
    assert everything(store) == {b"a": b"1"}
    assert store.pages.position == 5
    with pytest.raises(NotFound) as gone:
        store.pages.get(b"a", at_position=3)
    assert gone.value.code == "CHECKPOINT_GONE"


@pytest.mark.parametrize("point", list(Point))
@pytest.mark.parametrize("place", ["pages.begin", "pages.slice", "pages.switch"])
def test_a_failing_checkpoint_is_whole_or_absent(
    store: Store, folder: Path, disk: FailingDisk, place: str, point: Point
) -> None:
    records(store, 3)
    old = {b"%05d" % n: b"old" for n in range(6_000)}
    new = {key: b"new" for key in old}
    store.pages.checkpoint(1, sorted(old.items()), at=1)
    disk.fail(place, point, after=1 if place == "pages.slice" else 0)
    with pytest.raises(StoreError) as caught:
        store.pages.checkpoint(2, sorted(new.items()), at=2)
    assert caught.value.code == "STORE_WRITE_FAILED"
    complete = (place, point) == ("pages.switch", Point.COMMITTED)
    assert everything(store) == (new if complete else old)
    assert store.pages.position == (2 if complete else 1)
    store.close()
    with Store.open(folder, faults=disk) as again:
        assert everything(again) == (new if complete else old)
        again.pages.checkpoint(3, [(b"00000", None)], at=3)
        expected = dict(new if complete else old)
        del expected[b"00000"]
        assert everything(again) == expected


def test_leftovers_that_could_not_be_removed_are_never_read(store: Store, folder: Path, disk: FailingDisk) -> None:
    records(store, 3)
    store.pages.checkpoint(1, [(b"a", b"1")], at=1)
    disk.fail("pages.switch", Point.BEGIN)
    disk.fail("pages.collect", Point.BEGIN)
    with pytest.raises(StoreError):
        store.pages.checkpoint(2, [(b"a", b"2"), (b"b", b"2")], at=2)
    store.close()
    with Store.open(folder) as again:
        assert everything(again) == {b"a": b"1"}
        again.pages.checkpoint(3, [(b"c", b"3")], at=3)
        assert everything(again) == {b"a": b"1", b"c": b"3"}


def test_a_failing_source_of_pages_leaves_the_old_checkpoint(store: Store) -> None:
    records(store, 2)
    store.pages.checkpoint(1, [(b"a", b"1")], at=1)

    def pages() -> Iterator[tuple[bytes, bytes | None]]:
        yield b"a", b"2"
        raise RuntimeError("the source fails")

    with pytest.raises(RuntimeError):
        store.pages.checkpoint(2, pages(), at=2)
    assert everything(store) == {b"a": b"1"}


def test_a_scan_keeps_its_checkpoint_while_others_are_made_and_dropped(store: Store) -> None:
    records(store, 9)
    store.pages.checkpoint(1, [(b"%05d" % n, b"1") for n in range(10_000)], at=1)
    scan = store.pages.scan(b"")
    assert next(scan) == (b"00000", b"1")
    for position in (2, 3):
        store.pages.checkpoint(position, [(b"%05d" % n, b"%d" % position) for n in range(10_000)], at=position)
        store.pages.collect(100)
    assert {value for _, value in scan} == {b"1"}
    store.pages.collect(100)
    assert [one.position for one in store.pages.checkpoints()] == [3]


def test_threads_read_while_checkpoints_are_made(store: Store) -> None:
    records(store, 20)
    store.pages.checkpoint(1, [(b"%04d" % n, b"1") for n in range(500)], at=1)
    mixed: list[set[bytes]] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            values = {value for _, value in store.pages.scan(b"")}
            if len(values) != 1:
                mixed.append(values)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for position in range(2, 12):
        store.pages.checkpoint(position, [(b"%04d" % n, b"%d" % position) for n in range(500)], at=position)
        store.pages.collect(position)
    stop.set()
    for thread in threads:
        thread.join()
    assert mixed == []


@settings(max_examples=200)
@given(
    st.dictionaries(st.integers(1, 12), st.booleans(), max_size=8), st.sets(st.integers(1, 12), min_size=1, max_size=6)
)
def test_collection_deletes_just_what_no_kept_checkpoint_reads(history: dict[int, bool], kept_set: set[int]) -> None:
    versions, kept = sorted(history.items()), sorted(kept_set)
    gone = set(superseded(versions, kept))

    def read(rows: list[tuple[int, bool]], at: int) -> int | None:
        seen = [(number, deleted) for number, deleted in rows if number <= at]
        return seen[-1][0] if seen and not seen[-1][1] else None

    left = [row for row in versions if row[0] not in gone]
    assert [read(left, at) for at in kept] == [read(versions, at) for at in kept]
    needed = {read(versions, at) for at in kept}
    for number, deleted in left:
        assert number in needed or deleted or number > kept[-1]


def test_the_horizon_keeps_one_checkpoint_before_it_and_collects_the_rest(store: Store) -> None:
    records(store, 50)
    for position in range(10, 51, 10):
        store.pages.checkpoint(position, [(b"a", b"%d" % position), (b"only%d" % position, b"x")], at=position * 100)
    store.collect(3500, spacing=CLOSE)
    assert [one.position for one in store.pages.checkpoints()] == [30, 40, 50]
    assert store.log.first_position == 30
    assert everything(store, 30) == {b"a": b"30", b"only10": b"x", b"only20": b"x", b"only30": b"x"}
    store.collect(3500, spacing=Spacing(1500, 1 << 40))
    assert [one.position for one in store.pages.checkpoints()] == [30, 50]
    store.collect(9900)
    assert [one.position for one in store.pages.checkpoints()] == [50]
    assert store.pages.get(b"a") == b"50"
    assert (store.log.first_position, store.log.last_position) == (50, 50)


def test_a_collection_that_failed_is_made_good_by_the_next(store: Store, disk: FailingDisk) -> None:
    records(store, 3)
    for position in (1, 2, 3):
        store.pages.checkpoint(position, [(b"a", b"%d" % position)], at=position)
    disk.fail("pages.collect", Point.SYNC)
    with pytest.raises(StoreError):
        store.pages.collect(3)
    before = disk.passed.get(("pages.collect", Point.COMMITTED), 0)
    store.pages.collect(3)
    assert disk.passed[("pages.collect", Point.COMMITTED)] > before
    assert everything(store) == {b"a": b"3"}
