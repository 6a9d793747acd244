"""`muster campaign`: drafts, launches, pauses, and who entered."""

from __future__ import annotations

from typing import Any, Final

import click
from rich.text import Text

from core.errors import InvalidInput
from server.cli.arguments import expression_of
from server.cli.campaign_file import example, read_campaign
from server.cli.commands.audience import show_leaves, show_warnings
from server.cli.commands.message_results import goal_words, show_results
from server.cli.context import Call, pass_call
from server.cli.files.examples import write_example
from server.cli.frame import Group, LocalCommand
from server.cli.output import cell

_ETAG = click.option("--etag", default="", help="refuse if the campaign has changed since it was read with this etag")
_STATES: Final = ["draft", "live", "paused", "ended"]


@click.group("campaign", cls=Group)
def campaign() -> None:
    """Write, launch and follow campaigns: lists of messages to whoever enters."""


@campaign.command("new", cls=LocalCommand, epilog="Example: muster campaign new win-back.toml")
@click.argument("file", required=False, default="campaign.toml")
@click.option("--force", is_flag=True, help="replace a file that is there")
@pass_call
def new(call: Call, file: str, force: bool) -> None:
    """Write a commented example to FILE, to be edited and given to `campaign create`. -: standard output."""
    if file == "-":
        call.out.raw(example(file))
        return
    write_example(file, example(file), force)
    if call.out.json:
        call.out.document({"file": file})
        return
    call.out.say(f"wrote {file}")
    call.out.note(f"next: edit it, then muster campaign create {file}", "dim")


@campaign.command("create", epilog="Example: muster campaign create win-back.toml")
@click.argument("file")
@pass_call
def create(call: Call, file: str) -> None:
    """Create a draft from a TOML file. -: standard input."""
    from server.cli.plain import plain

    found = read_campaign(file)
    if "entry" not in found.fields:
        raise InvalidInput(
            "nobody is said to enter", field=file, mend="write CEL, or `true` for everybody", code="CAMPAIGN_FILE"
        )
    _remember(call, found.fields)
    answer = call.client().campaigns.create(found.key, **found.fields)
    if call.out.json:
        call.out.document(plain(answer))
        return
    call.out.say(f"created {found.key}, a draft")
    show_warnings(call, answer.warnings)
    call.out.note(f"next: muster campaign launch {found.key} --dry-run", "dim")


def _remember(call: Call, fields: Any) -> None:
    """Errors in an expression are shown below its line."""
    for name in ("entry", "exit"):
        if name in fields:
            call.texts[f"campaign.{name}"] = fields[name]


@campaign.command("list", epilog="Example: muster campaign list --state live")
@click.option("--state", type=click.Choice(_STATES), help="only those in it")
@pass_call
def list_(call: Call, state: Any) -> None:
    """The campaigns."""
    from server.cli.plain import plain

    found = list(call.client().campaigns.list(state=state))
    if call.out.json:
        call.out.document([plain(one) for one in found])
        return
    call.out.table(
        ["key", "state", "messages", "title", "entry"],
        [(one.key, _state(one), len(one.messages), one.title or None, " ".join(one.entry.split())) for one in found],
        empty="there are no such campaigns" if state else "there is no campaign yet: `muster campaign new` begins one",
    )


def _state(found: Any) -> str:
    from muster.v1 import message_pb2

    from server.cli.plain import word

    return word(message_pb2.MessageState.DESCRIPTOR, found.state)


@campaign.command("get", epilog="Example: muster campaign get win-back")
@click.argument("key")
@pass_call
def get(call: Call, key: str) -> None:
    """One campaign as it was written."""
    from server.cli.plain import instant, plain

    found = call.client().campaigns.get(key)
    if call.out.json:
        call.out.document(plain(found))
        return
    call.out.facts(
        {
            "key": found.key,
            "title": found.title,
            "state": _state(found),
            "paused because": found.pause_reason,
            "entry": found.entry.strip(),
            "exit": found.exit.strip() or "nobody leaves",
            "messages": ", ".join(found.messages) or "none",
            "held out": f"{found.control_percent:g} %" if found.control_percent else None,
            "rate limit": str(found.rate_limit.ToTimedelta()) if found.HasField("rate_limit") else None,
            "goal": goal_words(found.goal) if found.HasField("goal") else None,
            "created": instant(found.create_time),
            "launched": instant(found.launch_time),
            "etag": found.etag,
        }
    )


