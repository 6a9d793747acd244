"""Mails that wait in a Maildir or an mbox file: read once, marked as seen once they are dealt with."""

from __future__ import annotations

import mailbox
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from channels.bounce_reports import MOST_BYTES

_SEEN: Final = "S"
_INFO: Final = ":2,"


class Mailbox(Protocol):
    """A folder of mails."""

    def unseen(self) -> Iterator[tuple[bytes, Callable[[], None]]]:
        """Mails that were not seen, oldest first, each with what marks it as seen.

        Raises:
            OSError: where the folder cannot be read.
        """

    def close(self) -> None:
        """Let go of it; what was marked is on disk."""


class Maildir:
    """A Maildir: what is seen moves to `cur`, with the flag S. Others may deliver and read meanwhile.

    Arguments:
        path: the folder with `new` and `cur` in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def unseen(self) -> Iterator[tuple[bytes, Callable[[], None]]]:
        """See `Mailbox`."""
        new = sorted((self._path / "new").iterdir(), key=lambda file: file.name)
        read = sorted((self._path / "cur").iterdir(), key=lambda file: file.name)
        for file in [*new, *(file for file in read if _SEEN not in file.name.partition(_INFO)[2])]:
            if file.name.startswith("."):
                continue
            try:
                with file.open("rb") as stream:
                    raw = stream.read(MOST_BYTES)
            except (FileNotFoundError, IsADirectoryError):
                continue  # another reader has moved it meanwhile
            yield raw, lambda file=file: self._mark(file)  # type: ignore[misc]

    def close(self) -> None:
        """See `Mailbox`."""

    def _mark(self, file: Path) -> None:
        name, _, flags = file.name.partition(_INFO)
        with suppress(FileNotFoundError):  # another reader has moved it: it is dealt with all the same
            file.rename(self._path / "cur" / f"{name}{_INFO}{''.join(sorted({*flags, _SEEN}))}")


class Mbox:
    """An mbox file, locked while it is read: what is seen has the flag R in its Status. Wants a server that delivers
    under the same lock.

    Arguments:
        path: the file.

    Raises:
        OSError: where it cannot be opened or locked.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._box = mailbox.mbox(path, create=False)
            self._box.lock()
        except mailbox.Error as error:
            raise OSError(None, str(error), str(path)) from error

    def unseen(self) -> Iterator[tuple[bytes, Callable[[], None]]]:
        """See `Mailbox`."""
        for key in list(self._box.keys()):
            flags = self._box.get_message(key).get_flags()
            if "R" not in flags:
                yield self._box.get_bytes(key)[:MOST_BYTES], lambda key=key: self._mark(key)  # type: ignore[misc]

    def close(self) -> None:
        """See `Mailbox`."""
        self._box.flush()
        self._box.unlock()
        self._box.close()

    def _mark(self, key: str) -> None:
        message = self._box.get_message(key)
        message.add_flag("R")
        self._box[key] = message
