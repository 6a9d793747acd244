"""Promise: a copy made while the store is written is a store of one moment, and a failed copy leaves nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from core.errors import StoreError
from core.storage.checkpoints import CLOSE
from core.storage.store import Store
from core.storage.verify import verify


def test_a_backup_during_appends_and_checkpoints(store: Store, folder: Path) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            while not stop.is_set():
                last = store.log.append([b"r" * 2000] * 20)
                store.pages.checkpoint(last, [(b"%04d" % n, b"%d" % last) for n in range(300)], at=last)
                store.collect(last - 40, spacing=CLOSE)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    copies = [folder.parent / f"copy{n}" for n in range(3)]
    copies[1].mkdir()
    try:
        for copy in copies:
            store.backup(copy)
    finally:
        stop.set()
        writer.join()
    assert failures == []
    for copy in copies:
        assert verify(copy) == []
        with Store.open(copy) as restored:
            position = restored.pages.position
            assert {value for _, value in restored.pages.scan(b"")} <= {b"%d" % position}
            tail = list(restored.log.read(position))
            assert [n for n, _ in tail] == list(range(position + 1, restored.log.last_position + 1))
            assert restored.log.append([b"more"]) == position + len(tail) + 1
    assert not list(folder.parent.glob(".*"))


def test_the_destination_must_be_free(store: Store, folder: Path) -> None:
    taken = folder.parent / "taken"
    taken.mkdir()
    (taken / "letter.txt").write_text("dear")
    for destination in (taken, taken / "letter.txt", folder.parent / "missing" / "copy", folder):
        with pytest.raises(StoreError) as caught:
            store.backup(destination)
        assert caught.value.code == "BACKUP_DESTINATION"
    assert (taken / "letter.txt").read_text() == "dear"


def test_the_draft_of_a_killed_backup_is_replaced(store: Store, folder: Path) -> None:
    draft = folder.parent / ".copy.partial"
    (draft / "pages").mkdir(parents=True)
    (draft / "pages" / "data.mdb").write_bytes(b"half")
    (draft / "lock").write_bytes(b"1\n")
    store.log.append([b"a"])
    store.backup(folder.parent / "copy")
    assert verify(folder.parent / "copy") == []
    assert not draft.exists()