@campaign.command(
    "update", epilog="Example: muster campaign update win-back --message last-offer --message we-miss-you"
)
@click.argument("key")
@click.option("--file", metavar="FILE", help="TOML file; what it holds replaces what the campaign has")
@click.option("--title", help="for people")
@click.option("--entry", metavar="EXPRESSION", help="CEL; @FILE reads it from a file")
@click.option("--exit", "exit_", metavar="EXPRESSION", help="CEL; @FILE reads it from a file; '' lets nobody leave")
@click.option(
    "--control-percent", type=click.FloatRange(0, 100), help="of those who enter from now on, who are held out"
)
@click.option("--message", "messages", multiple=True, metavar="KEY", help="the whole list, in order; may be repeated")
@_ETAG
@pass_call
def update(
    call: Call,
    key: str,
    file: str | None,
    title: str | None,
    entry: str | None,
    exit_: str | None,
    control_percent: float | None,
    messages: tuple[str, ...],
    etag: str,
) -> None:
    """Change a draft, or what may change of a campaign that was launched."""
    from server.cli.plain import plain

    changes: dict[str, Any] = {}
    if file is not None:
        found = read_campaign(file)
        if found.key != key:
            raise InvalidInput(
                f"the file is of the campaign {found.key!r}",
                field=file,
                mend=f"name the one with key = {key!r}",
                code="CAMPAIGN_FILE",
            )
        changes |= found.fields
    if title is not None:
        changes["title"] = title
    if entry is not None:
        changes["entry"] = expression_of(entry)
    if exit_ is not None:
        changes["exit"] = expression_of(exit_) if exit_ else ""
    if control_percent is not None:
        changes["control_percent"] = control_percent
    if messages:
        changes["messages"] = list(messages)
    if not changes:
        raise InvalidInput(
            "nothing is to be changed", field="OPTIONS", mend="give --file, or an option", code="NOTHING_TO_DO"
        )
    _remember(call, changes)
    answer = call.client().campaigns.update(key, **changes, etag=etag)
    if call.out.json:
        call.out.document(plain(answer))
        return
    call.out.say(f"updated {key}: {', '.join(changes)}")
    show_warnings(call, answer.warnings)


@campaign.command("launch", epilog="Example: muster campaign launch win-back --existing send")
@click.argument("key")
@click.option(
    "--existing",
    type=click.Choice(["send", "skip"]),
    help="what becomes of those who match the entry already: they enter, or are left out for good",
)
@click.option("--dry-run", is_flag=True, help="only tell what would happen")
@_ETAG
@pass_call
def launch(call: Call, key: str, existing: Any, dry_run: bool, etag: str) -> None:
    """Make a draft live with its messages; everybody is judged once."""
    from server.cli.plain import plain

    client = call.client()
    draft = client.campaigns.get(key)
    _remember(call, {"entry": draft.entry, "exit": draft.exit})
    if existing is None and not dry_run:
        raise InvalidInput(
            "some may match already",
            field="--existing",
            mend="say what becomes of them: --existing send, or --existing skip",
            code="EXISTING_MISSING",
        )
    with call.out.waiting("everybody is judged"):
        answer = client.campaigns.launch(key, existing=existing, validate_only=dry_run, etag=etag)
    if call.out.json:
        call.out.document(plain(answer))
        return
    if not dry_run:
        call.out.say(f"{key} is live: {client.campaigns.count(key).entered:,} entered so far")
        call.out.note(f"next: muster campaign count {key}", "dim")
        return
    forecast = answer.forecast
    left_out = existing == "skip" and forecast.entering
    call.out.say(
        f"none of the {forecast.entering:,} who match now would enter {key}: they are left out for good"
        if left_out
        else f"{forecast.entering:,} would enter {key}"
    )
    call.out.table(
        ["message", "match", "reachable", "ready"],
        [
            (one.key, one.forecast.matching, one.forecast.reachable, one.forecast.ready)
            for one in forecast.messages
            if not left_out
        ],
    )
    if forecast.leaves:
        call.out.say()
        show_leaves(call, forecast.leaves)
    show_warnings(call, forecast.warnings)
    for one in forecast.messages:
        show_warnings(call, one.forecast.warnings)


