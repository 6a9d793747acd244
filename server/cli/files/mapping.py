"""From rows to records: which column is the user's id, the event's name, its time; all others are properties."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from core.errors import InvalidInput
from server.cli.files.kinds import MAKERS, Kind
from server.cli.files.rows import Rejected, Row
from server.cli.files.survey import TEXT_PROPERTIES, Column, Survey
from server.names import nearest

Subject = Literal["events", "profiles"]

_DISTINCT_ID: Final = ("distinct_id", "$distinct_id", "user_id", "customer_id", "id")
_NAME: Final = ("event", "event_name", "$event_name", "name")
_TIME: Final = ("time", "$time", "timestamp", "event_time", "date")
_INSERT_ID: Final = ("insert_id", "$insert_id", "event_id")
# Inside `properties` these are never something else.
_SURE: Final = frozenset({"distinct_id", "$distinct_id", "time", "$time", "insert_id", "$insert_id"})
_ODD_AFTER: Final = 20


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user said about the columns; what is empty is found by the columns' names.

    Arguments:
        distinct_id, name, time, insert_id: columns.
        event: the name of every event, instead of a column.
        types: kinds by column, instead of those found.
        rename: property names by column.
        skip: columns that are left out.
    """

    distinct_id: str = ""
    name: str = ""
    time: str = ""
    insert_id: str = ""
    event: str = ""
    types: Mapping[str, Kind] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    skip: frozenset[str] = frozenset()

    def texts(self) -> frozenset[str]:
        """Columns that become properties which are texts whatever they look like."""
        renamed = {column for column, name in self.rename.items() if name in TEXT_PROPERTIES}
        return (TEXT_PROPERTIES - self.rename.keys()) | renamed

    def settings(self) -> list[str]:
        """All of it as texts, for an import's identity."""
        return [
            *(self.distinct_id, self.name, self.time, self.insert_id, self.event),
            *(f"type {column}={kind}" for column, kind in sorted(self.types.items())),
            *(f"rename {column}={name}" for column, name in sorted(self.rename.items())),
            *(f"skip {column}" for column in sorted(self.skip)),
        ]


@dataclass(slots=True)
class Record:
    """One event, or the properties of one profile (without `name`, `time` and `insert_id`), and its line."""

    line: int
    distinct_id: str
    properties: dict[str, Any]
    name: str = ""
    time: datetime | None = None
    insert_id: str = ""


class Place(NamedTuple):
    column: str
    nested: bool


class Role(NamedTuple):
    """Where a record's id, name or time stands: in the row itself, inside its `properties`, or now here, now there."""

    places: tuple[Place, ...]

    @property
    def column(self) -> str:
        """For errors."""
        return self.places[0].column if self.places else ""

    def take(self, row: Row) -> Any:
        """The value in a row; None where there is none."""
        for column, nested in self.places:
            found = row.nested if nested else row.fields
            if found is not None and (value := found.get(column)) is not None:
                return value
        return None


class Plan(NamedTuple):
    """What becomes of one column: the property's name and kind (None: each value's own), and how a value is made."""

    column: str
    name: str
    kind: Kind | None
    seen: Column
    make: Callable[[Any], Any] | None
    texts_only: bool


