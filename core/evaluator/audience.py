"""Saved audiences: named expressions or lists of users, usable in any targeting as `audiences["name"]`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

from pyroaring import BitMap

from core.codec import decode, encode, record
from core.errors import FailedPrecondition, InvalidExpression, InvalidInput, NotFound
from core.evaluator.parse import Parsed, parse
from core.evaluator.prepare import Prepared, Statements
from core.values import Value

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_. -]{0,62}\Z")
_PREFIX: Final = b"audiences/"
_MOST_PARSED: Final = 256
_STATEMENTS: Final = Statements()
"""Of texts that name no audience, whose meaning is the same in every project."""


@record("audience")
@dataclass(frozen=True, slots=True)
class AudienceDefinition:
    """One saved audience: exactly one of `expression` and `members` is set. `updated_at` is micros UTC."""

    name: str
    description: str
    expression: str | None
    members: BitMap | None
    updated_at: int

    @property
    def etag(self) -> str:
        """Changes whenever the audience does."""
        return hashlib.blake2b(encode(self), digest_size=8).hexdigest()


@record("audience_saved")
@dataclass(frozen=True, slots=True)
class AudienceSaved:
    """Step of the log: an audience is created or replaced."""

    definition: AudienceDefinition


@record("audience_deleted")
@dataclass(frozen=True, slots=True)
class AudienceDeleted:
    """Step of the log: an audience is gone."""

    name: str


class Audiences:
    """One version of a project's saved audiences."""

    def __init__(self) -> None:
        self._by_name: dict[str, AudienceDefinition] = {}
        self._dirty: frozenset[str] = frozenset()
        self._parsed: dict[str, Parsed] = {}  # of expressions that name audiences, as these are now
        self._statements = Statements(_MOST_PARSED)  # likewise
        self.revision = 0

    def fork(self) -> Audiences:
        """A copy that may be written."""
        twin = Audiences.__new__(Audiences)
        twin._by_name, twin._dirty, twin.revision = dict(self._by_name), self._dirty, self.revision
        twin._parsed, twin._statements = self._parsed, self._statements
        return twin

    def get(self, name: str) -> AudienceDefinition:
        """The audience of that name.

        Raises:
            NotFound: AUDIENCE_NOT_FOUND, with the nearest name.
        """
        found = self._by_name.get(name)
        if found is None:
            near = get_close_matches(name, self._by_name, 1)
            raise NotFound(
                f"there is no audience {name!r}",
                field="name",
                mend=f"did you mean {near[0]!r}?" if near else "save it first",
                code="AUDIENCE_NOT_FOUND",
            )
        return found

    def page(self, after: str, limit: int) -> list[AudienceDefinition]:
        """Up to `limit` audiences whose names follow `after`, by name."""
        names = sorted(name for name in self._by_name if name > after)
        return [self._by_name[name] for name in names[:limit]]

    def sources(self) -> Mapping[str, Parsed | BitMap]:
        """What the parser needs to resolve `audiences[…]`."""
        return _Sources(self._by_name)

    def parse(self, expression: str, params: Mapping[str, Value] | None = None) -> Parsed:
        """Parse an expression that may name saved audiences.

        Raises:
            InvalidExpression: with the position.
        """
        if "audiences" not in expression:
            return parse(expression, params=params)
        if params:
            return parse(expression, params=params, audiences=self.sources())
        known = self._parsed
        found = known.get(expression)
        if found is None:
            found = parse(expression, audiences=self.sources())
            if len(known) < _MOST_PARSED:
                known[expression] = found
        return found

    def prepare(self, expression: str, params: Mapping[str, Value] | None = None) -> Prepared:
        """The prepared statement of a question that may name saved audiences.

        Raises:
            InvalidExpression: with the position.
        """
        statements = self._statements if "audiences" in expression else _STATEMENTS
        return statements.prepare(expression, params or {}, self.sources)

    def check(self, definition: AudienceDefinition) -> None:
        """Refuse what cannot be saved.

        Raises:
            InvalidInput: INVALID_NAME; InvalidExpression where the expression does not parse.
        """
        if not _NAME.match(definition.name):
            raise InvalidInput(
                f"{definition.name!r} is no audience name" if definition.name else "the name is empty",
                field="audience.name",
                mend="a letter, then up to 62 letters, digits, spaces, `.`, `-` or `_`",
                code="INVALID_NAME",
            )
        if definition.expression is not None:
            parse(definition.expression, audiences=_Sources(self._by_name, (definition.name,)))

    def save(self, step: AudienceSaved) -> None:
        """Apply a recorded save."""
        self._by_name[step.definition.name] = step.definition
        self._touch(step.definition.name)

    def delete(self, step: AudienceDeleted) -> None:
        """Apply a recorded deletion."""
        self._by_name.pop(step.name, None)
        self._touch(step.name)

    def users_of(self, name: str) -> list[str]:
        """Audiences whose expression names this one, itself or through others."""
        return sorted(
            other.name
            for other in self._by_name.values()
            if other.expression is not None
            and name in parse(other.expression, audiences=_Sources(self._by_name, (other.name,))).audiences
        )

    def refuse_if_used(self, name: str, messages: Sequence[str], campaigns: Sequence[str] = ()) -> None:
        """Refuse the deletion of an audience in use.

        Raises:
            FailedPrecondition: AUDIENCE_IN_USE.
        """
        self.get(name)
        users = [f"audience {other!r}" for other in self.users_of(name)]
        users += [f"message {key!r}" for key in messages] + [f"campaign {key!r}" for key in campaigns]
        if users:
            raise FailedPrecondition(
                f"{name!r} is used by {', '.join(users)}",
                field="name",
                mend="end or change those first",
                code="AUDIENCE_IN_USE",
            )

    def absorb(self, merged: list[tuple[int, int]], deleted: BitMap) -> None:
        """Follow merges and deletions in the listed members."""
        for name, definition in list(self._by_name.items()):
            if definition.members is None:
                continue
            members = definition.members - deleted
            for goes, stays in merged:
                if goes in members:
                    members.discard(goes)
                    members.add(stays)
            if members != definition.members:
                self._by_name[name] = replace(definition, members=members)
                self._touch(name)

    def _touch(self, name: str) -> None:
        self._dirty |= {name}
        self._parsed, self._statements = {}, Statements(_MOST_PARSED)
        self.revision += 1

    def dirty_pages(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Pages that changed since `clean`."""
        for name in sorted(self._dirty):
            definition = self._by_name.get(name)
            yield _PREFIX + name.encode(), None if definition is None else encode(definition)

    def clean(self) -> None:
        """Forget what is dirty: a checkpoint has it."""
        self._dirty = frozenset()

    def soil(self, frozen: Audiences) -> None:
        """Mark again what `frozen` had not saved: its checkpoint failed."""
        self._dirty |= frozen._dirty

    @classmethod
    def load(cls, scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]]) -> Audiences:
        """The audiences of a checkpoint."""
        audiences = cls()
        for _, page in scan(_PREFIX):
            definition = decode(page)
            audiences._by_name[definition.name] = definition
        return audiences


class _Sources(Mapping[str, Parsed | BitMap]):
    """Saved audiences by name, each parsed once when it is first named.

    Arguments:
        above: those that lead here; none can name itself.
        known: what is parsed already, shared with the sources of the audiences named.
    """

    def __init__(
        self,
        by_name: Mapping[str, AudienceDefinition],
        above: tuple[str, ...] = (),
        known: dict[str, Parsed] | None = None,
    ) -> None:
        self._by_name, self._above = by_name, above
        self._known: dict[str, Parsed] = {} if known is None else known

    def __getitem__(self, name: str) -> Parsed | BitMap:
        if name in self._above:
            way = " → ".join((*self._above[self._above.index(name) :], name))
            raise InvalidExpression(
                f"it would be defined by way of itself: {way}",
                mend="leave one of them out",
                code="AUDIENCE_CIRCLE",
            )
        definition = self._by_name[name]
        if definition.members is not None:
            return definition.members
        found = self._known.get(name)
        if found is None:
            below = _Sources(self._by_name, (*self._above, name), self._known)
            found = self._known[name] = parse(definition.expression or "", audiences=below)
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._by_name if name not in self._above)

    def __len__(self) -> int:
        return sum(1 for _ in self)
