"""`muster audience`: who matches, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click
from rich.text import Text
from rich.tree import Tree

from core.errors import InvalidInput
from server.cli.arguments import AT, expression_of, moment_of, params_of
from server.cli.context import Call, pass_call, read_text
from server.cli.frame import Group
from server.cli.output import COLOURS, cell

_PARAM = click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="a value of `params` in it")
_SATISFIES: Final = {0: ("·", "dim"), 1: ("✓", "green"), 2: ("✗", "dim"), 3: ("!", "red")}
"""By whether an event satisfies the condition, its mark and colour."""
_MARKS: Final = {"matches": "✓", "does_not_match": "✗", "errs": "!"}


@click.group("audience", cls=Group)
def audience() -> None:
    """Count, list and explain who matches an expression; save it by name."""


@audience.command("count", epilog="""Example: muster audience count 'user.plan == "free"'""")
@click.argument("expression")
@_PARAM
@click.option("--explain", is_flag=True, help="also what each part matched and lost, and the plan")
@AT
@pass_call
def count(call: Call, expression: str, params: tuple[str, ...], explain: bool, at: str | None) -> None:
    """How many users match EXPRESSION (CEL; @FILE reads it from a file)."""
    from server.cli.plain import instant, plain

    text = call.texts["expression"] = expression_of(expression)
    answer = call.client().audiences.count(text, params=params_of(params), explain=explain, at=moment_of(at))
    if call.out.json:
        call.out.document(plain(answer))
        return
    share = f" ({answer.count / answer.total:.1%})" if answer.total else ""
    now = instant(answer.now)
    call.out.say(
        Text.assemble(
            (f"{answer.count:,}", "bold"),
            f" of {answer.total:,} users match{share}",
            (f", in {answer.elapsed_micros / 1_000:,.1f} ms at {now:%Y-%m-%dT%H:%M:%SZ}" if now else "", "dim"),
        )
    )
    if explain:
        call.out.say()
        show_leaves(call, answer.leaves)
        if answer.plan:
            call.out.say()
            call.out.say(Text(answer.plan.rstrip(), "dim"))
    show_warnings(call, answer.warnings)
    if not answer.total:
        call.out.note("the project has no users yet: `muster import profiles FILE` brings some")


def show_leaves(call: Call, leaves: Iterable[Any]) -> None:
    """What each part of an expression matched and lost."""
    call.out.table(
        ["matched", "not matched", "missing", "wrong type", "other error", "part"],
        [(one.matched, one.not_matched, one.missing, one.wrong_type, one.other_error, one.text) for one in leaves],
    )


def show_warnings(call: Call, warnings: Iterable[Any]) -> None:
    """Names never seen."""
    for one in warnings:
        call.out.warn(one.message or f"{one.name} was never seen" + (f"; {one.nearest} was" if one.nearest else ""))


@audience.command("select", epilog="""Example: muster audience select 'user.plan == "free"' --limit 10""")
@click.argument("expression")
@_PARAM
@click.option("--limit", type=click.IntRange(0), default=0, help="at most so many; 0: all")
@AT
@pass_call
def select(call: Call, expression: str, params: tuple[str, ...], limit: int, at: str | None) -> None:
    """The ids of the users who match EXPRESSION, one a line."""
    text = call.texts["expression"] = expression_of(expression)
    ids = call.client().audiences.select(text, params=params_of(params), limit=limit, at=moment_of(at))
    if call.out.json:
        call.out.lines(ids)
        return
    for one in ids:
        call.out.raw(one)


@audience.command(
    "diff", epilog="""Example: muster audience diff 'user.plan == "free"' 'user.plan in ["free", "trial"]'"""
)
@click.argument("before")
@click.argument("after")
@_PARAM
@click.option("--message", is_flag=True, help="BEFORE is the key of a message: what if its targeting were AFTER?")
@click.option(
    "--limit", type=click.IntRange(0), default=10, show_default=True, help="so many ids of each kind; 0: none"
)
@AT
@pass_call
def diff(
    call: Call, before: str, after: str, params: tuple[str, ...], message: bool, limit: int, at: str | None
) -> None:
    """Who would come in and who would leave if an expression were AFTER instead of BEFORE."""
    from server.cli.plain import plain

    client = call.client()
    call.texts["before"] = client.messages.get(before).targeting if message else expression_of(before)
    call.texts["after"] = expression_of(after)
    answer = client.audiences.diff(
        call.texts["before"], call.texts["after"], params=params_of(params), limit=limit, at=moment_of(at)
    )
    if call.out.json:
        call.out.document(plain(answer))
        return
    counts = answer.counts
    call.out.table(
        ["", "users", ""],
        [
            ("before", counts.before, ""),
            (Text("leave", "red"), counts.leaving, _some(answer.leaving, counts.leaving)),
            (Text("enter", "green"), counts.entering, _some(answer.entering, counts.entering)),
            (Text("after", "bold"), counts.after, ""),
        ],
    )
    show_warnings(call, answer.warnings)


def _some(ids: Any, count: int) -> Text:
    """A few ids, and whether there are more."""
    return Text(", ".join(ids) + (", …" if ids and len(ids) < count else ""), "dim")


@audience.command("explain", epilog="""Example: muster audience explain 'user.plan == "free"' u1""")
@click.argument("expression")
@click.argument("user", metavar="USER")
@_PARAM
@AT
@pass_call
def explain(call: Call, expression: str, user: str, params: tuple[str, ...], at: str | None) -> None:
    """Why USER matches EXPRESSION or does not, part by part."""
    from server.cli.plain import plain

    text = call.texts["expression"] = expression_of(expression)
    answer = call.client().audiences.explain(text, user, params=params_of(params), at=moment_of(at))
    if call.out.json:
        call.out.document(plain(answer))
        return
    show_explanation(call, answer.explanation)
    show_warnings(call, answer.warnings)


def show_explanation(call: Call, explanation: Any) -> None:
    """A tree of an expression's parts, each with what was read."""
    call.out.console.print(_tree(explanation, None))