class Mapper:
    """Makes records of rows.

    Arguments:
        subject: events or profiles.
        wishes: what was said about the columns.
        found: the file's survey.
        typed: whether values have types already (JSON, Parquet); False: they are texts.

    Raises:
        InvalidInput: COLUMN_UNKNOWN (with the nearest), COLUMN_MISSING, where no column can be the one needed.
    """

    def __init__(self, subject: Subject, wishes: Wishes, found: Survey, *, typed: bool) -> None:
        self._subject = subject
        self._wishes = wishes
        self._typed = typed
        self._found = found
        for column in (*wishes.types, *wishes.rename, *wishes.skip):
            self._known(column, "COLUMN")
        self.distinct_id = self._needed("distinct-id", wishes.distinct_id, _DISTINCT_ID)
        self.name = self.time = self.insert_id = Role(())
        if subject == "events":
            if not wishes.event:
                self.name = self._needed("name", wishes.name, _NAME)
            self.time = self._needed("time", wishes.time, _TIME)
            self.insert_id = self._role("insert-id", wishes.insert_id, _INSERT_ID)
        roles = (self.distinct_id, self.name, self.time, self.insert_id)
        self._taken = {place for role in roles for place in role.places}
        # An object with `properties` names its properties there: what stands beside them is about the record.
        self._plans = {nested: self._plan(nested) for nested in (False, True)}

    def properties(self) -> list[Plan]:
        """The properties that come of the file."""
        return [plan for plans in self._plans.values() for plan in plans.values()]

    def oddities(self) -> list[Plan]:
        """Properties that would have had a narrower kind but for an odd value, where nothing was said about them."""
        return [
            plan
            for plan in self.properties()
            if plan.seen.odd_line
            and plan.column not in self._wishes.types
            and (plan.seen.odd_after >= _ODD_AFTER or plan.seen.odd_kind is Kind.TIMESTAMP)
        ]

    def _plan(self, nested: bool) -> dict[str, Plan]:
        wishes, plans = self._wishes, {}
        for column, seen in (self._found.nested if nested else self._found.fields).items():
            if not seen.values or column in wishes.skip or Place(column, nested) in self._taken:
                continue
            kind = wishes.types.get(column, seen.kind)
            asked = column in wishes.types
            make = None if kind is None or (kind is Kind.STRING and not asked) else MAKERS[kind]
            texts_only = self._typed and not asked
            plans[column] = Plan(column, wishes.rename.get(column, column), kind, seen, make, texts_only)
        return plans

    def _known(self, column: str, field: str) -> None:
        columns = {**self._found.fields, **self._found.nested}
        if column not in columns and self._found.records:
            near = nearest(column, columns)
            listed = ", ".join(list(columns)[:8]) + (", …" if len(columns) > 8 else "")
            raise InvalidInput(
                f"the file has no column {column!r}",
                field=field,
                mend=f"did you mean {near!r}?" if near else f"it has {listed}",
                code="COLUMN_UNKNOWN",
            )

    def _role(self, flag: str, asked: str, candidates: Iterable[str]) -> Role:
        fields, nested = self._found.fields, self._found.nested
        if asked:
            self._known(asked, f"--{flag}")
            return Role(
                tuple(Place(asked, inside) for inside in (False, True) if asked in (nested if inside else fields))
            )
        by_name = {column.lower(): column for column in reversed(fields)}
        outer = [Place(by_name[one], False) for one in candidates if one in by_name][:1]
        inner = [Place(one, True) for one in candidates if one in _SURE and one in nested][:1]
        return Role((*outer, *inner))

    def _needed(self, flag: str, asked: str, candidates: tuple[str, ...]) -> Role:
        role = self._role(flag, asked, candidates)
        if not role.places and (self._found.records or self._found.fields):
            columns = ", ".join(list({**self._found.fields, **self._found.nested})[:8])
            other = " (or --event NAME for all)" if flag == "name" else ""
            raise InvalidInput(
                f"no column is known as the {flag.replace('-', ' ')}",
                field=f"--{flag}",
                mend=f"give --{flag} COLUMN{other}; the columns are {columns}",
                code="COLUMN_MISSING",
            )
        return role

    def record(self, row: Row) -> Record | Rejected:
        """The record of a row, or why there is none."""
        try:
            distinct_id = _id(self.distinct_id.take(row))
        except ValueError as error:
            return self._rejected(row, "ID_INVALID", self.distinct_id, str(error), "a text of 1 to 255 bytes")
        if not distinct_id:
            return self._rejected(row, "EMPTY_ID", self.distinct_id, "there is no id", "a text of 1 to 255 bytes")
        record = Record(row.line, distinct_id, {})
        nested = row.nested is not None
        plans = self._plans[nested]
        for column, value in (row.nested if row.nested is not None else row.fields).items():
            plan = plans.get(column)
            if plan is None:
                continue
            if value is not None and plan.make is not None and not (plan.texts_only and type(value) is not str):
                try:
                    value = plan.make(value)
                except (ValueError, TypeError, OverflowError, RecursionError):
                    return Rejected(
                        row.line,
                        "VALUE_TYPE",
                        f"properties.{plan.name}",
                        f"{_short(value)} is no {plan.kind}",
                        f"correct it, or take the column as texts: --type '{column}=string'",
                    )
            record.properties[plan.name] = value
        return self._event(row, record) if self._subject == "events" else record

    def _event(self, row: Row, record: Record) -> Record | Rejected:
        name = self._wishes.event or self.name.take(row)
        if not isinstance(name, str) or not name:
            return self._rejected(row, "EMPTY_NAME", self.name, "there is no event name", "a text of 1 to 255 bytes")
        moment = self.time.take(row)
        if moment is None:
            return self._rejected(
                row, "TIME_MISSING", self.time, "there is no time", "an ISO 8601 time or Unix seconds"
            )
        try:
            record.time = MAKERS[Kind.TIMESTAMP](moment)
        except (ValueError, TypeError, OverflowError):
            what = f"{_short(moment)} is no time"
            return self._rejected(row, "TIME_INVALID", self.time, what, "an ISO 8601 time or Unix seconds")
        insert_id = self.insert_id.take(row)
        try:
            record.insert_id = _id(insert_id)
        except ValueError as error:
            return self._rejected(row, "ID_INVALID", self.insert_id, str(error), "a text of at most 255 bytes")
        record.name = name
        return record

    @staticmethod
    def _rejected(row: Row, code: str, role: Role, message: str, mend: str) -> Rejected:
        return Rejected(row.line, code, role.column, message, mend)


def _id(value: Any) -> str:
    """An id as a text; whole numbers are taken too, as tables hold them."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{_short(value)} is no id")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
