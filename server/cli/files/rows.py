"""The rows of a file, each with its line; a line that is no row is refused by its number, and the next is read."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from core.errors import InvalidInput
from server.cli.files import kinds
from server.cli.files.formats import Format, open_bytes, position, unreadable

_LONGEST_FIELD: Final = 1 << 20
_MOST_COLUMNS: Final = 4_096
_PARQUET_BATCH: Final = 8_192
_NESTED: Final = ("properties", "$properties")
_DELIMITERS: Final = ",;\t|"


@dataclass(slots=True)
class Row:
    """One record as the file has it.

    Arguments:
        line: from 1: the line it begins on; of a Parquet file the row.
        fields: by column, or by key of the JSON object. A CSV's values are texts.
        nested: what stands inside the object's `properties`, None where it has none.
    """

    line: int
    fields: dict[str, Any]
    nested: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was not taken, and why; the same for those that the server refused."""

    line: int
    code: str
    field: str
    message: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A file and how it is read.

    Arguments:
        path: of the file.
        format: of the file.
        delimiter: of a CSV; empty: the one its heading uses most.
        nulls: texts of a CSV that mean "no value", beside the empty one.
    """

    path: Path
    format: Format
    delimiter: str = ""
    nulls: frozenset[str] = field(default_factory=frozenset)

    @property
    def texts(self) -> bool:
        """Whether every value is a text whose type is to be found."""
        return self.format is Format.CSV

    @property
    def place(self) -> str:
        """What a record's number counts."""
        return "row" if self.format is Format.PARQUET else "line"

    def size(self) -> int:
        """Bytes on disk.

        Raises:
            InvalidInput: FILE_UNREADABLE.
        """
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise unreadable(self.path, error) from error

    def columns(self) -> list[str]:
        """The names that the file itself lists: a CSV's heading, a Parquet file's schema; none for NDJSON.

        Raises:
            InvalidInput: FILE_UNREADABLE, FILE_HEADING, PARQUET_MISSING.
        """
        if self.format is Format.PARQUET:
            with _open_parquet(self.path) as file:
                return list(file.schema_arrow.names)
        if self.format is Format.NDJSON:
            return []
        try:
            with open_bytes(self.path) as raw:
                return _open_csv(self, raw)[1]
        except (OSError, EOFError, zlib.error) as error:
            raise unreadable(self.path, error) from error

    def rows(self, progress: Callable[[int], None] | None = None) -> Iterator[Row | Rejected]:
        """Every record in the file's order.

        Arguments:
            progress: told now and then how many of the file's bytes are read.

        Raises:
            InvalidInput: FILE_UNREADABLE, FILE_HEADING.
        """
        read = {Format.CSV: _csv, Format.NDJSON: _ndjson, Format.PARQUET: _parquet}[self.format]
        try:
            yield from read(self, progress or (lambda _: None))
        except (OSError, EOFError, zlib.error) as error:  # the last two: a zipped file that is cut off or damaged
            raise unreadable(self.path, error) from error


def _csv(source: Source, progress: Callable[[int], None]) -> Iterator[Row | Rejected]:
    with open_bytes(source.path) as raw:
        text, heading, delimiter = _open_csv(source, raw)
        csv.field_size_limit(_LONGEST_FIELD)
        reader = csv.reader(_Counted(text, raw, progress), delimiter=delimiter, strict=True)
        while True:
            line = reader.line_num + 2
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Rejected(
                    line, "ROW_UNREADABLE", "", f"not CSV: {error}", "quote the value, and double quotes inside"
                )
                continue
            if not values:
                continue
            if len(values) != len(heading):
                yield Rejected(
                    line,
                    "ROW_FIELDS",
                    "",
                    f"{len(values)} values under {len(heading)} columns",
                    "as many values as the heading has columns",
                )
                continue
            if any(not value.isascii() and _is_broken(value) for value in values):
                yield Rejected(line, "NOT_UTF8", "", "bytes that are no UTF-8", "save the file as UTF-8")
                continue
            nulls = source.nulls
            yield Row(
                line,
                {name: value for name, value in zip(heading, values, strict=True) if value and value not in nulls},
            )


def _open_csv(source: Source, raw: BinaryIO) -> tuple[io.TextIOWrapper, list[str], str]:
    """The text below a CSV's heading, the heading, and the delimiter."""
    # Bytes that are no UTF-8 come through as lone surrogates and are refused by line, not by file.
    text = io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="")
    first = text.readline()
    delimiter = source.delimiter or _delimiter(source.path, first)
    return text, _heading(source.path, first, delimiter), delimiter


