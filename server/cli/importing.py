"""An import of a file: surveyed, turned into records, sent, and told where every refused one stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import muster
from muster.records import Record as Sent

from core.errors import InvalidInput
from server.cli.files.formats import Format, unwritable
from server.cli.files.lines import Lines
from server.cli.files.mapping import Mapper, Record, Subject, Wishes
from server.cli.files.rows import Rejected, Source
from server.cli.files.survey import Survey, import_id, survey

KEPT: Final = 1_000
"""Refused records that are kept in memory; all of them go to the file asked for."""
BATCH: Final = 5_000
"""Records a request. The same at every run of an import: what an earlier run sent may still arrive in the meantime."""


@dataclass(frozen=True, slots=True)
class How:
    """How rows become what is sent.

    Arguments:
        subject: events or profiles.
        wishes: about the columns.
        operation: what is done with a profile's properties.
        each_row: give every event an identity of its own, by file and row, so that equal rows all count.
        name: of the import; empty: made of the file's bytes and of all this.
    """

    subject: Subject
    wishes: Wishes
    operation: str = "set"
    each_row: bool = False
    name: str = ""


class Refusals:
    """The refused records, by line: the first ones kept, all counted, and written to a file where one is asked for.

    Arguments:
        path: of an NDJSON file, or None.

    Raises:
        InvalidInput: FILE_UNWRITABLE.
    """

    def __init__(self, path: Path | None) -> None:
        self.count = 0
        self.first: list[Rejected] = []
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = path.open("w", encoding="utf-8", errors="replace")
            except OSError as error:
                raise unwritable(path, error) from error

    def add(self, refused: Rejected) -> None:
        """Take note of one."""
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(refused)
        if self._file is not None:
            self._file.write(json.dumps(asdict(refused), ensure_ascii=False) + "\n")

    def by_line(self) -> list[Rejected]:
        """The kept ones in the file's order: the server's answers come later than what is refused here."""
        return sorted(self.first, key=lambda one: one.line)

    def close(self) -> None:
        """Write the end of the file."""
        if self._file is not None:
            self._file.close()


class Import:
    """A file on its way.

    Arguments:
        source: the file.
        how: how it is read and sent.
        refusals: takes what was refused, here or by the server.
        progress: told now and then how many of the file's bytes are surveyed.

    Raises:
        InvalidInput: for a file or columns that do not do.
    """

    def __init__(self, source: Source, how: How, refusals: Refusals, progress: Callable[[int], None]) -> None:
        self._source = source
        self._how = how
        self._refusals = refusals
        self._lines = Lines()
        self._told = 0
        self.found: Survey = survey(source, progress, how.wishes.texts())
        self.mapper = Mapper(how.subject, how.wishes, self.found, typed=not source.texts)
        settings = [
            *(how.subject, how.operation, str(how.each_row), source.format, source.delimiter, *sorted(source.nulls)),
            *how.wishes.settings(),
        ]
        self.name = how.name or import_id(self.found, settings)

    @property
    def subject(self) -> Subject:
        """What the records are."""
        return self._how.subject

    def run(self, client: muster.Client, progress: Callable[[int], None]) -> muster.Imported:
        """Send the records; goes on where an earlier run of the same import stopped.

        Arguments:
            client: of the project.
            progress: told how many records are on disk or refused.

        Raises:
            muster.MusterError: what broke it for good; run again, it goes on.
        """

        def tell(at: muster.Imported) -> None:
            self._take(at)
            progress(at.offset)

        done = client.import_records(self._records(), import_id=self.name, batch=BATCH, progress=tell)
        self._take(done)
        return done

    def _take(self, at: muster.Imported) -> None:
        """Note what the server has refused since the last time."""
        for refused in at.rejected[self._told :]:
            error = refused.error
            line = self._lines[refused.offset]
            self._refusals.add(Rejected(line, error.code, error.field, error.message, error.mend))
        self._told = len(at.rejected)

    def _records(self) -> Iterator[Sent]:
        for row in self._source.rows():
            made = row if isinstance(row, Rejected) else self.mapper.record(row)
            if isinstance(made, Record):
                try:
                    sent = self._sent(made)
                except muster.InvalidInput as error:
                    made = Rejected(made.line, error.code, error.field, error.message, error.mend)
                else:
                    self._lines.add(made.line)
                    yield sent
                    continue
            self._refusals.add(made)

    def sample(self, count: int) -> list[Record]:
        """The first records as they would be sent."""
        found: list[Record] = []
        for row in self._source.rows():
            if len(found) == count:
                break
            made = row if isinstance(row, Rejected) else self.mapper.record(row)
            if isinstance(made, Record):
                found.append(made)
        return found

    def _sent(self, record: Record) -> Sent:
        if self._how.subject == "events":
            insert_id = record.insert_id or (f"{self.name}:{record.line}" if self._how.each_row else None)
            return muster.event(
                record.name, record.distinct_id, record.properties, time=record.time, insert_id=insert_id
            )
        operation: Any = {self._how.operation: record.properties}
        return muster.update(record.distinct_id, **operation)[0]


def source_of(path: Path, format: Format, delimiter: str, nulls: tuple[str, ...]) -> Source:
    """The file and how its text is read.

    Raises:
        InvalidInput: DELIMITER.
    """
    mark = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
    if len(mark) > 1 or mark in ("\n", "\r", '"'):
        raise InvalidInput(
            f"{delimiter!r} is no delimiter", field="--delimiter", mend="one character, or tab", code="DELIMITER"
        )
    return Source(path, format, mark, frozenset(nulls))
