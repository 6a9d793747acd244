"""The inbox in parts is a list of which the newest so many are kept, whatever is saved, lost or discarded between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import commands
from core.errors import InvalidInput, StoreError
from core.messaging import reading
from core.messaging.effects import Inboxed, InboxEntry
from core.messaging.inbox import Inbox, Part
from core.profiles.operations import Operation
from core.profiles.records import ProfileChange
from core.settings import INBOX_LIMIT
from tests.core.project import Project

KEYS = ("hi", "hook", "")
IDS = ("a", "b", "c", "")
FREE = 'user.plan == "free"'


def entry(number: int, chance: random.Random) -> InboxEntry:
    """An entry that is like no other; one in a hundred is longer than a part may be."""
    body = "x" * (300_000 if chance.random() < 0.01 else chance.randrange(40))
    return InboxEntry(chance.choice(KEYS[:2]), chance.choice(IDS[:3]), "webhook", number, "", f"s{number}", body=body)


class Kept:
    """The naive twin: a list. With pages as a store would hold them, newest checkpoint only."""

    def __init__(self) -> None:
        self.entries: list[InboxEntry] = []
        self.first = 0
        self.pages: dict[bytes, bytes] = {}

    def newest(self, key: str, distinct_id: str) -> list[tuple[int, InboxEntry]]:
        """What `Inbox.newest` gives, by looking at all."""
        return [
            (number, one)
            for number, one in reversed(list(enumerate(self.entries)))
            if number >= self.first and key in ("", one.message_key) and distinct_id in ("", one.distinct_id)
        ]

    def save(self, inbox: Inbox) -> None:
        """Write what is dirty."""
        for key, page in inbox.dirty_pages():
            if page is None:
                self.pages.pop(key, None)  # after a failed checkpoint also what it would have written
            else:
                self.pages[key] = page

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pages by prefix, in key order."""
        return iter(sorted((key, page) for key, page in self.pages.items() if key.startswith(prefix)))


