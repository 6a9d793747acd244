"""Writing exported records as NDJSON, CSV or Parquet, to a file that appears only when it is whole, or to a stream."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from core.errors import InvalidInput
from server.cli.files.formats import Format, create_bytes, unwritable
from server.cli.files.kinds import Kind, iso, json_text
from server.cli.files.rows import parquet_module

Columns = Mapping[str, Kind]
"""The names of a table's columns in their order, with what their values are."""


class Writer(Protocol):
    """Takes records until it is closed."""

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add records; what has no column is left out: a property that appeared after the heading was written."""

    def close(self) -> None:
        """Write the end."""


class NdjsonWriter:
    """One JSON object a line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See `Writer`."""
        self._stream.writelines((json_text(record) + "\n").encode("utf-8", "replace") for record in records)

    def close(self) -> None:
        """See `Writer`."""
        self._stream.flush()


class CsvWriter:
    """A heading, then one record a line (RFC 4180); lists and maps are JSON, what is absent is empty."""

    def __init__(self, stream: BinaryIO, columns: Columns) -> None:
        self._stream = stream
        self._text = io.TextIOWrapper(stream, "utf-8", errors="replace", newline="")
        self._writer = csv.DictWriter(self._text, list(columns), restval="", extrasaction="ignore")
        self._writer.writeheader()

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See `Writer`."""
        self._writer.writerows({name: _cell(value) for name, value in record.items()} for record in records)

    def close(self) -> None:
        """See `Writer`."""
        self._text.flush()
        self._text.detach()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json_text(value)
    return iso(value) if isinstance(value, datetime) else value


class ParquetWriter:
    """A Parquet file; a column of lists, maps or several kinds holds JSON texts."""

    def __init__(self, stream: BinaryIO, columns: Columns) -> None:
        import pyarrow

        parquet = parquet_module()
        types = {
            Kind.STRING: pyarrow.string(),
            Kind.INT: pyarrow.int64(),
            Kind.DOUBLE: pyarrow.float64(),
            Kind.BOOL: pyarrow.bool_(),
            Kind.TIMESTAMP: pyarrow.timestamp("us", "UTC"),
            Kind.JSON: pyarrow.string(),
        }
        self._columns = columns
        self._schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
        self._table = pyarrow.Table.from_pylist
        self._writer = parquet.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """See `Writer`."""
        rows = [
            {name: self._value(name, value) for name, value in record.items() if name in self._columns}
            for record in records
        ]
        if rows:
            self._writer.write_table(self._table(rows, schema=self._schema))

    def _value(self, name: str, value: Any) -> Any:
        kind = self._columns[name]
        if value is None or kind is not Kind.JSON:
            return float(value) if kind is Kind.DOUBLE and value is not None else value
        return json_text(value)

    def close(self) -> None:
        """See `Writer`."""
        self._writer.close()


def _writer(format: Format, stream: BinaryIO, columns: Columns) -> Writer:
    if format is Format.NDJSON:
        return NdjsonWriter(stream)
    return CsvWriter(stream, columns) if format is Format.CSV else ParquetWriter(stream, columns)


@contextmanager
def file_writer(path: Path, format: Format, columns: Columns) -> Iterator[Writer]:
    """Write a file beside its final place; it takes that place when all went well and leaves nothing otherwise.

    Raises:
        InvalidInput: FILE_UNWRITABLE, PARQUET_MISSING.
    """
    if path.is_dir():
        raise InvalidInput("a folder", field=str(path), mend="name a file", code="FILE_UNWRITABLE")
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        with create_bytes(unfinished) as stream:
            writer = _writer(format, stream, columns)
            yield writer
            writer.close()
        unfinished.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def stream_writer(stream: BinaryIO, format: Format, columns: Columns) -> Iterator[Writer]:
    """Write to a stream that stays open, such as standard output."""
    writer = _writer(format, stream, columns)
    yield writer
    writer.close()
    stream.flush()
