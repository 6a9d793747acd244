"""`muster message list|get|preview|report|explain|deliveries` and `muster inbox`: messages as they are, and what became of them."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any, Final

import click
from rich.text import Text

from server.cli.arguments import AT, moment_of
from server.cli.commands.audience import show_explanation
from server.cli.commands.message import message
from server.cli.commands.message_results import goal_words, show_results
from server.cli.context import Call, pass_call
from server.cli.frame import Command, fail
from server.cli.output import cell
from server.cli.schedules import words
from server.cli.timing import timing

_BEFORE_SKIPPED: Final = ("held_out",)
_AFTER_SKIPPED: Final = ("deferred", "queued", "begun", "sent", "failed", "ambiguous")
_DAYS_SHOWN: Final = 31
_BAR: Final = 40
_RUNS_SHOWN: Final = 10
_STATES: Final = ["draft", "live", "paused", "ended"]


def _state(found: Any) -> str:
    from muster.v1 import message_pb2

    from server.cli.plain import word

    return word(message_pb2.MessageState.DESCRIPTOR, found.state)


@message.command("list", epilog="Example: muster message list --state live")
@click.option("--state", type=click.Choice(_STATES), help="only those in it")
@pass_call
def list_(call: Call, state: Any) -> None:
    """The messages."""
    from server.cli.plain import plain

    found = list(call.client().messages.list(state=state))
    if call.out.json:
        call.out.document([plain(one) for one in found])
        return
    call.out.table(
        ["key", "state", "channel", "schedule", "title", "targeting"],
        [
            (
                one.key,
                _state(one),
                one.WhichOneof("content"),
                words(one),
                one.title or None,
                " ".join(one.targeting.split()),
            )
            for one in found
        ],
        empty="there are no such messages"
        if state
        else "there is no message yet: `muster message new email` begins one",
    )


@message.command("get", epilog="Example: muster message get welcome")
@click.argument("key")
@pass_call
def get(call: Call, key: str) -> None:
    """One message as it was written."""
    from server.cli.plain import instant, plain

    found = call.client().messages.get(key)
    if call.out.json:
        call.out.document(plain(found))
        return
    call.out.facts(
        {
            "key": found.key,
            "title": found.title,
            "state": _state(found),
            "paused because": found.pause_reason,
            "targeting": found.targeting.strip(),
            "schedule": words(found),
            "max recipients": found.max_recipients or "no limit",
            "most per user": found.most_per_user or "no limit",
            "goal": goal_words(found.goal) if found.HasField("goal") else None,
            "variants": ", ".join(f"{one.key} {one.percent:g} %" for one in found.variants) or None,
            **timing(found),
            "created": instant(found.create_time),
            "launched": instant(found.launch_time),
            "etag": found.etag,
        }
    )
    channel = found.WhichOneof("content")
    call.out.say()
    _content(call, {name: value for name, value in plain(getattr(found, channel)).items() if value})


def _content(call: Call, content: dict[str, Any]) -> None:
    """Short parts as facts, long ones below them as they are."""
    long = {name for name, value in content.items() if isinstance(value, str) and "\n" in value}
    call.out.facts({name.replace("_", " "): _shown(value) for name, value in content.items() if name not in long})
    for name in sorted(long):
        call.out.say()
        call.out.say(Text(name, "dim"))
        call.out.say(cell(content[name].strip()))


def _shown(value: Any) -> Any:
    """A part of a content on one line; of tables in a list the values will do."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(
            " ".join(map(str, filter(None, one.values()))) if isinstance(one, dict) else str(one) for one in value
        )
    return value


@message.command("preview", epilog="Example: muster message preview welcome u1")
@click.argument("key")
@click.argument("user")
@click.option("--locale", default="", metavar="TAG", help="as if the user's $locale were this one, such as de-CH")
@click.option(
    "--variant", default="", metavar="KEY", help="as this variant has it; the user's own where it is not given"
)
@pass_call
def preview(call: Call, key: str, user: str, locale: str, variant: str) -> None:
    """The message as USER would read it, and whether they would get it now."""
    from server.cli.plain import plain

    found = call.client().messages.preview(key, user, locale=locale, variant=variant)
    if call.out.json:
        call.out.document(plain(found))
        return
    verdict = Text("would be sent", "green") if found.would_send else Text("would not be sent", "yellow")
    detail = ": ".join(part for part in (found.reason, found.detail) if part)
    shown = f", variant {found.variant}" if found.variant else ""
    call.out.say(Text.assemble(verdict, f" ({detail})" if detail else "", (shown, "dim")))
    if found.HasField("rendered"):
        call.out.say()
        parts = {name: value for name, value in plain(found.rendered).items() if value}
        for channel in ("push", "in_app"):
            if channel in parts:
                parts = {name: value for name, value in parts.pop(channel).items() if value or name == "badge"}
        _content(call, parts)


