"""What a group of commands touched: the users, by the names of what changed, and whether they may trigger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyroaring import BitMap


class _Names:
    """Users by the name of what changed. `issued` are those who did not exist before."""

    def __init__(self) -> None:
        self.properties: dict[str, BitMap] = {}
        self.events: dict[str, BitMap] = {}
        self.issued = BitMap()

    def users(self) -> BitMap:
        """All of them."""
        return BitMap.union(self.issued, *self.properties.values(), *self.events.values())

    def by(self, properties: Iterable[str] | None, events: Iterable[str]) -> BitMap:
        """The users of these properties (None: all) and events, and whoever is new."""
        names = self.properties if properties is None else properties
        return BitMap.union(self.issued, *_found(self.properties, names), *_found(self.events, events))


def _found(users: Mapping[str, BitMap], names: Iterable[str]) -> list[BitMap]:
    return [users[name] for name in names if name in users]


_By = tuple[frozenset[str] | None, frozenset[str]]


class Touched:
    """Users whose answers may have changed, gathered over one group.

    `live` holds what happened just now. What came by an import, or as an event older than the project's limit, is
    in `late` and triggers no as-soon-as-possible message.

    Attributes:
        merged: (ordinal that goes, ordinal that stays), in order.
        deleted: (ordinal, every id it had), in order.
    """

    def __init__(self) -> None:
        self.live = _Names()
        self.late = _Names()
        self.merged: list[tuple[int, int]] = []
        self.deleted: list[tuple[int, list[str]]] = []
        self.changed = False
        self._by: dict[
            _By, tuple[BitMap, BitMap]
        ] = {}  # answers of `by` since the last change: many messages ask alike

    def __bool__(self) -> bool:
        return self.changed

    def _names(self, live: bool) -> _Names:
        self.changed = True
        self._by.clear()
        return self.live if live else self.late

    def property(self, name: str, users: BitMap, *, live: bool) -> None:
        """Note that a profile property of these users changed."""
        self._names(live).properties.setdefault(name, BitMap()).update(users)

    def event(self, name: str, users: BitMap, *, live: bool) -> None:
        """Note that these users have new events of that name."""
        self._names(live).events.setdefault(name, BitMap()).update(users)

    def issue(self, users: BitMap, *, live: bool) -> None:
        """Note that these users are new."""
        if users:
            self._names(live).issued.update(users)

    def merge(self, goes: int, stays: int) -> None:
        """Note that a user became another."""
        self.changed = True
        self.merged.append((goes, stays))

    def delete(self, ordinal: int, distinct_ids: list[str]) -> None:
        """Note that a user is gone."""
        self.changed = True
        self.deleted.append((ordinal, distinct_ids))

    def users(self) -> BitMap:
        """Everybody whose properties or events changed, or who is new."""
        return BitMap.union(self.live.users(), self.late.users())

    def by(self, properties: Iterable[str] | None, events: Iterable[str]) -> tuple[BitMap, BitMap]:
        """The users touched in any of these properties (None: in any at all) or events, and new ones.

        Returns:
            Those touched by something that may trigger, and those touched by something that may not; a user may be
            in both. Not to be written to.
        """
        asked = None if properties is None else frozenset(properties), frozenset(events)
        found = self._by.get(asked)
        if found is None:
            found = self._by[asked] = self.live.by(*asked), self.late.by(*asked)
        return found