class _Counted:
    """Lines of a text file, telling now and then how far it is read."""

    def __init__(self, text: io.TextIOWrapper, raw: Any, progress: Callable[[int], None]) -> None:
        self._text, self._raw, self._progress = text, raw, progress
        self._lines = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline()
        if not line:
            raise StopIteration
        self._lines += 1
        if not self._lines & 4_095:
            self._progress(position(self._raw))
        return line


def _delimiter(path: Path, heading: str) -> str:
    if "".join(path.suffixes[:1]).lower() == ".tsv":
        return "\t"
    return max(_DELIMITERS, key=heading.count)  # the comma, where none occurs


def _heading(path: Path, line: str, delimiter: str) -> list[str]:
    def refusal(what: str, mend: str) -> InvalidInput:
        return InvalidInput(what, field=f"{path}:1", mend=mend, code="FILE_HEADING")

    if not line.strip():
        raise refusal("the file has no heading", "name the columns in its first line")
    if _is_broken(line):
        raise refusal("the heading is no UTF-8", "save the file as UTF-8")
    try:
        names = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise refusal(f"the heading is no CSV: {error}", "name each column in one line") from error
    for index, name in enumerate(names, 1):
        if not name.strip():
            raise refusal(f"column {index} has no name", "name every column")
        if name in names[: index - 1]:
            raise refusal(f"two columns are named {name!r}", "give each a name of its own")
    if len(names) > _MOST_COLUMNS:
        raise refusal(f"{len(names)} columns", f"at most {_MOST_COLUMNS}")
    return names


def _is_broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _ndjson(source: Source, progress: Callable[[int], None]) -> Iterator[Row | Rejected]:
    with open_bytes(source.path) as raw:
        for line, data in enumerate(raw, 1):
            if not line & 4_095:
                progress(position(raw))
            if line == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
                if data.strip() == b"[":
                    raise InvalidInput(
                        "the file is one JSON array",
                        field=str(source.path),
                        mend="write one object a line, such as `jq -c '.[]'` does",
                        code="FILE_HEADING",
                    )
            if data.isspace():
                continue
            try:
                found = json.loads(data)
            except (ValueError, RecursionError) as error:
                what = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep or no UTF-8"
                yield Rejected(line, "ROW_UNREADABLE", "", f"not JSON: {what}", "one JSON object a line")
                continue
            if not isinstance(found, dict):
                yield Rejected(line, "ROW_UNREADABLE", "", "no JSON object", "one JSON object a line")
                continue
            nested = next((key for key in _NESTED if isinstance(found.get(key), dict)), None)
            yield Row(line, found, found.pop(nested) if nested else None)


def parquet_module() -> Any:
    """`pyarrow.parquet`, which is there only where the extra `files` is installed.

    Raises:
        InvalidInput: PARQUET_MISSING.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InvalidInput(
            "Parquet needs pyarrow, which is not installed",
            mend="pip install 'muster-server[files]', or use CSV or NDJSON",
            code="PARQUET_MISSING",
        ) from error
    return pyarrow.parquet


def _parquet(source: Source, progress: Callable[[int], None]) -> Iterator[Row | Rejected]:
    file = _open_parquet(source.path)
    total, size, number = max(1, file.metadata.num_rows), source.size(), 0
    with file:
        for batch in file.iter_batches(_PARQUET_BATCH):
            names = batch.schema.names
            for values in zip(*(_column(column) for column in batch.columns), strict=True):
                number += 1
                try:
                    fields = {
                        name: kinds.plain(value) for name, value in zip(names, values, strict=True) if value is not None
                    }
                except ValueError as error:
                    yield Rejected(number, "VALUE_TYPE", "", str(error), "a type that properties have")
                    continue
                nested = fields.pop("properties", None) if isinstance(fields.get("properties"), dict) else None
                yield Row(number, fields, nested)
            progress(size * number // total)


def _open_parquet(path: Path) -> Any:
    parquet = parquet_module()
    from pyarrow import ArrowException

    try:
        return parquet.ParquetFile(path)
    except ArrowException as error:
        raise unreadable(path, ValueError("not Parquet")) from error


def _column(column: Any) -> list[Any]:
    """A column's values in Python; parts of a microsecond are cut off, where Arrow would want pandas for them."""
    import pyarrow

    if pyarrow.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values