@message.command("report", epilog="Example: muster message report welcome")
@click.argument("key")
@click.option("--days", is_flag=True, help="what came of it by day, too")
@pass_call
def report(call: Call, key: str, days: bool) -> None:
    """Every selected user accounted for, with the proof, and what came of it. Status 1 where it does not add up."""
    from server.cli.plain import instant, plain

    client = call.client()
    found = client.messages.report(key)
    results = client.results.message(key)
    if call.out.json:
        call.out.document({**plain(found), "results": plain(results)})
    else:
        counts = found.counts
        call.out.say(
            Text.assemble(
                (found.message.key, "bold"),
                "  ",
                cell(_state(found.message)),
                (f"  {found.message.pause_reason}" if found.message.pause_reason else "", "yellow"),
                (f"  {found.message.title}" if found.message.title else ""),
                (f"  at {cell(instant(found.now))}", "dim"),
            )
        )
        call.out.say()
        call.out.table(["", "users", ""], _accounts(counts))
        call.out.say()
        _per_day(call, [(instant(one.time), one.users) for one in found.selected_per_day])
        _runs(call, found)
        if found.reconciled:
            call.out.say(
                Text.assemble(("reconciled: ", "green"), f"every one of {counts.selected:,} is in exactly one state")
            )
        for problem in found.problems:
            call.out.say(Text.assemble(("not reconciled: ", "bold red"), problem))
        call.out.say()
        show_results(call, results, days=days)
        if not counts.selected:
            call.out.note("nobody is selected yet")
        if counts.ambiguous:
            call.out.note(
                f"{counts.ambiguous:,} began and were never acknowledged: `muster message resolve {key} …` settles them"
            )
    if not found.reconciled:
        fail()


