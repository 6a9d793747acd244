"""`muster message`: drafts, launches, pauses; `message_reading.py` has what is only read."""

from __future__ import annotations

from typing import Any

import click

from core.errors import InvalidInput
from server.cli.arguments import expression_of, instant_of, length_of, params_of
from server.cli.commands.audience import show_leaves, show_warnings
from server.cli.context import Call, pass_call
from server.cli.files.examples import write_example
from server.cli.frame import Group, LocalCommand
from server.cli.message_file import EXAMPLES, example, read_message
from server.cli.output import cell

_ETAG = click.option("--etag", default="", help="refuse if the message has changed since it was read with this etag")


@click.group("message", cls=Group)
def message() -> None:
    """Write, launch and follow messages."""


@message.command("new", cls=LocalCommand, epilog="Example: muster message new email welcome.toml")
@click.argument("channel", type=click.Choice(sorted(EXAMPLES)))
@click.argument("file", required=False, default="")
@click.option("--force", is_flag=True, help="replace a file that is there")
@pass_call
def new(call: Call, channel: str, file: str, force: bool) -> None:
    """Write a commented example to FILE, to be edited and given to `message create`. -: standard output."""
    file = file or f"{channel}.toml"
    text = example(channel, file)
    if file == "-":
        call.out.raw(text)
        return
    write_example(file, text, force)
    if call.out.json:
        call.out.document({"file": file, "channel": channel})
        return
    call.out.say(f"wrote {file}")
    call.out.note(f"next: edit it, then muster message create {file}", "dim")


@message.command("create", epilog="Example: muster message create welcome.toml")
@click.argument("file")
@pass_call
def create(call: Call, file: str) -> None:
    """Create a draft from a TOML file. -: standard input."""
    from server.cli.plain import plain

    found = read_message(file)
    if "targeting" not in found.fields and found.fields.get("schedule") != "on_send":
        raise InvalidInput(
            "there is no targeting", field=file, mend="write CEL, or `true` for everybody", code="MESSAGE_FILE"
        )
    _remember(call, found.fields.get("targeting", ""))
    answer = call.client().messages.create(found.key, **found.fields)
    if call.out.json:
        call.out.document(plain(answer))
        return
    call.out.say(f"created {found.key}, a draft")
    show_warnings(call, answer.warnings)
    call.out.note(f"next: muster message launch {found.key} --dry-run", "dim")


def _remember(call: Call, targeting: str) -> None:
    """Errors in targeting are shown below its line, however the server names the field."""
    call.texts["message.targeting"] = call.texts["targeting"] = call.texts["expression"] = targeting


@message.command("update", epilog="Example: muster message update welcome --max-recipients 5000")
@click.argument("key")
@click.option("--file", metavar="FILE", help="TOML file; what it holds replaces what the message has")
@click.option("--title", help="for people")
@click.option("--targeting", metavar="EXPRESSION", help="CEL; @FILE reads it from a file")
@click.option("--schedule", metavar="TIME", help="asap, or an instant")
@click.option("--max-recipients", type=click.IntRange(0), help="pause instead of selecting more; 0: no limit")
@click.option("--expires-after", metavar="LENGTH", help="skip who waits longer; such as 72h")
@click.option("--most-per-user", type=click.IntRange(0), help="how many occurrences may reach one user; 0: any number")
@click.option("--grace", metavar="LENGTH", help="how late a missed run may fire, such as 1h")
@_ETAG
@pass_call
def update(
    call: Call,
    key: str,
    file: str | None,
    title: str | None,
    targeting: str | None,
    schedule: str | None,
    max_recipients: int | None,
    expires_after: str | None,
    most_per_user: int | None,
    grace: str | None,
    etag: str,
) -> None:
    """Change a draft, or a paused message's content and limits."""
    from server.cli.plain import plain

    changes: dict[str, Any] = {}
    if file is not None:
        found = read_message(file)
        if found.key != key:
            raise InvalidInput(
                f"the file is of the message {found.key!r}",
                field=file,
                mend=f"name the one with key = {key!r}",
                code="MESSAGE_FILE",
            )
        changes |= found.fields
    if title is not None:
        changes["title"] = title
    if targeting is not None:
        changes["targeting"] = expression_of(targeting)
    if schedule is not None:
        changes["schedule"] = "asap" if schedule == "asap" else instant_of(schedule, "--schedule")
    if max_recipients is not None:
        changes["max_recipients"] = max_recipients
    if expires_after is not None:
        changes["expires_after"] = length_of(expires_after, "--expires-after")
    if most_per_user is not None:
        changes["most_per_user"] = most_per_user
    if grace is not None:
        changes["grace"] = length_of(grace, "--grace")
    if not changes:
        raise InvalidInput(
            "nothing is to be changed", field="OPTIONS", mend="give --file, or an option", code="NOTHING_TO_DO"
        )
    _remember(call, changes.get("targeting", ""))
    answer = call.client().messages.update(key, **changes, etag=etag)
    if call.out.json:
        call.out.document(plain(answer))
        return
    call.out.say(f"updated {key}: {', '.join(changes)}")
    show_warnings(call, answer.warnings)


