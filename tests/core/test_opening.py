"""Promise: a store that cannot be opened says why, and is left as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest

from core.codec import encode
from core.engine import verify
from core.errors import StoreError
from tests.core.project import Project, live_a_little


def test_a_second_opener_is_refused(project: Project) -> None:
    with pytest.raises(StoreError) as caught:
        Project(project.folder)
    assert caught.value.code == "STORE_LOCKED"
    project.set("a", plan="free")


def newer(folder: Path) -> None:
    (folder / "format").write_text("muster-store 999\n")


def no_format(folder: Path) -> None:
    (folder / "format").unlink()


def cut_pages(folder: Path) -> None:
    data = folder / "pages" / "data.mdb"
    data.write_bytes(data.read_bytes()[: 4096 * 3])


def cut_log(folder: Path) -> None:
    data = folder / "log" / "data.mdb"
    data.write_bytes(data.read_bytes()[:1000])


def scribble(folder: Path) -> None:
    for part in ("log", "pages"):
        data = folder / part / "data.mdb"
        content = bytearray(data.read_bytes())
        for place in range(4096 * 2, len(content), 257):
            content[place] ^= 0xFF
        data.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        (newer, {"STORE_FORMAT_NEWER"}),
        (no_format, {"STORE_NOT_FOUND"}),
        (cut_pages, {"STORE_TRUNCATED"}),
        (cut_log, {"STORE_TRUNCATED"}),
        (scribble, {"STORE_DAMAGED"}),
    ],
)
def test_a_damaged_store_is_refused_and_left_as_it_is(
    project: Project, damage: Callable[[Path], None], codes: set[str]
) -> None:
    live_a_little(project)
    project.close()
    damage(project.folder)
    before = {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file() and path.name != "lock"}
    with pytest.raises(StoreError) as caught:
        Project(project.folder)
    assert caught.value.code in codes
    assert caught.value.mend
    unlocked = {path for path in before if path.name != "lock.mdb"}
    assert all(path.read_bytes() == before[path] for path in unlocked)


def test_a_record_of_a_newer_release_is_named(project: Project) -> None:
    unknown = msgpack.ExtType(2, encode(["from_the_future", 1, 2]))
    project.engine._store.log.append([encode([1, [unknown]])])
    project.engine._stopped = "so that no checkpoint hides it"
    project.close()
    with pytest.raises(StoreError) as caught:
        Project(project.folder)
    assert caught.value.code == "STORE_FORMAT_NEWER"


def test_verify_reconciles_every_message(project: Project) -> None:
    live_a_little(project)
    ledger = project.version.messages.ledger("hi")
    ledger._writable(("failed", "twice")).update(ledger.selected)
    ledger._dirty = True
    project.close()
    assert any("message hi" in problem for problem in verify(project.folder))