def _accounts(counts: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [(Text("selected", "bold"), counts.selected, "")]
    rows += [(_indented(name), getattr(counts, name), "") for name in _BEFORE_SKIPPED]
    rows.append((_indented("skipped"), sum(one.users for one in counts.skipped), ""))
    rows += [
        (
            _indented(one.reason, 2),
            one.users,
            Text("open: judged again when something changes", "dim") if one.open else "",
        )
        for one in sorted(counts.skipped, key=lambda one: -one.users)
    ]
    for name in _AFTER_SKIPPED:
        rows.append((_indented(name), getattr(counts, name), ""))
        if name == "failed":
            rows += [(_indented(one.reason, 2), one.users, "") for one in counts.failures]
    return rows


def _indented(name: str, depth: int = 1) -> Text:
    text = cell(name) if depth == 1 else Text(name, "dim")
    text.plain = text.plain.replace("_", " ")
    return Text("  " * depth).append_text(text)


def _per_day(call: Call, days: list[tuple[Any, int]]) -> None:
    """A bar for each day, or for each month where there are many."""
    if not days:
        return
    by_month = len(days) > _DAYS_SHOWN
    sums: Counter[str] = Counter()
    for moment, users in days:
        sums[f"{moment:%Y-%m}" if by_month else f"{moment:%Y-%m-%d}"] += users
    most = max(sums.values())
    call.out.table(
        ["month" if by_month else "day", "selected", ""],
        [
            (name, users, Text("█" * max(1, round(users * _BAR / most)) if users else "", "cyan"))
            for name, users in sorted(sums.items())
        ],
    )
    call.out.say()


def _runs(call: Call, found: Any) -> None:
    """The newest runs of a message that is sent by time, and the next."""
    from muster.v1 import message_pb2

    from server.cli.plain import instant, word

    outcomes = message_pb2.RunOutcome.DESCRIPTOR
    if found.runs:
        call.out.table(
            ["run", "due", "decided", ""],
            [
                (one.number, instant(one.plan_time), instant(one.decide_time), word(outcomes, one.outcome))
                for one in found.runs[-_RUNS_SHOWN:]
            ],
        )
        call.out.say()
    if found.HasField("next_run_time"):
        call.out.note(f"next run: {cell(instant(found.next_run_time))}")


@message.command("explain", epilog="Example: muster message explain welcome u1")
@click.argument("key")
@click.argument("user")
@AT
@pass_call
def explain(call: Call, key: str, user: str, at: str | None) -> None:
    """Why USER did or did not get the message, gate by gate."""
    from server.cli.plain import instant, plain

    found = call.client().messages.explain(key, user, at=moment_of(at))
    if call.out.json:
        call.out.document(plain(found))
        return
    decided = instant(found.decide_time)
    call.out.say(
        Text.assemble(
            f"{user}: ",
            cell(found.state if found.state != "none" else "not selected"),
            (f" ({found.reason})" if found.reason else ""),
            (f", decided {cell(decided)}" if decided else "", "dim"),
            (f", sent {cell(instant(found.send_time))}" if found.HasField("send_time") else "", "dim"),
            (f", judged again {cell(instant(found.due_time))}" if found.HasField("due_time") else "", "dim"),
            (f", in occurrence {found.occurrence}" if found.occurrence else "", "dim"),
            (f", of {found.group}" if found.group else "", "dim"),
        )
    )
    if found.detail:
        call.out.say(Text.assemble("the provider said: ", (found.detail, "yellow")))
    call.out.say()
    call.out.table(["gate", "then" if at else "now", ""], [(one.name, one.passed, _why(one)) for one in found.gates])
    call.out.say()
    show_explanation(call, found.explanation)


def _why(gate: Any) -> str:
    from server.cli.plain import instant

    return f"{gate.detail}, until {cell(instant(gate.due_time))}" if gate.HasField("due_time") else str(gate.detail)


@message.command("deliveries", epilog="Example: muster message deliveries welcome --state skipped")
@click.argument("key", required=False, default="")
@click.option("--state", metavar="STATE", help="only those in it, such as sent, skipped or ambiguous")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="at most so many; 0: all")
@pass_call
def deliveries(call: Call, key: str, state: str | None, limit: int) -> None:
    """Every decision with its instant and present state. `muster export deliveries` writes them to a file."""
    from server.cli.plain import instant, plain

    every = call.client().messages.deliveries(key)
    wanted = (one for one in every if state in (None, one.state))
    shown, more = [], False
    for number, one in enumerate(wanted):
        if limit and number == limit:
            more = True
            break
        if call.out.json:
            call.out.lines([plain(one)])
        else:
            reason = ": ".join(part for part in (one.reason, one.detail) if part)
            shown.append(
                (one.message_key, one.distinct_id, instant(one.decide_time), one.state, reason or one.group or None)
            )
    if not call.out.json:
        call.out.table(["message", "user", "decided", "state", "reason"], shown, empty="there are no such deliveries")
    if more:
        call.out.note(f"only the first {limit:,} are shown: --limit 0 shows all", "dim")


@click.command("inbox", cls=Command, epilog="Example: muster inbox --message welcome --full")
@click.option("--message", "message_key", default="", metavar="KEY", help="only this message's")
@click.option("--user", default="", help="only this user's")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="at most so many, the newest first"
)
@click.option("--full", is_flag=True, help="show each as it would have been sent")
@pass_call
def inbox(call: Call, message_key: str, user: str, limit: int, full: bool) -> None:
    """What a sandbox would have sent, newest first."""
    from server.cli.plain import instant, plain

    found = call.client().projects.inbox(message_key=message_key, distinct_id=user, limit=limit)
    if call.out.json:
        call.out.lines(plain(one) for one in found)
        return
    entries = list(found)
    if not full or not entries:
        call.out.table(
            ["time", "message", "user", "to", "subject"],
            [
                (instant(one.time), one.message_key, one.distinct_id, one.to or one.url, one.subject or None)
                for one in entries
            ],
            empty="the inbox is empty: launch a message, or move the clock; what a live project sends does not land here",
        )
    else:
        for one in entries:
            call.out.say(Text("─" * min(call.out.console.width, 80), "dim"))
            _content(call, {name: value for name, value in plain(one).items() if value})
        sys.stdout.flush()
    if len(entries) < limit:
        _tell_of_older(call)


def _tell_of_older(call: Call) -> None:
    """Whoever has seen all that is kept is told where that is not all there was."""
    found = call.client().projects.get()
    if found.inbox_let_go:
        call.out.note(
            f"{found.inbox_let_go:,} older entries were let go of: the inbox keeps {found.inbox_limit:,}, the newest;"
            " `muster project update --inbox-limit N` changes that",
            "dim",
        )
