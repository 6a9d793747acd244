"""Which format a file has, and how its text is opened."""

from __future__ import annotations

import gzip
from enum import StrEnum
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

from core.errors import InvalidInput


class Format(StrEnum):
    """A file's format."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


_SUFFIXES: Final = {
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".json": Format.NDJSON,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
}
GZIP: Final = ".gz"


def format_of(path: Path, given: str | None = None) -> Format:
    """The format a file is said to have, or that its suffix names; `.gz` may follow that of CSV and NDJSON.

    Raises:
        InvalidInput: FILE_FORMAT.
    """
    suffixes = path.suffixes
    zipped = bool(suffixes) and suffixes[-1].lower() == GZIP
    if zipped:
        suffixes = suffixes[:-1]
    found = Format(given) if given else _SUFFIXES.get(suffixes[-1].lower() if suffixes else "")
    if found is None:
        raise InvalidInput(
            "no format is known by this suffix",
            field=str(path),
            mend="name it .csv, .tsv, .ndjson, .jsonl or .parquet, or give --format",
            code="FILE_FORMAT",
        )
    if zipped and found is Format.PARQUET:
        raise InvalidInput(
            "Parquet is compressed inside and is not zipped",
            field=str(path),
            mend="unzip it first",
            code="FILE_FORMAT",
        )
    return found


def open_bytes(path: Path) -> BinaryIO:
    """A file's bytes, unzipped where its name ends in `.gz`.

    Raises:
        InvalidInput: FILE_UNREADABLE.
    """
    try:
        return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == GZIP else path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from error


def create_bytes(path: Path) -> BinaryIO:
    """A new file to write bytes into, zipped where its name ends in `.gz`; an old one is replaced.

    Raises:
        InvalidInput: FILE_UNWRITABLE.
    """
    try:
        return cast(BinaryIO, gzip.open(path, "wb")) if path.suffix.lower() == GZIP else path.open("wb")
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> InvalidInput:
    """The refusal of a file that cannot be written."""
    return InvalidInput(
        f"cannot be written: {error.strerror}",
        field=str(path),
        mend="make room, or name another file",
        code="FILE_UNWRITABLE",
    )


def unreadable(path: Path, error: Exception) -> InvalidInput:
    """The refusal of a file that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InvalidInput(f"cannot be read: {reason}", field=str(path), mend="check the path", code="FILE_UNREADABLE")


def position(file: IO[bytes]) -> int:
    """How many bytes of the file on disk have been read, for a progress bar; of a zipped one the zipped bytes."""
    inner = getattr(file, "fileobj", None)
    return cast(int, inner.tell() if inner is not None else file.tell())
