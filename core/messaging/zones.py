"""The zones that users live in, by `$timezone`: who has none, or one that nobody can read, lives in the project's."""

from __future__ import annotations

from typing import Final

from pyroaring import BitMap

from core.messaging.wall_times import readable_names
from core.messaging.work import View

TIMEZONE: Final = "$timezone"
"""The profile property with a user's zone: a name of the IANA database, or a fixed offset such as `+02:00`."""


def zone_names(view: View) -> list[str]:
    """The readable zones that users have, or had, in order: few, whatever else stands in `$timezone`."""
    column = view.population.column(TIMEZONE)
    if column is None:
        return []
    names = readable_names()
    codes = column.strings.find_many(names)
    return [name for name, code in zip(names, codes.tolist(), strict=True) if code >= 0]


def users_in(view: View, name: str) -> BitMap:
    """The users whose `$timezone` is a name: a new set."""
    column = view.population.column(TIMEZONE)
    found = None if column is None else column.value_bitmap(name)
    return BitMap() if found is None else found & view.population.live


def users_by_zone(view: View, users: BitMap | None = None) -> list[tuple[str, BitMap]]:
    """Users (None: all) by the zone that they live in, each in one, in order of the zones' names."""
    rest = view.population.live if users is None else users & view.population.live
    found: dict[str, BitMap] = {}
    for name in zone_names(view):
        here = users_in(view, name) & rest
        if here:
            found[name] = here
            rest = rest - here
    if rest:
        home = view.settings.time_zone
        found[home] = found[home] | rest if home in found else rest
    return sorted(found.items(), key=lambda one: one[0])