def same(inbox: Inbox, kept: Kept) -> None:
    """Compare all that can be asked."""
    assert (inbox.first, inbox.end, len(inbox)) == (kept.first, len(kept.entries), len(kept.entries) - kept.first)
    assert list(inbox) == kept.entries[kept.first :]
    for key in KEYS:
        for distinct_id in IDS:
            wanted = kept.newest(key, distinct_id)
            assert inbox.count(key, distinct_id) == len(wanted)
            middle = wanted[len(wanted) // 2][0] if wanted else 0
            assert list(islice(inbox.newest(key, distinct_id, inbox.end), 7)) == wanted[:7]
            assert list(inbox.newest(key, distinct_id, middle)) == [one for one in wanted if one[0] < middle]
    start = (inbox.first + inbox.end) // 2
    assert list(inbox.since(start)) == list(enumerate(kept.entries))[start:]


STEPS = st.lists(
    st.tuples(st.sampled_from(("take", "take", "discard", "save", "late", "fail", "open")), st.integers(0, 700)),
    max_size=12,
)


@settings(deadline=None)
@given(STEPS, st.integers(1, 1500), st.randoms(use_true_random=False))
def test_the_inbox_is_the_newest_of_a_list(steps: list[tuple[str, int]], limit: int, chance: random.Random) -> None:
    inbox, kept = Inbox(), Kept()

    def take(base: Inbox, count: int) -> tuple[Inbox, list[InboxEntry]]:
        draft = base.fork()
        entries = [entry(base.end + place, chance) for place in range(count)]
        draft.apply(Inboxed(entries, base.first_kept(count, limit)))
        return draft, entries

    for what, count in steps:
        if what == "discard":
            take(inbox, count)
        elif what == "open":
            kept.save(inbox)
            inbox = Inbox.load(kept.scan, kept.scan)
        else:
            frozen = inbox
            if what in ("save", "late", "fail"):
                inbox = frozen.fork()
                inbox.clean()
            if what in ("take", "late", "fail"):
                inbox, entries = take(inbox, count)
                kept.entries += entries
                kept.first = max(kept.first, len(kept.entries) - limit)
            if what in ("save", "late"):
                kept.save(frozen)
                inbox = inbox.fork()
                inbox.adopt(frozen, kept.pages.get)
            if what == "fail":
                inbox = inbox.fork()
                inbox.soil(frozen)
        same(inbox, kept)


def test_a_version_stays_as_it_was_while_later_ones_grow() -> None:
    chance = random.Random(1)
    old = Inbox()
    old.apply(Inboxed([entry(number, chance) for number in range(400)]))
    before = list(old)
    new = old.fork()
    new.apply(Inboxed([entry(number, chance) for number in range(400, 1400)], 1000))
    assert list(old) == before
    assert [one.at for one in new] == list(range(1000, 1400))


@pytest.mark.parametrize("page", [b"", b"\x04\x00\x00\x00", b"\x01\x00\x00\x00\xc0rubbish", b"\xff\xff\xff\xff"])
def test_a_damaged_part_is_told(page: bytes) -> None:
    part = Part(5, 7, page)
    with pytest.raises(StoreError, match="entries 5 to 6") as refused:
        part.entries()
    assert refused.value.code == "STORE_DAMAGED"
    with pytest.raises(StoreError, match="entries 5 to 6"):
        part.matching("hi", "")


def test_a_part_of_another_length_is_told() -> None:
    chance = random.Random(1)
    page = Part.of(0, [entry(0, chance), entry(1, chance)]).page
    with pytest.raises(StoreError, match="entries 0 to 2"):
        Part(0, 3, page).entries()


def test_no_more_are_kept_than_the_project_says(sandbox: Project) -> None:
    sandbox.message("hi", FREE)
    ids = [f"u{number}" for number in range(30)]
    sandbox.reach(*ids)
    sandbox.ask(commands.UpdateSettings(inbox_limit=20))
    for distinct_id in ids:
        sandbox.set(distinct_id, plan="free")
    assert sandbox.desk.drain_sandbox() == 30
    entries, following, total = reading.inbox_page(sandbox.version, "", "", 15)
    assert (len(entries), following, total) == (15, 15, 20)
    rest, following, _ = reading.inbox_page(sandbox.version, "", "", 15, 15)
    assert [one.distinct_id for one in rest + entries] == [*reversed(ids[10:15]), *reversed(ids[15:])]
    assert following is None
    sandbox.ask(commands.UpdateSettings(inbox_limit=3))
    assert [one.distinct_id for one in sandbox.version.messages.inbox] == ids[27:]
    sandbox.ask(commands.UpdateSettings(inbox_limit=INBOX_LIMIT))
    assert sandbox.version.messages.inbox.first == 27


def test_a_bound_that_cannot_be_is_refused(sandbox: Project) -> None:
    for limit in (0, 10_000_001):
        with pytest.raises(InvalidInput) as refused:
            sandbox.ask(commands.UpdateSettings(inbox_limit=limit))
        assert (refused.value.code, refused.value.field) == ("INBOX_LIMIT", "inbox_limit")


def test_entries_survive_checkpoints_and_openings(tmp_path: Path, unsynced: None) -> None:
    seen: list[InboxEntry] = []
    for turn in range(4):
        with Project(tmp_path / "sandbox", sandbox=True) as sandbox:
            assert list(sandbox.version.messages.inbox) == seen
            if not turn:
                sandbox.message("hi", FREE)
            ids = [f"u{turn}-{number}" for number in range(300)]
            sandbox.reach(*ids)
            sandbox.ingest(changes=[ProfileChange(one, Operation.SET, {"plan": "free"}) for one in ids])
            sandbox.desk.drain_sandbox()
            if turn % 2:
                sandbox.engine.checkpoint()
            seen = list(sandbox.version.messages.inbox)
            assert len(seen) == 300 * (turn + 1)
            if turn == 2:
                sandbox.copy_files(tmp_path / "killed")
    with Project(tmp_path / "killed", sandbox=True) as sandbox:
        assert list(sandbox.version.messages.inbox) == seen[:900]
