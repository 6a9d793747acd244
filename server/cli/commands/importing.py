"""`muster import events|profiles FILE`."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from core.errors import InvalidInput
from server.cli.arguments import pair_of
from server.cli.context import Call, pass_call
from server.cli.files.formats import Format, format_of
from server.cli.files.kinds import Kind
from server.cli.files.mapping import Subject, Wishes
from server.cli.frame import Group, fail
from server.names import nearest

if TYPE_CHECKING:
    from server.cli.importing import How, Import, Refusals

_SHOWN: Final = 20
_SAMPLE: Final = 3
_FORMATS: Final = [str(one) for one in Format]


@click.group("import", cls=Group)
def import_() -> None:
    """Load events or profiles from a CSV, NDJSON or Parquet file."""


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both imports take."""
    for option in reversed(
        [
            click.argument("file"),
            click.option(
                "--format", "form", type=click.Choice(_FORMATS), help="instead of what the file's suffix says"
            ),
            click.option("--distinct-id", default="", metavar="COLUMN", help="the column of the user's id"),
            click.option(
                "--type",
                "types",
                multiple=True,
                metavar="COLUMN=KIND",
                help=f"take a column as {', '.join(Kind)}; otherwise its values tell",
            ),
            click.option(
                "--rename",
                "renames",
                multiple=True,
                metavar="COLUMN=PROPERTY",
                help="give a column another name as a property, such as 'mail=$email'",
            ),
            click.option("--skip", "skips", multiple=True, metavar="COLUMN", help="leave a column out"),
            click.option("--delimiter", default="", metavar="CHARACTER", help="of a CSV; otherwise its heading tells"),
            click.option("--null", "nulls", multiple=True, metavar="TEXT", help="a text of a CSV that means no value"),
            click.option(
                "--import-id", default="", metavar="NAME", help="name of the import; otherwise made of the file"
            ),
            click.option(
                "--rejects",
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="PATH",
                help="NDJSON file for all refused records, with their lines",
            ),
            click.option(
                "--max-rejected",
                type=click.IntRange(0),
                default=0,
                show_default=True,
                help="refused records that still count as success",
            ),
            click.option("--dry-run", is_flag=True, help="only read the file, and show what would be sent"),
        ]
    ):
        command = option(command)
    return command


@import_.command("events", epilog="Example: muster import events purchases.csv --event Purchase --distinct-id customer")
@_common
@click.option("--name", default="", metavar="COLUMN", help="the column of the event's name")
@click.option("--event", default="", metavar="NAME", help="the name of all events, instead of a column")
@click.option("--time", default="", metavar="COLUMN", help="the column of the time: ISO 8601 or Unix time")
@click.option("--insert-id", default="", metavar="COLUMN", help="the column that tells equal events apart")
@click.option("--each-row", is_flag=True, help="every row is an event of its own, also where rows are equal")
@pass_call
def events(call: Call, name: str, event: str, time: str, insert_id: str, each_row: bool, **common: Any) -> None:
    """Load events from FILE (-: standard input). Run again after a break, it goes on where it stopped.

    Columns that are not the id, name, time or insert id are properties. Imported events trigger no message.
    """
    if name and event:
        raise InvalidInput(
            "two names of an event", field="--event", mend="give one of --name and --event", code="EVENT_NAME"
        )
    _run(call, "events", common, "set", each_row, name=name, event=event, time=time, insert_id=insert_id)


@import_.command("profiles", epilog="Example: muster import profiles users.csv --type 'Last login=timestamp'")
@_common
@click.option(
    "--operation",
    type=click.Choice(["set", "set-once", "add", "append", "union", "merge"]),
    default="set",
    show_default=True,
    help="what is done with the properties",
)
@pass_call
def profiles(call: Call, operation: str, **common: Any) -> None:
    """Load profiles from FILE (-: standard input). Run again after a break, it goes on where it stopped.

    Columns that are not the id are properties. An empty value leaves a property as it is.
    """
    _run(call, "profiles", common, operation.replace("-", "_"), False)


def _run(call: Call, subject: Subject, common: dict[str, Any], operation: str, each_row: bool, **roles: str) -> None:
    from server.cli.importing import How, Import, Refusals, source_of

    wishes = Wishes(
        distinct_id=common["distinct_id"],
        types=dict(map(_kind, common["types"])),
        rename=dict(pair_of(pair, "--rename") for pair in common["renames"]),
        skip=frozenset(common["skips"]),
        **roles,
    )
    with _file(common["file"], common["form"]) as (path, form):
        source = source_of(path, form, common["delimiter"], common["nulls"])
        refusals = Refusals(common["rejects"])
        try:
            with call.out.progress(of_bytes=True) as bars:
                bar = bars.add_task(f"reading {Path(common['file']).name}", total=source.size())
                how = How(subject, wishes, operation, each_row, common["import_id"])
                job = Import(source, how, refusals, lambda done: bars.update(bar, completed=done))
            if not call.out.json:
                _columns(call, job, common["file"], source.place)
            if common["dry_run"]:
                _sample(call, job, how)
                return
            _send(call, job, refusals, common["file"], source.place)
        finally:
            refusals.close()
    if refusals.count > common["max_rejected"]:
        fail()


