"""The first reading of a file: its identity, how many records it has, and one type for each column.

A CSV's column gets the narrowest kind that all of its values fit, so that one odd value among a million makes
it a string and is named. What is typed already (JSON, Parquet) keeps its type, but texts that are all ISO dates
are timestamps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from server.cli.files.formats import unreadable
from server.cli.files.kinds import BOOL_TEXTS, DOUBLE_TEXT, INT_TEXT, TIME_TEXT, Kind, time_of_text
from server.cli.files.rows import Row, Source

TEXT_PROPERTIES: Final = frozenset({"$email", "$phone", "$name", "$first_name", "$last_name"})
"""Properties that are texts even where they look like numbers: a phone number has no sum."""


@dataclass(slots=True)
class Column:
    """What one column turned out to hold.

    Arguments:
        kind: what its texts are taken as; None: no text was seen, what is typed stays as it is.
        values: how many there are.
        odd_line, odd_value: the first value that did not fit what all before it were; 0 where there is none.
        odd_kind, odd_after: what those before it were, and how many.
    """

    kind: Kind | None = None
    values: int = 0
    odd_line: int = 0
    odd_value: str = ""
    odd_kind: Kind | None = None
    odd_after: int = 0

    def see(self, text: str, line: int, kinds: Mapping[Kind, Callable[[str], bool]]) -> None:
        """Take one more text into account."""
        self.values += 1
        kind = self.kind
        if kind is Kind.STRING:
            return
        if kind is not None and kinds[kind](text):
            return
        found = next((one for one, fits in kinds.items() if fits(text)), Kind.STRING)
        if kind is None or found is kind:
            self.kind = found
        elif {kind, found} == {Kind.INT, Kind.DOUBLE}:
            self.kind = Kind.DOUBLE
        else:
            self.odd_line, self.odd_value, self.odd_kind, self.odd_after = line, text, kind, self.values - 1
            self.kind = Kind.STRING


def _is_time(text: str) -> bool:
    if not TIME_TEXT.match(text):
        return False
    try:
        time_of_text(text)
    except (ValueError, OverflowError):
        return False
    return True


# In the order of trying. A column of doubles takes whole numbers too.
_OF_CSV: Final[dict[Kind, Callable[[str], bool]]] = {
    Kind.INT: lambda text: INT_TEXT.match(text) is not None,
    Kind.DOUBLE: lambda text: DOUBLE_TEXT.match(text) is not None or INT_TEXT.match(text) is not None,
    Kind.TIMESTAMP: _is_time,
    Kind.BOOL: BOOL_TEXTS.__contains__,
}
_OF_TYPED: Final[dict[Kind, Callable[[str], bool]]] = {Kind.TIMESTAMP: _is_time}


@dataclass(slots=True)
class Survey:
    """What the first reading found.

    Arguments:
        digest: of the file's bytes.
        records: rows that could be read.
        rejected: rows that could not.
        fields: columns, or keys of the objects; what stands beside `properties` is there but not looked at.
        nested: names inside the objects' `properties`.
    """

    digest: str = ""
    records: int = 0
    rejected: int = 0
    fields: dict[str, Column] = field(default_factory=dict)
    nested: dict[str, Column] = field(default_factory=dict)


def survey(
    source: Source, progress: Callable[[int], None] | None = None, texts: frozenset[str] = TEXT_PROPERTIES
) -> Survey:
    """Read a file for the first time.

    Arguments:
        source: the file.
        progress: told now and then how many of its bytes are read.
        texts: columns that are texts whatever they look like.

    Raises:
        InvalidInput: FILE_UNREADABLE, FILE_HEADING, PARQUET_MISSING.
    """
    found = Survey(digest=digest(source), fields={name: Column() for name in source.columns()})
    kinds = _OF_CSV if source.texts else _OF_TYPED
    for row in source.rows(progress):
        if not isinstance(row, Row):
            found.rejected += 1
            continue
        found.records += 1
        if row.nested is None:
            _see(row.fields, found.fields, row.line, kinds, texts)
        else:
            for name in row.fields:
                found.fields.setdefault(name, Column())
            _see(row.nested, found.nested, row.line, kinds, texts)
    return found


def _see(
    values: Mapping[str, Any],
    columns: dict[str, Column],
    line: int,
    kinds: Mapping[Kind, Callable[[str], bool]],
    texts: frozenset[str],
) -> None:
    for name, value in values.items():
        column = columns.get(name)
        if column is None:
            column = columns[name] = Column()
        if column.values == 0 and name in texts:
            column.kind = Kind.STRING
        if type(value) is str:
            column.see(value, line, kinds)
        else:
            column.values += 1


def digest(source: Source) -> str:
    """A digest of the file's bytes as they lie on disk.

    Raises:
        InvalidInput: FILE_UNREADABLE.
    """
    try:
        with source.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(source.path, error) from error


def import_id(found: Survey, settings: Iterable[str]) -> str:
    """The name of an import: the same for the same bytes read in the same way, and for nothing else.

    Arguments:
        found: the survey of the file.
        settings: all that decides which records its rows become.
    """
    whole = hashlib.sha256("\0".join([found.digest, *settings]).encode("utf-8", "surrogatepass"))
    return f"file-{whole.hexdigest()[:24]}"