def _tree(found: Any, parent: Tree | None) -> Tree:
    from muster.v1 import audience_pb2

    from server.cli.plain import word

    verdict = word(audience_pb2.Verdict.DESCRIPTOR, found.verdict)
    line = Text.assemble(
        (f"{_MARKS.get(verdict, '?')} ", COLOURS.get(verdict, "yellow")),
        found.text,
        (f"  {found.reason}" if found.reason and found.reason not in found.values else "", "red"),
        (f"  {'; '.join(found.values)}" if found.values else "", "dim"),
    )
    tree = Tree(line) if parent is None else parent.add(line)
    for part in found.parts:
        _tree(part, tree)
    for value in found.computed:
        if value.parts and not _only_counts(value):  # what is only read stands beside the part already
            tree.add(Text.assemble((f"{value.text} ", "dim"), ("errs: " if value.errs else "= ", "dim"), value.value))
    for one in found.evidence:
        if one.count:
            _events(one, tree, named=len(found.evidence) > 1)
    return tree


def _only_counts(value: Any) -> bool:
    """Whether a value is how many events there are, which their list tells."""
    return len(value.parts) == 1 and not value.parts[0].parts and value.text == f"size({value.parts[0].text})"


def _events(found: Any, parent: Tree, *, named: bool) -> None:
    """The events that a part looks at: how many, and the latest few."""
    from server.cli.plain import instant

    tree = parent
    if found.condition:
        where = f"{found.event} where {found.condition}: {found.satisfying:,} of {found.count:,}"
        tree = parent.add(Text(where, "dim"))
    elif named:
        tree = parent.add(Text(f"{found.event}: {found.count:,}", "dim"))
    for event in found.events:
        time = cell(instant(event.time)) if event.HasField("time") else Text("at no time")
        mark, style = _SATISFIES[event.satisfies]
        tree.add(Text.assemble((f"{mark} ", style), time, f"  {', '.join(event.values)}" if event.values else ""))
    rest = found.count - len(found.events)
    if rest:
        tree.add(Text(f"… and {rest:,} more", "dim"))


@audience.command("save", epilog="""Example: muster audience save whales 'user.spent > 1000.0'""")
@click.argument("name")
@click.argument("expression", required=False)
@click.option("--ids", metavar="FILE", help="instead of an expression, ids from a file, one a line; -: standard input")
@click.option("--description", default="", help="for people")
@click.option("--create-missing", is_flag=True, help="make users of ids that are not known yet")
@pass_call
def save(
    call: Call, name: str, expression: str | None, ids: str | None, description: str, create_missing: bool
) -> None:
    """Save EXPRESSION, or a list of ids, as NAME; targeting reads it as audiences["NAME"]."""
    from server.cli.plain import plain

    if (expression is None) == (ids is None):
        raise InvalidInput(
            "an audience is an expression or a list of ids",
            field="EXPRESSION",
            mend="give one of EXPRESSION and --ids",
            code="AUDIENCE_MEMBERS",
        )
    client = call.client()
    if expression is not None:
        text = call.texts["expression"] = expression_of(expression)
        saved = client.audiences.save(name, text, description=description)
    else:
        listed = [line.strip() for line in read_text(str(ids)).splitlines() if line.strip()]
        saved = client.audiences.save(name, ids=listed, description=description, create_missing=create_missing)
    if call.out.json:
        call.out.document(plain(saved))
        return
    what = f"{saved.listed:,} listed ids" if ids is not None else saved.expression
    call.out.say(f"saved {name}: {what}")


@audience.command("list", epilog="Example: muster audience list")
@pass_call
def list_(call: Call) -> None:
    """The saved audiences."""
    from server.cli.plain import instant, plain

    found = list(call.client().audiences.list())
    if call.out.json:
        call.out.document([plain(one) for one in found])
        return
    call.out.table(
        ["name", "updated", "members", "description"],
        [(one.name, instant(one.update_time), _members(one), one.description or None) for one in found],
        empty="no audience is saved yet: `muster audience save NAME EXPRESSION` saves one",
    )


def _members(audience: Any) -> str:
    return (
        str(audience.expression)
        if audience.WhichOneof("members") == "expression"
        else f"{audience.listed:,} listed ids"
    )


@audience.command("get", epilog="Example: muster audience get whales")
@click.argument("name")
@pass_call
def get(call: Call, name: str) -> None:
    """One saved audience."""
    from server.cli.plain import instant, plain

    found = call.client().audiences.get(name)
    if call.out.json:
        call.out.document(plain(found))
        return
    call.out.facts(
        {
            "name": found.name,
            "members": _members(found),
            "description": found.description,
            "updated": instant(found.update_time),
            "etag": found.etag,
        }
    )


@audience.command("delete", epilog="Example: muster audience delete whales")
@click.argument("name")
@pass_call
def delete(call: Call, name: str) -> None:
    """Delete a saved audience that nothing uses."""
    call.client().audiences.delete(name)
    if call.out.json:
        call.out.document({"deleted": name})
        return
    call.out.say(f"deleted {name}")
