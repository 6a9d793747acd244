"""A value that is not there, while a template is running.

It can be asked for (`is defined`), replaced (`default`) and tested (`{% if user.vip %}` is false); whoever needs its
value gets MissingProperty, and the user is skipped with that reason. A null of a profile is read as this too.
"""

from __future__ import annotations

from typing import Final, NoReturn

from core.render.paths import Place
from core.render.results import MissingProperty


class Absent:
    """Stands for a missing value and knows what is missing."""

    __slots__ = ("place",)

    def __init__(self, place: Place) -> None:
        self.place = place

    def __bool__(self) -> bool:
        return False

    def needed(self, *_: object) -> NoReturn:
        """Raise MissingProperty: the value itself was wanted."""
        place = self.place
        raise MissingProperty(place.property, place.path, place.source)

    __str__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = needed
    __iter__ = __len__ = __contains__ = __hash__ = needed
    __add__ = __radd__ = __sub__ = __rsub__ = __neg__ = __pos__ = needed


NOWHERE: Final = Place("user", "", "")
"""The place of a value that a filter did not find, such as the first item of an empty list; the caller knows it."""
