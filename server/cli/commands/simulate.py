"""`muster simulate`: what messages would do, or would have done."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.text import Text

from core.errors import InvalidInput
from server.cli.arguments import instant_of, length_of
from server.cli.campaign_file import read_campaign
from server.cli.context import Call, pass_call
from server.cli.frame import Command
from server.cli.message_file import read_message
from server.cli.output import cell

_ROWS: Final = 40
_BAR: Final = 30
_DAY: Final = 86_400
"""Seconds."""


@click.command("simulate", cls=Command, epilog="Example: muster simulate welcome --for 7d --existing send")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option(
    "--file", metavar="FILE", help="a message that is not created yet, or a draft as it is to be; -: standard input"
)
@click.option("--campaign", "campaigns", multiple=True, metavar="KEY", help="a campaign with its messages")
@click.option("--campaign-file", metavar="FILE", help="a campaign that is not created yet, or a draft as it is to be")
@click.option("--start", metavar="TIME", help="begin in the past; the present where it is not given")
@click.option("--end", metavar="TIME", help="the instant at which it ends")
@click.option("--for", "length", metavar="LENGTH", help="instead of an end, how long it lasts, such as 7d")
@click.option(
    "--existing",
    type=click.Choice(["send", "skip"]),
    help="what becomes of those who match an asap message already when it is launched",
)
@click.option(
    "--examples", type=click.IntRange(0, 50), default=3, show_default=True, help="how many of each are rendered"
)
@click.option("--step", metavar="LENGTH", help="how far the clock moves at once after the present, such as 15m")
@pass_call
def simulate(
    call: Call,
    keys: tuple[str, ...],
    file: str | None,
    campaigns: tuple[str, ...],
    campaign_file: str | None,
    start: str | None,
    end: str | None,
    length: str | None,
    existing: Any,
    examples: int,
    step: str | None,
) -> None:
    """What messages would do until an instant, or would have done: how many, when, why not. Nothing is sent or changed.

    The messages are launched at the start, unless they are live, and decided by the same code as in earnest. From a start
    in the past, what happened until now happens again; after that nothing happens but time.
    """
    from server.cli.plain import instant, plain

    draft = read_message(file) if file is not None else None
    if draft is not None and "targeting" in draft.fields:
        call.texts["message.targeting"] = draft.fields["targeting"]
    campaign = read_campaign(campaign_file) if campaign_file is not None else None
    client = call.client()
    began = instant_of(start, "--start") if start else None
    until = _end(end, length, began or instant(client.projects.get().now) or datetime.now(UTC))
    with call.out.progress() as shown:
        task = shown.add_task("deciding", total=100)
        found = client.simulation.run(
            *keys,
            end=until,
            start=began,
            draft=None if draft is None else {"key": draft.key, **draft.fields},
            campaigns=campaigns,
            campaign=None if campaign is None else {"key": campaign.key, **campaign.fields},
            existing=existing,
            examples=examples,
            step=length_of(step, "--step") if step else None,
            on_progress=lambda told: shown.update(task, completed=round(told.share * 100)),
        )
    if call.out.json:
        call.out.document(plain(found))
        return
    call.out.say(
        Text.assemble(
            f"from {cell(instant(found.start_time))} to {cell(instant(found.end_time))}",
            ("; nothing was sent or changed", "dim"),
        )
    )
    for entered in found.campaigns:
        _show_campaign(call, entered)
    for one in found.messages:
        _show(call, one)


def _end(end: str | None, length: str | None, began: datetime) -> datetime:
    if (end is None) == (length is None):
        raise InvalidInput("when it ends is not said", field="--end", mend="give one of --end and --for", code="SPAN")
    return instant_of(end, "--end") if end is not None else began + length_of(str(length), "--for")


def _show_campaign(call: Call, found: Any) -> None:
    from server.cli.plain import instant

    held_out = f", {found.control:,} of them held out" if found.control else ""
    left_out = "".join(f", {one.users:,} left out ({one.reason})" for one in found.left_out)
    call.out.say()
    call.out.say(
        Text.assemble((found.campaign.key, "bold"), f"  {found.entered:,} enter the campaign{held_out}{left_out}")
    )
    if found.entered:
        hourly = found.interval.ToTimedelta().total_seconds() < _DAY
        _bars(call, "entered", [(instant(one.time), one.users) for one in found.entered_by_interval], hourly)


def _show(call: Call, found: Any) -> None:
    from muster.v1 import message_pb2

    from server.cli.plain import instant, word

    message = found.message
    call.out.say()
    call.out.say(
        Text.assemble(
            (message.key, "bold"),
            "  ",
            cell(word(message_pb2.MessageState.DESCRIPTOR, message.state)),
            (f"  {message.pause_reason}" if message.pause_reason else "", "yellow"),
            f"  {found.selected:,} selected",
            (f" in {len(found.occurrences):,} occurrences" if len(found.occurrences) > 1 else ""),
        )
    )
    if not found.selected:
        call.out.note("nobody comes to match in that time")
        return
    call.out.table(["", "users", ""], list(_accounts(found)))
    call.out.say()
    _histogram(call, found)
    for one in found.examples:
        call.out.say()
        call.out.say(Text.assemble((f"{one.distinct_id} at {cell(instant(one.time))}", "dim")))
        call.out.facts(_rendered(one.rendered))


def _accounts(found: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for count in found.counts:
        rows.append((cell(count.state), count.users, ""))
        rows += [
            (Text(f"  {one.reason}", "dim"), one.users, Text("open: judged again later", "dim") if one.open else "")
            for one in sorted(found.reasons, key=lambda one: -one.users)
            if one.state == count.state
        ]
    return rows


def _histogram(call: Call, found: Any) -> None:
    from server.cli.plain import instant

    moments = [(instant(one.start_time), sum(count.users for count in one.counts)) for one in found.intervals]
    _bars(call, "decided", moments, found.interval.ToTimedelta().total_seconds() < _DAY)


def _bars(call: Call, heading: str, moments: list[tuple[Any, int]], hourly: bool) -> None:
    """A bar for each interval, or for each day or month where there are many."""
    formats = ["%Y-%m-%d %H:00", "%Y-%m-%d", "%Y-%m"] if hourly else ["%Y-%m-%d", "%Y-%m"]
    for form in formats:
        sums: Counter[str] = Counter()
        for moment, users in moments:
            sums[f"{moment:{form}}"] += users
        if len(sums) <= _ROWS:
            break
    most = max(sums.values())
    call.out.table(
        [heading, "users", ""],
        [(name, users, Text("█" * max(1, round(users * _BAR / most)), "cyan")) for name, users in sorted(sums.items())],
    )


def _rendered(message: Any) -> dict[str, Any]:
    """What is set of a rendered message, by name."""
    from server.cli.plain import plain

    return {name: _brief(value) for name, value in plain(message).items() if value and name != "html"}


def _brief(value: Any, most: int = 400) -> str:
    text = value if isinstance(value, str) else ", ".join(f"{name}: {one}" for name, one in value.items())
    return text if len(text) <= most else text[: most - 1] + "…"
