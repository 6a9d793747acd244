"""What a group of commands touched: the users, by the names of what changed, and whether they may trigger."""

from __future__ import annotations

from collections.abc import Iterable

from pyroaring import BitMap


class Touched:
    """Users whose answers may have changed, gathered over one group.

    `live` holds those touched by something that happened just now; whoever was touched only by an import, or by
    an event older than the project's limit, is in `late` alone and triggers no as-soon-as-possible message.
    """

    def __init__(self) -> None:
        self.properties: dict[str, BitMap] = {}
        self.events: dict[str, BitMap] = {}
        self.live = BitMap()
        self.late = BitMap()
        self.merged: list[tuple[int, int]] = []
        self.deleted = BitMap()

    def __bool__(self) -> bool:
        return bool(self.properties or self.events or self.merged or self.deleted)

    def property(self, name: str, users: BitMap, *, live: bool) -> None:
        """Note that a profile property of these users changed."""
        self.properties.setdefault(name, BitMap()).update(users)
        (self.live if live else self.late).update(users)

    def event(self, name: str, users: BitMap, *, live: bool) -> None:
        """Note that these users have new events of that name."""
        self.events.setdefault(name, BitMap()).update(users)
        (self.live if live else self.late).update(users)

    def by(self, properties: Iterable[str] | None, events: Iterable[str]) -> BitMap:
        """The users touched in any of these properties (None: in any at all) or events."""
        names = self.properties if properties is None else properties
        parts = [self.properties[name] for name in names if name in self.properties]
        parts += [self.events[name] for name in events if name in self.events]
        return BitMap().union(*parts) if parts else BitMap()
