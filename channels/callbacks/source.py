"""What the listener and a provider's callbacks agree on: a call in, feedback out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from muster.v1 import feedback_pb2

Said = Sequence[feedback_pb2.Feedback]


class Refused(Exception):
    """The call is not proved to be the provider's."""


class Unreadable(Exception):
    """The call is the provider's, and not what it sends."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call.

    Arguments:
        url: as the provider called it: the public one, with its query.
        query: what stands after `?`, decoded; of a name given twice the last.
        headers: by name in lower case.
        body: as it came.
    """

    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Source(Protocol):
    """One provider's callbacks at one path."""

    @property
    def path(self) -> str:
        """Where the provider calls, below the listener's URL, such as `/sendgrid`."""

    @property
    def answer(self) -> tuple[str, bytes]:
        """Content type and body of the answer to a call that was taken."""

    async def read(self, call: Call) -> Said:
        """What a call says; empty for what is of no interest.

        Raises:
            Refused, Unreadable.
        """


JSON_ANSWER: tuple[str, bytes] = ("application/json", b"{}")
