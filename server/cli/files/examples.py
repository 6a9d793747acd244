"""Writing an example to begin with, without overwriting anything by accident."""

from __future__ import annotations

from pathlib import Path

from core.errors import InvalidInput


def write_example(path: str, text: str, replace: bool) -> None:
    """Write a new file.

    Raises:
        InvalidInput: FILE_EXISTS, where it is not to be replaced; FILE_UNWRITABLE.
    """
    try:
        with Path(path).open("w" if replace else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise InvalidInput(
            "the file exists", field=path, mend="name another file, or give --force", code="FILE_EXISTS"
        ) from error
    except OSError as error:
        raise InvalidInput(
            f"cannot be written: {error.strerror}",
            field=path,
            mend="name another file",
            code="FILE_UNWRITABLE",
        ) from error
