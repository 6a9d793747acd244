"""What a receiver took: counted by idempotency key and, if wanted, appended to a file as it arrives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO


class Records:
    """The records of one receiver.

    Arguments:
        path: NDJSON file to append to, None for memory only. Records already in it are counted, so that a receiver
            that is started again goes on where it was. Each line is handed to the operating system at once and so
            survives the receiver's own death.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.items: list[dict[str, Any]] = []
        """Records taken by this object, oldest first."""
        self.keys: Counter[str] = Counter()
        """How often each idempotency key was taken."""
        self._file: TextIO | None = None
        if path is not None:
            if path.exists():
                for record in read_records(path):
                    self.keys.update(record["keys"])
                _end_last_line(path)
            self._file = path.open("a", encoding="utf-8")

    def take(self, keys: Sequence[str], **fields: Any) -> None:
        """Add one mail or request.

        Arguments:
            keys: idempotency keys of the users in it.
            fields: anything else worth keeping; JSON values.
        """
        record = {"received": datetime.now(UTC).isoformat(), "keys": list(keys), **fields}
        self.items.append(record)
        self.keys.update(keys)
        if self._file is not None:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    @property
    def tally(self) -> dict[str, int]:
        """`received` (users, repeats included), `distinct` keys, and `duplicates`, the difference of the two."""
        received = self.keys.total()
        return {"received": received, "distinct": len(self.keys), "duplicates": received - len(self.keys)}

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file, oldest first; a last line cut off by the receiver's death is left out."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def _end_last_line(path: Path) -> None:
    """Cut an unfinished last line off, so that the next record starts on a line of its own."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