def _kind(pair: str) -> tuple[str, Kind]:
    column, word = pair_of(pair, "--type")
    try:
        return column, Kind(word.strip())
    except ValueError as error:
        near = nearest(word, [str(kind) for kind in Kind])
        raise InvalidInput(
            f"{word!r} is no kind of value",
            field="--type",
            mend=f"did you mean {near!r}?" if near else f"one of {', '.join(Kind)}",
            code="KIND",
        ) from error


@contextmanager
def _file(name: str, form: str | None) -> Iterator[tuple[Path, Format]]:
    """The file, which for standard input is a copy: it is read twice."""
    if name != "-":
        yield Path(name), format_of(Path(name), form)
        return
    if form is None:
        raise InvalidInput(
            "standard input has no suffix", field="--format", mend=f"one of {', '.join(_FORMATS)}", code="FILE_FORMAT"
        )
    with tempfile.TemporaryDirectory(prefix="muster-") as folder:
        path = Path(folder) / "input"
        with path.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        yield path, Format(form)


def _columns(call: Call, job: Import, name: str, place: str) -> None:
    """What became of the columns, so that a wrong guess is seen before it is looked for."""
    out = call.out
    roles = [
        (role.column, what)
        for role, what in (
            (job.mapper.distinct_id, "the user's id"),
            (job.mapper.name, "the event's name"),
            (job.mapper.time, "the time"),
            (job.mapper.insert_id, "the insert id"),
        )
        if role.places
    ]
    out.say(f"{name}: {job.found.records:,} records")
    rows: list[tuple[str, str, str | None]] = [(column, what, None) for column, what in roles]
    rows += [(plan.column, plan.name, str(plan.kind or "as it is")) for plan in job.mapper.properties()]
    out.table(["column", "becomes", "as"], rows)
    for plan in job.mapper.oddities():
        seen = plan.seen
        out.warn(
            f"{plan.column} is taken as texts: {seen.odd_value!r} on {place} {seen.odd_line:,} is no {seen.odd_kind}; "
            f"--type '{plan.column}={seen.odd_kind}' refuses such rows instead"
        )


def _sample(call: Call, job: Import, how: How) -> None:
    from server.cli.plain import json_value

    first = [
        {name: json_value(value) for name, value in asdict(record).items() if value not in ("", None)}
        for record in job.sample(_SAMPLE)
    ]
    if call.out.json:
        kinds = {plan.name: plan.kind for plan in job.mapper.properties()}
        call.out.document({"import_id": job.name, "records": job.found.records, "properties": kinds, "first": first})
        return
    call.out.say()
    call.out.lines(first)
    call.out.note("nothing was sent", "dim")


def _send(call: Call, job: Import, refusals: Refusals, name: str, place: str) -> None:
    client = call.client()
    started = time.monotonic()
    with call.out.progress() as bars:
        bar = bars.add_task(f"importing {Path(name).name}", total=job.found.records)
        try:
            done = job.run(client, lambda offset: bars.update(bar, completed=offset))
        except KeyboardInterrupt:
            call.out.note("run the same command again: it goes on where it stopped")
            raise
    seconds = time.monotonic() - started
    if call.out.json:
        call.out.document(
            {
                "file": name,
                "import_id": job.name,
                "records": job.found.records + job.found.rejected,
                "accepted": done.accepted,
                "duplicates": done.duplicates,
                "unreported": done.unreported,
                "resumed_at": done.resumed_at,
                "rejected": refusals.count,
                "errors": [asdict(one) for one in refusals.by_line()],
                "seconds": round(seconds, 3),
            }
        )
        return
    _told(call, job, done, seconds)
    if refusals.count:
        call.out.table(
            [place, "field", "refused because", "right would be"],
            [(str(one.line), one.field or None, one.message, one.mend or None) for one in refusals.by_line()[:_SHOWN]],
        )
        if refusals.count > _SHOWN:
            call.out.note(f"{refusals.count:,} were refused; --rejects PATH writes them all to a file")


def _told(call: Call, job: Import, done: Any, seconds: float) -> None:
    out, subject = call.out, job.subject
    sent = done.offset - done.resumed_at
    if done.resumed_at and not sent:
        out.say(f"imported before: all {done.offset:,} records ({job.name})")
        out.note("to import the same file once more, give --import-id NAME", "dim")
        return
    pace = f" ({sent / seconds:,.0f} a second)" if seconds > 0.5 else ""
    out.say(f"imported {done.accepted:,} {subject} in {seconds:,.1f} s{pace}")
    if done.unreported:
        out.say(f"{done.unreported:,} more had arrived when a stream broke; how many were new is not known")
    if done.resumed_at:
        out.say(f"went on after the {done.resumed_at:,} records of an earlier run")
    if done.duplicates:
        out.say(f"{done.duplicates:,} more were known already: equal events count once, unless --each-row is given")
