"""Folders on the server's disk that a request names."""

from __future__ import annotations

from pathlib import Path

from core.errors import InvalidInput


def absolute(text: str) -> Path:
    """The folder of a request's `destination`.

    Raises:
        InvalidInput: PATH_NOT_ABSOLUTE.
    """
    destination = Path(text)
    if not destination.is_absolute():
        raise InvalidInput(
            "the folder is not absolute",
            field="destination",
            mend="a full path on the server's disk: the server's working folder is not yours",
            code="PATH_NOT_ABSOLUTE",
        )
    return destination


def size_of(folder: Path) -> int:
    """The lengths of all files in a folder, in bytes."""
    return sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())
