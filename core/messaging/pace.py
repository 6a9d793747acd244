"""How many hand-offs may begin now: at most so many in any second, of a message, a channel and the whole project.

What began within the last second of the project's clock is remembered, and counted, for as long as that: the bound holds
for every second, wherever it is taken to begin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from core.messaging.definitions import MessageDefinition
from core.messaging.work import View
from core.values import MICROS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Scope:
    """What shares one bound: a message's key, or "", and a channel, or "". `most`: hand-offs in any second."""

    key: str
    channel: str
    most: int

    def has(self, key: str, channel: str) -> bool:
        """Whether the hand-offs of a message count here."""
        return self.key in ("", key) and self.channel in ("", channel)


def scopes_of(view: View, definition: MessageDefinition, now: int) -> Iterator[Scope]:
    """The bounds that a message's hand-offs keep to at an instant, in micros."""
    if definition.throughput is not None:
        yield Scope(definition.key, "", replace(definition.throughput, since=definition.launched_at).at(now))
    for one in view.settings.throughput:
        if one.channel in ("", definition.channel):
            yield Scope("", one.channel, one.at(now))


def room(
    view: View, definition: MessageDefinition, now: int, reserved: Iterable[tuple[str, str, int]] = ()
) -> int | None:
    """How many hand-offs of a message may begin now; None: any number.

    Arguments:
        now: micros.
        reserved: further hand-offs to be counted: key and channel of the message, and how many.
    """
    scopes = list(scopes_of(view, definition, now))
    if not scopes:
        return None
    begun = [(one.key, one.channel, one.users) for one in view.messages.begun if one.at > now - MICROS_PER_SECOND]
    taken = [*begun, *reserved]
    return max(
        0, min(scope.most - sum(count for key, channel, count in taken if scope.has(key, channel)) for scope in scopes)
    )
