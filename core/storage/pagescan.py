"""Reads pages as of one checkpoint, in short read transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from core.errors import StoreError
from core.storage import pagekeys
from core.storage.environment import Environment
from core.storage.pagevalues import peek_whole_key, unseal

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T", bound="Buffer")
Open = Callable[[Any, bytes], T | None]
"""Gives the payload under a stored key, read in a transaction; None where it says that the page is gone. Raises StoreError."""

PAGES: Final = b"pages"
_SLICE_VERSIONS: Final = 8192
_SLICE_BYTES: Final = 8 << 20


def find_page(environment: Environment, key: bytes, number: int, opened: Open[T]) -> T | None:
    """One page as of a checkpoint.

    Arguments:
        number: of the checkpoint.
        opened: makes of a stored value what is returned.

    Returns:
        None where there is no such page.

    Raises:
        StoreError: STORE_DAMAGED.
    """
    stem = pagekeys.stem_of(key)
    with environment.read() as transaction:
        cursor = transaction.cursor(environment.database(PAGES))
        # The newest version up to `number` stands just before where `number + 1` would.
        found = cursor.prev() if cursor.set_range(pagekeys.version_of(stem, number + 1)) else cursor.last()
        if not found or bytes(cursor.key())[: -pagekeys.NUMBER.size] != stem:
            return None
        return opened(transaction, bytes(cursor.key()))


def scan_pages(environment: Environment, prefix: bytes, number: int, opened: Open[T]) -> Iterator[tuple[bytes, T]]:
    """The pages with a prefix as of a checkpoint, in key order.

    Arguments:
        number: of the checkpoint; versions of later ones are not seen.
        opened: makes of a stored value what is given.

    Raises:
        StoreError: STORE_DAMAGED.
    """
    start = seek = pagekeys.seek_of(prefix)
    while True:
        found, next_start, cut_head = _slice(environment, start, seek, prefix, number, opened)
        yield from found
        if cut_head is not None:
            yield from _cut_group(environment, cut_head, prefix, number, opened)
            next_start = _after_cut_group(cut_head)
        if next_start is None:
            return
        start = next_start


def _slice(
    environment: Environment, start: bytes, seek: bytes, prefix: bytes, number: int, opened: Open[T]
) -> tuple[list[tuple[bytes, T]], bytes | None, bytes | None]:
    """Pages from a stored key on; where to go on, None at the end; the head of a group of cut keys met, if any."""
    found: list[tuple[bytes, T]] = []
    size = versions = 0
    candidate: tuple[pagekeys.StoredKey, bytes] | None = None

    def settle() -> int:
        if candidate is None or not candidate[0].head.startswith(prefix):
            return 0
        page = opened(transaction, candidate[1])
        if page is None:
            return 0
        found.append((candidate[0].head, page))
        return len(page) if isinstance(page, bytes) else 0

    with environment.read() as transaction:
        cursor = transaction.cursor(environment.database(PAGES))
        more = cursor.set_range(start)
        stem = b""
        while more:
            stored = bytes(cursor.key())
            if not stored.startswith(seek):
                break
            key = _take_apart(environment, stored)
            if key.stem != stem:
                size += settle()
                candidate = None
                if key.cut:
                    return found, None, stored[: len(key.stem) - pagekeys.CUT_TAIL_BYTES]
                # Never stop between two versions of one page.
                if versions >= _SLICE_VERSIONS or size >= _SLICE_BYTES:
                    return found, stored, None
                stem = key.stem
            if key.number <= number:
                candidate = (key, stored)
            versions += 1
            more = cursor.next()
        settle()
    return found, None, None


def _after_cut_group(escaped_head: bytes) -> bytes:
    # The end mark of cut keys is 00 01; 00 02 stands after all of them and before any longer head.
    return escaped_head + b"\x00\x02"


def _cut_group(
    environment: Environment, escaped_head: bytes, prefix: bytes, number: int, opened: Open[T]
) -> Iterator[tuple[bytes, T]]:
    """The pages whose keys were cut to one head, sorted by their whole keys."""
    keys: set[bytes] = set()
    start = first = escaped_head + pagekeys.CUT_END
    done = False
    while not done:
        done = True
        with environment.read() as transaction:
            cursor = transaction.cursor(environment.database(PAGES))
            more = cursor.set_range(start)
            versions = 0
            while more and bytes(cursor.key()).startswith(first):
                if versions >= _SLICE_VERSIONS:
                    start, done = bytes(cursor.key()), False
                    break
                whole = peek_whole_key(cursor.value())
                if whole.startswith(prefix):
                    keys.add(whole)
                versions += 1
                more = cursor.next()
    for key in sorted(keys):
        payload = find_page(environment, key, number, opened)
        if payload is not None:
            yield key, payload


def _take_apart(environment: Environment, stored: bytes) -> pagekeys.StoredKey:
    key = pagekeys.take_apart(stored)
    if key is None:
        raise environment.damaged(f"{stored!r} is no page key")
    return key


def copied(environment: Environment) -> Open[bytes]:
    """Opens values by copying the payload, with its checksum verified."""

    def opened(transaction: Any, stored: bytes) -> bytes | None:
        value = transaction.get(stored, db=environment.database(PAGES))
        page = unseal(stored, value)
        if page is None:
            raise wrong_checksum(environment, stored)
        return page.payload

    return opened


def wrong_checksum(environment: Environment, stored: bytes) -> StoreError:
    """The error for a value that is not what was written, naming its page."""
    key = _take_apart(environment, stored)
    return environment.damaged(f"page {key.head!r} of checkpoint {key.number} has a wrong checksum")
