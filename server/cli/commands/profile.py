"""`muster profile` and `muster schema`: who is known, and what is known of them."""

from __future__ import annotations

from typing import Any, Final

import click

from server.cli.arguments import expression_of
from server.cli.context import Call, pass_call
from server.cli.files.kinds import json_text
from server.cli.frame import Command, Group

_SHOWN_COLUMNS: Final = 6
_SHOWN_USERS: Final = 20


@click.group("profile", cls=Group)
def profile() -> None:
    """Read, delete and merge users."""


@profile.command("get", epilog="Example: muster profile get u1")
@click.argument("user")
@pass_call
def get(call: Call, user: str) -> None:
    """One user's properties, by any of the user's ids."""
    from server.cli.plain import plain, properties

    found = call.client().profiles.get(user)
    if call.out.json:
        call.out.document(plain(found))
        return
    others = [one for one in found.distinct_ids if one != found.distinct_id]
    call.out.facts({"id": found.distinct_id, "other ids": others or None, "ordinal": str(found.ordinal)})
    call.out.say()
    call.out.table(
        ["property", "value"],
        [(name, _shown(value)) for name, value in properties(found.properties).items()],
        empty="the user has no properties",
    )


@profile.command("list", epilog="""Example: muster profile list 'user.plan == "free"' --limit 5""")
@click.argument("expression", required=False, default="")
@click.option("--limit", type=click.IntRange(1), default=_SHOWN_USERS, show_default=True, help="at most so many")
@pass_call
def list_(call: Call, expression: str, limit: int) -> None:
    """Users in order of first sight: everybody, or those who match EXPRESSION."""
    from server.cli.plain import plain, properties

    text = call.texts["expression"] = expression_of(expression)
    found = call.client().profiles.list(text, limit=limit)
    if call.out.json:
        call.out.lines(plain(one) for one in found)
        return
    rows = [(one.distinct_id, properties(one.properties)) for one in found]
    counted: dict[str, int] = {}
    for _, held in rows:
        for name in held:
            counted[name] = counted.get(name, 0) + 1
    # The most common properties, in the order of their names, as far as a screen takes them.
    names = sorted(sorted(counted, key=lambda name: -counted[name])[:_SHOWN_COLUMNS])
    empty = "nobody matches" if text else "nobody is known yet: `muster import profiles FILE` brings some"
    call.out.table(
        ["id", *names], [(user, *(_shown(held.get(name)) for name in names)) for user, held in rows], empty=empty
    )
    if len(counted) > len(names):
        call.out.note(f"{len(counted) - len(names)} more properties: see `muster profile get USER`, or --json", "dim")


def _shown(value: Any) -> Any:
    return json_text(value) if isinstance(value, list | dict) else value


@profile.command("events", epilog="Example: muster profile events u1 --name Purchase")
@click.argument("user")
@click.option("--name", "names", multiple=True, help="only events of this name; may be repeated")
@click.option("--limit", type=click.IntRange(1), default=_SHOWN_USERS, show_default=True, help="at most so many")
@pass_call
def events(call: Call, user: str, names: tuple[str, ...], limit: int) -> None:
    """A user's events, newest first."""
    from server.cli.plain import instant, plain, properties

    found = call.client().profiles.events(user, names=names, limit=limit)
    if call.out.json:
        call.out.lines(plain(one) for one in found)
        return
    call.out.table(
        ["time", "event", "properties"],
        [
            (instant(one.time), one.name, ", ".join(f"{name} {_brief(value)}" for name, value in held.items()) or None)
            for one in found
            for held in [properties(one.properties)]
        ],
        empty="the user has no such events",
    )


def _brief(value: Any) -> str:
    from server.cli.output import cell

    return str(cell(_shown(value)))


@profile.command("delete", epilog="Example: muster profile delete u1")
@click.argument("user")
@pass_call
def delete(call: Call, user: str) -> None:
    """Delete a user: profile, events and ids. Marks that keep them from being written to again stay."""
    call.client().profiles.delete(user)
    if call.out.json:
        call.out.document({"deleted": user})
        return
    call.out.say(f"deleted {user}")


@profile.command("merge", epilog="Example: muster profile merge u1 anonymous-4711")
@click.argument("user")
@click.argument("other")
@pass_call
def merge(call: Call, user: str, other: str) -> None:
    """Make OTHER another id of USER, with all its history; where both have a property, USER's wins."""
    merged = call.client().merge_users(user, other)
    if call.out.json:
        call.out.document({"distinct_id": user, "other_id": other, "merged": merged})
        return
    call.out.say(f"{other} is {user} now" + (", with its history" if merged else "; it had no history of its own"))


@click.command("schema", cls=Command, epilog="Example: muster schema")
@pass_call
def schema(call: Call) -> None:
    """The property and event names seen, with types and counts."""
    from server.cli.plain import instant, plain

    found = call.client().profiles.schema()
    if call.out.json:
        call.out.document(plain(found))
        return
    if not found.properties and not found.events:
        call.out.note("nothing was seen yet: `muster import profiles FILE` or `muster import events FILE` brings some")
        return
    if found.properties:
        call.out.table(["property", "profiles", "types"], [_row(one) for one in found.properties])
    if found.events:
        if found.properties:
            call.out.say()
        call.out.table(
            ["event", "count", "first", "last"],
            [(one.name, one.count, instant(one.first_time), instant(one.last_time)) for one in found.events],
        )
    held = [(one.name, *_row(each)) for one in found.events for each in one.properties]
    if held:
        call.out.say()
        call.out.table(["event", "property", "events", "types"], held)


def _row(found: Any) -> tuple[Any, ...]:
    return found.name, sum(one.count for one in found.kinds), _kinds(found, counts=len(found.kinds) > 1)


def _kinds(found: Any, *, counts: bool = False) -> str:
    from muster.v1 import value_pb2

    from server.cli.plain import word

    return ", ".join(
        word(value_pb2.ValueKind.DESCRIPTOR, one.kind) + (f" {one.count:,}" if counts else "") for one in found.kinds
    )