@message.command("launch", epilog="Example: muster message launch welcome --existing send")
@click.argument("key")
@click.option(
    "--existing",
    type=click.Choice(["send", "skip"]),
    help="what becomes of those who match an asap message already: send it to them too, or skip them for good, "
    "even if they come to match anew",
)
@click.option("--dry-run", is_flag=True, help="only tell what would happen")
@_ETAG
@pass_call
def launch(call: Call, key: str, existing: Any, dry_run: bool, etag: str) -> None:
    """Make a draft live; everybody is judged once."""
    from server.cli.plain import plain

    client = call.client()
    draft = client.messages.get(key)
    _remember(call, draft.targeting)
    if existing is None and not dry_run and draft.WhichOneof("schedule") in ("asap", "when_met"):
        raise InvalidInput(
            "some may match already",
            field="--existing",
            mend="say what becomes of them: --existing send, or --existing skip",
            code="EXISTING_MISSING",
        )
    with call.out.waiting("everybody is judged"):
        answer = client.messages.launch(key, existing=existing, validate_only=dry_run, etag=etag)
    if call.out.json:
        call.out.document(plain(answer))
        return
    forecast = answer.forecast
    if dry_run:
        call.out.say(f"{key} would go to {_going(forecast, existing)}")
        if answer.message.max_recipients and forecast.ready > answer.message.max_recipients and existing != "skip":
            call.out.warn(
                f"that is more than max recipients, {answer.message.max_recipients:,}: it would pause instead"
            )
    else:
        _launched(call, client, answer.message)
    if dry_run and forecast.past:
        call.out.warn(f"the time is past in the zones of {forecast.past:,} of those who match now")
    if dry_run and forecast.missing:
        call.out.table(["reachable users lack", "users"], [(one.name, one.users) for one in forecast.missing])
    if dry_run and forecast.blocked:
        call.out.table(["kept from it", "users"], [(one.reason, one.users) for one in forecast.blocked])
    if dry_run and forecast.leaves:
        call.out.say()
        show_leaves(call, forecast.leaves)
    show_warnings(call, forecast.warnings)
    if not dry_run:
        call.out.note(f"next: muster message report {key}", "dim")


def _going(forecast: Any, existing: str | None) -> str:
    """Whom a launch would send to now, and who of those who match would be left out."""
    if existing == "skip" and forecast.matching:
        return (
            f"none of the {forecast.matching:,} who match now: they are skipped for good, and whoever comes to match "
            "later gets it"
        )
    blocked = sum(one.users for one in forecast.blocked)
    unreachable = forecast.matching - forecast.reachable
    lacking = forecast.reachable - forecast.ready - blocked
    left_out = [f"{unreachable:,} cannot be reached"] if unreachable else []
    if lacking:
        left_out.append(f"{lacking:,} {'lacks' if lacking == 1 else 'lack'} what the template needs")
    if blocked:
        left_out.append(f"{blocked:,} kept from it by consent, or by another user of the same address")
    reasons = f" ({', '.join(left_out)})" if left_out else ""
    return f"{forecast.ready:,} of the {forecast.matching:,} who match now{reasons}"


def _launched(call: Call, client: Any, found: Any) -> None:
    from server.cli.plain import instant

    report = client.messages.report(found.key)
    selected = report.counts.selected
    if report.HasField("next_run_time") and not selected:
        call.out.say(f"{found.key} is live: everybody is judged at {cell(instant(report.next_run_time))}")
    else:
        call.out.say(f"{found.key} is live: {selected:,} selected so far")


