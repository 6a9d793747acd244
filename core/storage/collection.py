"""Deletes page versions that no checkpoint needs, in short transactions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any, Final

from core.storage import pagekeys, places
from core.storage.environment import Environment
from core.storage.pagescan import PAGES
from core.storage.pagevalues import is_deleted

_SLICE_DELETES: Final = 2048
_SLICE_VERSIONS: Final = 16_384


def remove_version(environment: Environment, number: int) -> None:
    """Delete all that one checkpoint wrote: it was never finished."""

    def doomed(versions: list[tuple[int, bool]]) -> Iterable[int]:
        return [one for one, _ in versions if one == number]

    _sweep(environment, doomed, lambda stored: False)


def collect_superseded(environment: Environment, kept: list[int], held: Callable[[bytes], bool]) -> bool:
    """Delete each page version that none of the checkpoints kept would read.

    Arguments:
        kept: numbers of the retained checkpoints, ascending. Versions of later, unfinished ones are left alone.
        held: whether somebody uses the version under a stored key in place: it is left for another time.

    Returns:
        Whether none was held.
    """

    def doomed(versions: list[tuple[int, bool]]) -> Iterable[int]:
        return superseded(versions, kept)

    return _sweep(environment, doomed, held)


def superseded(versions: list[tuple[int, bool]], kept: list[int]) -> list[int]:
    """Which versions of one page nobody needs.

    Arguments:
        versions: (checkpoint number, whether it says the page is deleted), ascending.
        kept: numbers of the retained checkpoints, ascending.

    Returns:
        Numbers of the versions to delete.
    """
    if not kept:
        return []
    gone: list[int] = []
    nothing_before = True
    for index, (number, deleted) in enumerate(versions):
        following = versions[index + 1][0] if index + 1 < len(versions) else None
        reader = bisect_left(kept, number)
        unread = reader < len(kept) and following is not None and kept[reader] >= following
        # A deletion with no older version left says nothing.
        if unread or (deleted and nothing_before and number <= kept[-1]):
            gone.append(number)
        else:
            nothing_before = False
    return gone


def _sweep(environment: Environment, doomed: Any, held: Callable[[bytes], bool]) -> bool:
    """Walk over all versions of all pages, keys only, and delete what `doomed` names for each page; was none held?"""
    start = b""
    all_gone = True
    while True:
        found, start = _find(environment, start, doomed)
        to_delete = [stored for stored in found if not held(stored)]
        all_gone = all_gone and len(to_delete) == len(found)
        for first in range(0, len(to_delete), _SLICE_DELETES):
            _delete(environment, to_delete[first : first + _SLICE_DELETES])
        if not start:
            return all_gone


def _find(environment: Environment, start: bytes, doomed: Any) -> tuple[list[bytes], bytes]:
    """Stored keys to delete among some pages from `start` on, and where to go on (b"" at the end)."""
    found: list[bytes] = []
    stem = b""
    versions: list[tuple[int, bool]] = []
    seen = 0
    with environment.read() as transaction:
        cursor = transaction.cursor(environment.database(PAGES))
        more = cursor.set_range(start) if start else cursor.first()
        while more:
            stored = bytes(cursor.key())
            key = pagekeys.take_apart(stored)
            if key is None:
                raise environment.damaged(f"{stored!r} is no page key")
            if key.stem != stem:
                found += [pagekeys.version_of(stem, number) for number in doomed(versions)]
                if seen >= _SLICE_VERSIONS:
                    return found, stored
                stem, versions = key.stem, []
            versions.append((key.number, is_deleted(cursor.value())))
            seen += 1
            more = cursor.next()
        found += [pagekeys.version_of(stem, number) for number in doomed(versions)]
    return found, b""


def _delete(environment: Environment, stored_keys: list[bytes]) -> None:
    def work(transaction: Any) -> None:
        database = environment.database(PAGES)
        for stored in stored_keys:
            transaction.delete(stored, db=database)
            places.forget(environment, transaction, stored)

    environment.write("pages.collect", work, puts=2 * len(stored_keys))
