"""Says by logging that a server cannot be had, without saying so at each attempt."""

from __future__ import annotations

import logging
import time
from typing import Final

REMIND_SECONDS: Final = 60.0


class Outage:
    """Warns at once, then at most once a minute for as long as it lasts; in between it logs at level DEBUG.

    Arguments:
        logger: where to.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._next_warning = 0.0  # monotonic
        self._warned = False

    def say(self, message: str, *facts: object) -> None:
        """An attempt failed."""
        now = time.monotonic()
        due = not self._next_warning or now >= self._next_warning
        self._logger.log(logging.WARNING if due else logging.DEBUG, message, *facts)
        if due:
            self._next_warning = now + REMIND_SECONDS
            self._warned = True

    def over(self, message: str, *facts: object) -> None:
        """An attempt succeeded: whoever was warned is told. The next warning still comes no sooner than its time."""
        if self._warned:
            self._warned = False
            self._logger.info(message, *facts)
