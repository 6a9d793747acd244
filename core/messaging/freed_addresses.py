"""Looks again at who waits for an address that another user had: at a group's end, where something about it changed."""

from __future__ import annotations

from core.messaging.address_index import PROPERTY_OF
from core.messaging.admission import rejudge
from core.messaging.compiled import compile_message
from core.messaging.gates import ADDRESS, Asked, through
from core.messaging.once_per_address import ADDRESS_IN_USE, is_on
from core.messaging.work import Work


def rejudge_freed(work: Work) -> None:
    """Judge again, for every live message, those whose address is free by now, and those to whom it is lost for good.

    That can be so only where this group wrote to the message's ledgers, or changed or removed an address.
    """
    moved = {channel for channel, name in PROPERTY_OF.items() if _moved(work, name)}
    written = work.messages.written
    if not moved and not written:
        return
    for definition in work.messages.live():
        if (definition.key in written or definition.channel in moved) and is_on(definition):
            for occurrence, _ in work.messages.occurrences(definition.key).active():
                _rejudge(work, definition.key, occurrence)


def _moved(work: Work, name: str) -> bool:
    live, late = work.touched.by((name,), ())
    return bool(live or late or work.touched.merged or work.touched.deleted)


def _rejudge(work: Work, key: str, occurrence: int) -> None:
    waiting = None
    while True:
        definition = work.messages.get(key)
        found = dict(work.messages.ledger(key, occurrence).reasons("skipped")).get(ADDRESS_IN_USE)
        if definition.state != "live" or not found or found == waiting:
            return
        waiting = found.copy()
        compiled = compile_message(work, definition)
        stops = through(Asked(work, definition, compiled, occurrence, "again", work.now), waiting, ADDRESS)
        in_use = next((stop.users for stop in stops if stop.reason == ADDRESS_IN_USE), None)
        free = waiting if in_use is None else waiting - in_use
        if not free:
            return
        rejudge(work, definition, compiled, free, occurrence)
