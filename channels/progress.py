"""What a worker has done so far, for metrics and for people who watch."""

from __future__ import annotations

from dataclasses import dataclass

from channels.provider import Outcome


@dataclass(slots=True)
class Progress:
    """Counts of recipients since the worker started; read it at any time from the worker's loop.

    offered = waiting + begun + dropped + released, and begun = in_flight + sent + failed + ambiguous + not_sent.
    """

    offered: int = 0
    begun: int = 0
    dropped: int = 0
    """Not granted leave: decided otherwise by the server."""
    released: int = 0
    """Given back unbegun."""
    sent: int = 0
    failed: int = 0
    ambiguous: int = 0
    not_sent: int = 0
    window: int = 0
    """Most recipients begun at once, as adapted to the provider's speed."""
    outages: int = 0
    """Waits in a row because the provider cannot be reached; 0 while it answers."""
    trouble: str = ""
    """The provider's last word that was no success."""

    @property
    def in_flight(self) -> int:
        """Begun and not settled."""
        return self.begun - self.sent - self.failed - self.ambiguous - self.not_sent

    @property
    def waiting(self) -> int:
        """Offered and not begun."""
        return self.offered - self.begun - self.dropped - self.released

    def count(self, outcome: Outcome, recipients: int = 1) -> None:
        """Add recipients that were settled."""
        match outcome:
            case Outcome.SENT:
                self.sent += recipients
            case Outcome.FAILED:
                self.failed += recipients
            case Outcome.AMBIGUOUS:
                self.ambiguous += recipients
            case Outcome.NOT_SENT:
                self.not_sent += recipients
