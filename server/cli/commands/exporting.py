"""`muster export events|profiles|deliveries`: to a file by its suffix, or to standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from core.errors import InvalidInput
from server.cli.arguments import expression_of
from server.cli.context import Call, pass_call
from server.cli.files.formats import Format, format_of
from server.cli.files.kinds import Kind
from server.cli.files.writing import Columns, Writer, file_writer, stream_writer
from server.cli.frame import Group

_BATCH: Final = 2_000
_PAGE: Final = 1_000
_FORMATS: Final = [str(one) for one in Format]
_EVENT: Final[Columns] = {
    "event": Kind.STRING,
    "distinct_id": Kind.STRING,
    "time": Kind.TIMESTAMP,
    "insert_id": Kind.STRING,
}
_DELIVERIES: Final[Columns] = {
    "message": Kind.STRING,
    "distinct_id": Kind.STRING,
    "decided": Kind.TIMESTAMP,
    "state": Kind.STRING,
    "reason": Kind.STRING,
    "group": Kind.STRING,
    "detail": Kind.STRING,
    "idempotency_key": Kind.STRING,
}
_WHERE = click.option(
    "--where", default="", metavar="EXPRESSION", help="only users who match this; @FILE reads it from a file"
)


@click.group("export", cls=Group)
def export() -> None:
    """Write events, profiles or deliveries to a file."""


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--format",
        "form",
        type=click.Choice(_FORMATS),
        help="instead of what the file's suffix says; ndjson without a file",
    )(command)
    return click.argument("file", required=False, default="-")(command)


@export.command("profiles", epilog="Example: muster export profiles users.parquet")
@_common
@_WHERE
@pass_call
def profiles(call: Call, file: str, form: str | None, where: str) -> None:
    """Write the profiles, or those who match, to FILE. -: standard output."""
    from server.cli.plain import properties

    client = call.client()
    text = call.texts["expression"] = expression_of(where)
    found = client.profiles.list(text, page_size=_PAGE)
    kinds = _kinds(client.profiles.schema().properties)
    nested = _format(file, form) is Format.NDJSON

    def record(one: Any) -> dict[str, Any]:
        held = properties(one.properties)
        head = {"distinct_id": one.distinct_id}
        return {**head, "properties": held} if nested else {**_beside(head, kinds), **held}

    columns = _columns({"distinct_id": Kind.STRING}, kinds)
    total = None if text else client.projects.get().profiles
    _write(call, "profiles", file, form, columns, (record(one) for one in found), total)


@export.command("events", epilog="Example: muster export events purchases.csv --name Purchase")
@_common
@click.option("--name", "names", multiple=True, help="only events of this name; may be repeated")
@_WHERE
@pass_call
def events(call: Call, file: str, form: str | None, names: tuple[str, ...], where: str) -> None:
    """Write the events, by name and day, to FILE. -: standard output."""
    from server.cli.plain import instant, properties

    client = call.client()
    text = call.texts["expression"] = expression_of(where)
    schema = [one for one in client.profiles.schema().events if not names or one.name in names]
    kinds = _kinds(held for one in schema for held in one.properties)
    nested = _format(file, form) is Format.NDJSON

    def records() -> Iterator[dict[str, Any]]:
        for one in client.profiles.export_events(text, names=names):
            held = properties(one.properties)
            head = {
                "event": one.name,
                "distinct_id": one.distinct_id,
                "time": instant(one.time),
                "insert_id": one.insert_id,
            }
            yield {**head, "properties": held} if nested else {**_beside(head, kinds), **held}

    columns = _columns(_EVENT, kinds)
    total = None if text else sum(one.count for one in schema)
    _write(call, "events", file, form, columns, records(), total)


@export.command("deliveries", epilog="Example: muster export deliveries welcome.csv --message welcome")
@_common
@click.option("--message", default="", metavar="KEY", help="only this message's")
@pass_call
def deliveries(call: Call, file: str, form: str | None, message: str) -> None:
    """Write every decision with its instant and present state to FILE. -: standard output."""
    from server.cli.plain import instant

    records = (
        {
            "message": one.message_key,
            "distinct_id": one.distinct_id,
            "decided": instant(one.decide_time),
            "state": one.state,
            "reason": one.reason,
            "group": one.group,
            "detail": one.detail,
            "idempotency_key": one.idempotency_key,
        }
        for one in call.client().messages.deliveries(message)
    )
    _write(call, "deliveries", file, form, _DELIVERIES, records, None)


def _kinds(schemas: Iterable[Any]) -> dict[str, Kind]:
    """By property, the kind of its column; several kinds, lists and maps become JSON."""
    from muster.v1 import value_pb2

    known = {
        value_pb2.VALUE_KIND_BOOL: Kind.BOOL,
        value_pb2.VALUE_KIND_INT: Kind.INT,
        value_pb2.VALUE_KIND_DOUBLE: Kind.DOUBLE,
        value_pb2.VALUE_KIND_STRING: Kind.STRING,
        value_pb2.VALUE_KIND_TIMESTAMP: Kind.TIMESTAMP,
    }
    seen: dict[str, set[Kind]] = {}
    for one in schemas:
        held = seen.setdefault(one.name, set())
        held |= {known.get(count.kind, Kind.JSON) for count in one.kinds if count.kind != value_pb2.VALUE_KIND_NULL}
    numbers = {Kind.INT, Kind.DOUBLE}
    return {
        name: next(iter(kinds)) if len(kinds) == 1 else Kind.DOUBLE if kinds == numbers else Kind.JSON
        for name, kinds in sorted(seen.items())
    }


def _columns(head: Columns, kinds: Columns) -> Columns:
    return {**{name: head[one] for name, one in zip(_beside(head, kinds), head, strict=True)}, **kinds}


def _beside(head: dict[str, Any] | Columns, kinds: Columns) -> dict[str, Any]:
    """What identifies a record, under names that no property has."""
    return {f"${name}" if name in kinds else name: value for name, value in head.items()}


def _format(file: str, form: str | None) -> Format:
    if file == "-":
        return Format(form) if form else Format.NDJSON
    return format_of(Path(file), form)


@contextmanager
def _writer(file: str, form: Format, columns: Columns) -> Iterator[Writer]:
    if file != "-":
        with file_writer(Path(file), form, columns) as writer:
            yield writer
        return
    if form is Format.PARQUET and sys.stdout.isatty():
        raise InvalidInput("a terminal shows no Parquet", field="FILE", mend="name a file", code="FILE_FORMAT")
    sys.stdout.flush()
    with stream_writer(sys.stdout.buffer, form, columns) as writer:
        yield writer


def _write(
    call: Call,
    subject: str,
    file: str,
    form: str | None,
    columns: Columns,
    records: Iterator[dict[str, Any]],
    total: int | None,
) -> None:
    written = 0
    with _writer(file, _format(file, form), columns) as writer, call.out.progress() as bars:
        bar = bars.add_task(f"exporting {subject}", total=total)
        while batch := list(islice(records, _BATCH)):
            writer.write(batch)
            written += len(batch)
            bars.update(bar, completed=written)
    if file == "-":
        return
    if call.out.json:
        call.out.document({"file": file, "records": written})
        return
    call.out.say(f"wrote {written:,} {subject} to {file}")