@campaign.command("pause", epilog="Example: muster campaign pause win-back")
@click.argument("key")
@pass_call
def pause(call: Call, key: str) -> None:
    """Stop a live campaign: nobody enters, and nothing of it begins any more."""
    _say(call, call.client().campaigns.pause(key), f"paused {key}")


@campaign.command("resume", epilog="Example: muster campaign resume win-back")
@click.argument("key")
@pass_call
def resume(call: Call, key: str) -> None:
    """Let a paused campaign go on; everybody is judged again, and messages added are launched."""
    with call.out.waiting("everybody is judged"):
        found = call.client().campaigns.resume(key)
    _say(call, found, f"resumed {key}")


@campaign.command("end", epilog="Example: muster campaign end win-back")
@click.argument("key")
@pass_call
def end(call: Call, key: str) -> None:
    """End a campaign and its messages for good."""
    _say(call, call.client().campaigns.end(key), f"ended {key}")


def _say(call: Call, found: Any, sentence: str) -> None:
    from server.cli.plain import plain

    if call.out.json:
        call.out.document(plain(found))
        return
    call.out.say(sentence)


@campaign.command("count", epilog="Example: muster campaign count win-back")
@click.argument("key")
@pass_call
def count(call: Call, key: str) -> None:
    """Who entered, and every selected user of each message accounted for."""
    from server.cli.plain import instant, plain

    found = call.client().campaigns.count(key)
    if call.out.json:
        call.out.document(plain(found))
        return
    one = found.campaign
    call.out.say(
        Text.assemble(
            (one.key, "bold"),
            "  ",
            cell(_state(one)),
            (f"  {one.pause_reason}" if one.pause_reason else "", "yellow"),
            (f"  {one.title}" if one.title else ""),
            (f"  at {cell(instant(found.now))}", "dim"),
        )
    )
    call.out.say()
    facts: dict[str, Any] = {"entered": found.entered}
    if found.control:
        facts["of them held out"] = found.control
    if one.exit:
        facts["of them exited now"] = found.exited
    facts |= {f"left out: {part.reason}": part.users for part in found.left_out}
    call.out.facts(facts)
    call.out.say()
    names = ("selected", "held_out", "deferred", "queued", "begun", "sent", "failed", "ambiguous")
    call.out.table(
        ["message", "selected", "held out", "skipped", *names[2:]],
        [
            (
                part.key,
                part.counts.selected,
                part.counts.held_out,
                sum(skip.users for skip in part.counts.skipped),
                *(getattr(part.counts, name) for name in names[2:]),
            )
            for part in found.messages
        ],
    )
    call.out.note(f"next: muster campaign report {key}", "dim")


@campaign.command("report", epilog="Example: muster campaign report win-back --days")
@click.argument("key")
@click.option("--days", is_flag=True, help="by day, too")
@pass_call
def report(call: Call, key: str, days: bool) -> None:
    """What came of the campaign's messages together, beside those who were held out."""
    from server.cli.plain import plain

    found = call.client().results.campaign(key)
    if call.out.json:
        call.out.document(plain(found))
        return
    if not show_results(call, found, days=days, always=True):
        call.out.note("nobody was sent anything yet, or held out: `muster campaign count` says where everybody is")