@message.command("send", epilog="Example: muster message send receipt --to u1 --data order=A-17")
@click.argument("key")
@click.option("--to", "users", metavar="USER", multiple=True, required=True, help="a user's id; may be given again")
@click.option("--data", "pairs", metavar="NAME=VALUE", multiple=True, help="what the templates read as data.NAME")
@click.option("--request-id", default="", help="with the same one again, nothing is sent twice")
@pass_call
def send(call: Call, key: str, users: tuple[str, ...], pairs: tuple[str, ...], request_id: str) -> None:
    """Send a live message, whose schedule is on_send, to USERs now."""
    data = params_of(pairs, "--data")
    _show_sent(call, call.client().messages.send(key, users, data=data, request_id=request_id))


@message.command("test", epilog="Example: muster message test welcome --to me")
@click.argument("key")
@click.option("--to", "users", metavar="USER", multiple=True, required=True, help="a user's id; may be given again")
@click.option("--data", "pairs", metavar="NAME=VALUE", multiple=True, help="what the templates read as data.NAME")
@pass_call
def test(call: Call, key: str, users: tuple[str, ...], pairs: tuple[str, ...]) -> None:
    """Send a message, a draft too, to USERs now as a test: it counts in no report."""
    _show_sent(call, call.client().messages.test_send(key, users, data=params_of(pairs, "--data")))


def _show_sent(call: Call, found: Any) -> None:
    from server.cli.plain import plain

    if call.out.json:
        call.out.document([plain(one) for one in found])
        return
    call.out.table(["user", "state", "reason"], [(one.distinct_id, one.state, one.reason or None) for one in found])


@message.command("pause", epilog="Example: muster message pause --all")
@click.argument("key", required=False, default="")
@click.option("--all", "every", is_flag=True, help="every live message of the project")
@pass_call
def pause(call: Call, key: str, every: bool) -> None:
    """Stop a live message, or --all: nothing of it begins any more."""
    from server.cli.plain import plain

    if bool(key) == every:
        raise InvalidInput("what is to pause?", field="KEY", mend="give one of KEY and --all", code="PAUSE_WHAT")
    client = call.client()
    paused = list(client.messages.pause_all()) if every else [client.messages.pause(key)]
    if call.out.json:
        call.out.document([plain(one) for one in paused])
        return
    for one in paused:
        call.out.say(f"paused {one.key}")
    if not paused:
        call.out.note("no message was live")


@message.command("resume", epilog="Example: muster message resume welcome --max-recipients 20000")
@click.argument("key")
@click.option("--max-recipients", type=click.IntRange(0), default=0, help="a new limit where it paused at the old one")
@pass_call
def resume(call: Call, key: str, max_recipients: int) -> None:
    """Let a paused message go on; everybody is judged again."""
    with call.out.waiting("everybody is judged"):
        found = call.client().messages.resume(key, max_recipients=max_recipients)
    _say(call, found, f"resumed {key}")


@message.command("end", epilog="Example: muster message end welcome")
@click.argument("key")
@pass_call
def end(call: Call, key: str) -> None:
    """End a message for good."""
    _say(call, call.client().messages.end(key), f"ended {key}")


def _say(call: Call, found: Any, sentence: str) -> None:
    from server.cli.plain import plain

    if call.out.json:
        call.out.document(plain(found))
        return
    call.out.say(sentence)


@message.command("resolve", epilog="Example: muster message resolve welcome mark-sent")
@click.argument("key")
@click.argument("resolution", type=click.Choice(["offer-again", "mark-sent", "mark-failed"]))
@click.argument("users", nargs=-1, metavar="[USER]...")
@pass_call
def resolve(call: Call, key: str, resolution: str, users: tuple[str, ...]) -> None:
    """Settle hand-offs that began and were never acknowledged: of USERs, or of all. offer-again may send twice."""
    word: Any = resolution.replace("-", "_")
    settled = call.client().messages.resolve_ambiguous(key, word, distinct_ids=users)
    if call.out.json:
        call.out.document({"resolved": settled})
        return
    call.out.say(f"{settled:,} settled as {resolution}" if settled else "nothing of it is ambiguous")
