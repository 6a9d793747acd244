"""Tells the server what bounces and complaints say: those of a folder, or one that is piped in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import muster
from muster.v1 import feedback_pb2

from channels.bounce_reports import said_in
from channels.mailboxes import Mailbox

logger = logging.getLogger(__name__)

_TOGETHER: Final = 200

Tell = Callable[[Sequence[feedback_pb2.Feedback]], muster.Reported]
"""Tells the server; raises muster.MusterError where it cannot be told."""


@dataclass(slots=True)
class Read:
    """Mails read, those that are no reports, and what the server said of what the others say."""

    mails: int = 0
    others: int = 0
    accepted: int = 0
    duplicates: int = 0
    unknown: int = 0
    rejected: int = 0


def tell_all(mails: Iterator[tuple[bytes, Callable[[], None]]], tell: Tell, read: Read | None = None) -> Read:
    """Tell what mails say, some at a time; each is marked as seen once the server has on disk what it says.

    Arguments:
        mails: each with what marks it as seen.
        read: what was read before, which is added to.

    Raises:
        muster.MusterError: where the server cannot be told; what is not marked is read again another time.
    """
    total = read or Read()
    said: list[feedback_pb2.Feedback] = []
    marks: list[Callable[[], None]] = []

    def settle() -> None:
        if said:
            told = tell(said)
            total.accepted += told.accepted
            total.duplicates += told.duplicates
            total.unknown += told.unknown
            total.rejected += len(told.rejected)
            for one in told.rejected:
                logger.warning("the server refused what a report says: %s", one.error)
        for mark in marks:
            mark()
        said.clear()
        marks.clear()

    for raw, mark in mails:
        found = said_in(raw)
        total.mails += 1
        total.others += found is None
        said += found or ()
        marks.append(mark)
        if len(marks) >= _TOGETHER:
            settle()
    settle()
    return total


def read_folder(folder: Mailbox, tell: Tell, read: Read | None = None) -> Read:
    """Tell what the unseen mails of a folder say.

    Raises:
        muster.MusterError: as `tell_all`; OSError: where the folder cannot be read.
    """
    try:
        return tell_all(folder.unseen(), tell, read)
    finally:
        folder.close()
