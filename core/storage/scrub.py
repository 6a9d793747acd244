"""Reads all pages of an open store at leisure, because opening does not: are they what was written?"""

from __future__ import annotations

import logging
import threading
from typing import Final

from core.errors import StoreError
from core.storage import pagekeys
from core.storage.environment import Environment
from core.storage.pagescan import PAGES, wrong_checksum
from core.storage.pagevalues import head_of, is_whole

_log = logging.getLogger(__name__)
BYTES_A_SECOND: Final = 64 << 20
# Read in one transaction, between two looks at whether to stop.
_SLICE_BYTES: Final = 4 << 20


class Scrub:
    """One walk over all versions of all pages, in a thread of its own, at a bounded rate.

    Arguments:
        bytes_a_second: how fast it reads on average; 0 for no bound.
    """

    def __init__(self, environment: Environment, bytes_a_second: int = BYTES_A_SECOND) -> None:
        self._environment = environment
        self._rate = bytes_a_second
        self._stop = threading.Event()
        self._damage = ""
        self._thread = threading.Thread(target=self._run, name="scrub", daemon=True)

    @property
    def damage(self) -> str:
        """What was found to be damaged first, naming the page; "" while nothing was."""
        return self._damage

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, wherever it is, and wait for that. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def wait(self) -> None:
        """Wait until all was read."""
        self._thread.join()

    def _run(self) -> None:
        try:
            start: bytes | None = b""
            while start is not None and not self._stop.is_set():
                start, size = self._slice(start)
                if start is not None and self._rate:
                    self._stop.wait(size / self._rate)
        except StoreError as error:
            self._damage = error.message
            _log.error("the store is damaged: %s", error.message)

    def _slice(self, start: bytes) -> tuple[bytes | None, int]:
        """Check some pages from a stored key on: where to go on, None at the end, and how many bytes were read."""
        size = 0
        with self._environment.read() as transaction:
            cursor = transaction.cursor(self._environment.database(PAGES))
            more = cursor.set_range(start) if start else cursor.first()
            while more and size < _SLICE_BYTES:
                stored, value = bytes(cursor.key()), cursor.value()
                head = head_of(stored, value)
                if head is None or not is_whole(head, value):
                    if pagekeys.take_apart(stored) is None:
                        raise self._environment.damaged(f"{stored!r} is no page key")
                    raise wrong_checksum(self._environment, stored)
                size += len(value)
                more = cursor.next()
            return (bytes(cursor.key()) if more else None), size
