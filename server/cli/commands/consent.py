"""`muster consent`: who is not to be sent to."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from core.errors import InvalidInput
from server.cli.context import Call, pass_call
from server.cli.frame import Group, fail
from server.names import nearest

_BATCH: Final = 5_000
_SHOWN: Final = 20
_HEADINGS: Final = ("address", "email", "e-mail", "mail", "$email", "phone", "number", "mobile", "$phone")
"""Headings, in lower case, of a column that holds addresses."""

_CHANNEL = click.option(
    "--channel", type=click.Choice(["email", "sms"]), default="email", show_default=True, help="of the addresses"
)
_ANY_CHANNEL = click.option(
    "--channel", type=click.Choice(["email", "sms"]), help="of the address; of a user, only this one"
)
_REASON: Final = click.Choice(["unsubscribed", "bounced", "complained", "manual", "stop"])
_TOPIC = click.option("--topic", default="", metavar="KEY", help="only from this; otherwise from everything")
_ADDRESS = click.option("--address", metavar="ADDRESS", help="instead of USER: whoever has it")


@click.group("consent", cls=Group)
def consent() -> None:
    """Topics, unsubscriptions, and addresses that are not sent to."""


@consent.command("show", epilog="Example: muster consent show u1")
@click.argument("user", metavar="USER", required=False)
@_ADDRESS
@_ANY_CHANNEL
@pass_call
def show(call: Call, user: str | None, address: str | None, channel: str | None) -> None:
    """All that keeps USER from being sent to, or an address; without either, how many addresses there are."""
    from server.cli.plain import plain

    if user is not None and address is not None:
        raise InvalidInput("both a user and an address", field="USER", mend="give one of them", code="PERSON_REQUIRED")
    client = call.client().consent
    if user is not None:
        answer = client.of_user(user)
        if call.out.json:
            call.out.document(plain(answer))
            return
        if answer.opted_out:
            call.out.say(f"{user}: $unsubscribed keeps all email away")
        rows = [(one.address, *row) for one in answer.addresses for row in _rows(one.suppressions)]
        call.out.table(["address", "reason", "topic", "since"], rows)
        if not rows and not answer.opted_out:
            call.out.say(f"{user}: nothing keeps messages away")
        return
    if address is not None:
        found = client.suppressions_of(address, channel=channel or "email")  # type: ignore[arg-type]
        if call.out.json:
            call.out.document([plain(one) for one in found])
            return
        call.out.table(["reason", "topic", "since"], _rows(found))
        if not found:
            call.out.say(f"{address}: nothing keeps messages away")
        return
    counts = client.suppressions()
    if call.out.json:
        call.out.document([plain(one) for one in counts])
        return
    from muster.v1.consent_pb2 import SuppressionReason
    from muster.v1.delivery_pb2 import Channel

    from server.cli.plain import word

    call.out.table(
        ["channel", "reason", "topic", "addresses"],
        [
            (
                word(Channel.DESCRIPTOR, one.channel),
                word(SuppressionReason.DESCRIPTOR, one.reason),
                one.topic,
                one.addresses,
            )
            for one in counts
        ],
        empty="every address is sent to",
    )


def _rows(suppressions: Iterable[Any]) -> list[tuple[Any, ...]]:
    from muster.v1.consent_pb2 import SuppressionReason

    from server.cli.plain import instant, word

    return [(word(SuppressionReason.DESCRIPTOR, one.reason), one.topic, instant(one.since)) for one in suppressions]


@consent.command("unsubscribe", epilog="Example: muster consent unsubscribe u1 --topic news")
@click.argument("user", metavar="USER", required=False)
@_ADDRESS
@_ANY_CHANNEL
@_TOPIC
@pass_call
def unsubscribe(call: Call, user: str | None, address: str | None, channel: Any, topic: str) -> None:
    """Take USER's word, or that of whoever has an address, to hear no more."""
    count = call.client().consent.unsubscribe(user, address=address, channel=channel, topic=topic)
    _say(call, "unsubscribed", count, "unsubscribed before")


@consent.command("resubscribe", epilog="Example: muster consent resubscribe u1")
@click.argument("user", metavar="USER", required=False)
@_ADDRESS
@_ANY_CHANNEL
@_TOPIC
@pass_call
def resubscribe(call: Call, user: str | None, address: str | None, channel: Any, topic: str) -> None:
    """Take an unsubscription back, at the person's own wish."""
    count = call.client().consent.resubscribe(user, address=address, channel=channel, topic=topic)
    _say(call, "resubscribed", count, "not unsubscribed")


@consent.command("suppress", epilog="Example: muster consent suppress ann@example.com --reason complained")
@click.argument("addresses", metavar="ADDRESS…", nargs=-1, required=True)
@_CHANNEL
@click.option("--reason", type=_REASON, default="manual", show_default=True, help="why")
@_TOPIC
@pass_call
def suppress(call: Call, addresses: tuple[str, ...], channel: Any, reason: Any, topic: str) -> None:
    """Keep addresses from being sent to."""
    from server.cli.plain import plain

    answer = call.client().consent.suppress(addresses, channel=channel, reason=reason, topic=topic)
    for one in answer.refused:
        call.out.warn(f"{addresses[one.index]}: {one.message}")
    if call.out.json:
        call.out.document(plain(answer))
    else:
        call.out.say(f"suppressed {answer.added:,}; {answer.known:,} were before")
    if answer.refused:
        fail()


@consent.command("unsuppress", epilog="Example: muster consent unsuppress ann@example.com")
@click.argument("addresses", metavar="ADDRESS…", nargs=-1, required=True)
@_CHANNEL
@click.option("--reason", type=_REASON, help="only where this was why")
@_TOPIC
@pass_call
def unsuppress(call: Call, addresses: tuple[str, ...], channel: Any, reason: Any, topic: str) -> None:
    """Let addresses be sent to again."""
    count = call.client().consent.unsuppress(addresses, channel=channel, reason=reason, topic=topic)
    _say(call, "released", count, "not suppressed")


def _say(call: Call, what: str, count: int, otherwise: str) -> None:
    if call.out.json:
        call.out.document({what: count})
    else:
        call.out.say(f"{what} {count:,} address{'' if count == 1 else 'es'}" if count else f"{otherwise}")


@consent.command("import", epilog="Example: muster consent import bounced.csv --reason bounced --column Email")
@click.argument("file")
@_CHANNEL
@click.option("--reason", type=_REASON, default="manual", show_default=True, help="why")
@_TOPIC
@click.option("--column", metavar="COLUMN", help="the column of the addresses; otherwise its heading tells")
@pass_call
def import_(call: Call, file: str, channel: Any, reason: Any, topic: str, column: str | None) -> None:
    """Suppress the addresses of a CSV FILE (-: standard input): a list of one a line, or a column with a heading.

    Run again, it changes nothing that it did before.
    """
    client = call.client().consent
    added = known = refused = 0
    with (
        click.open_file(file, encoding="utf-8-sig", errors="replace") as source,
        call.out.progress(of_bytes=True) as bars,
    ):
        path = Path(file)
        bar = bars.add_task("suppressing", total=path.stat().st_size if file != "-" and path.is_file() else None)
        rows = _addresses(source, column)
        while batch := list(itertools.islice(rows, _BATCH)):
            answer = client.suppress([one for _, one in batch], channel=channel, reason=reason, topic=topic)
            added, known = added + answer.added, known + answer.known
            for one in answer.refused:
                line, address = batch[one.index]
                refused += 1
                if refused <= _SHOWN:
                    call.out.warn(f"line {line}: {address}: {one.message}")
            bars.update(bar, advance=sum(len(one.encode()) + 1 for _, one in batch))
    if call.out.json:
        call.out.document({"added": added, "known": known, "refused": refused})
    else:
        more = f"; {refused:,} are no addresses" if refused else ""
        call.out.say(f"suppressed {added:,}; {known:,} were before{more}")
    if refused:
        fail()


def _addresses(source: Iterable[str], column: str | None) -> Iterator[tuple[int, str]]:
    """The addresses of a file, each with its line.

    Raises:
        InvalidInput: COLUMN_UNKNOWN.
    """
    rows = csv.reader(source)
    first = next(rows, None)
    if first is None:
        return
    headings = [one.strip().lower() for one in first]
    if column is not None:
        if column.strip().lower() not in headings:
            near = nearest(column, first)
            raise InvalidInput(
                f"there is no column {column!r}",
                field="--column",
                mend=f"did you mean {near!r}?" if near else f"one of {', '.join(first)}",
                code="COLUMN_UNKNOWN",
            )
        place = headings.index(column.strip().lower())
    else:
        named = [place for place, heading in enumerate(headings) if heading in _HEADINGS]
        if not named and len(first) > 1:
            raise InvalidInput(
                "no heading says which column holds the addresses",
                field="--column",
                mend=f"one of {', '.join(first)}",
                code="COLUMN_UNKNOWN",
            )
        if not named:
            yield rows.line_num, first[0].strip()
        place = named[0] if named else 0
    for row in rows:
        if len(row) > place and row[place].strip():
            yield rows.line_num, row[place].strip()


@consent.group("topic", cls=Group)
def topic() -> None:
    """What people may unsubscribe from on its own."""


@topic.command("save", epilog="Example: muster consent topic save news 'Our newsletter'")
@click.argument("key")
@click.argument("title", default="")
@pass_call
def save_topic(call: Call, key: str, title: str) -> None:
    """Make the topic KEY, or name it anew; people read TITLE on the page of preferences."""
    from server.cli.plain import plain

    answer = call.client().consent.save_topic(key, title)
    if call.out.json:
        call.out.document(plain(answer))
    else:
        call.out.say(f"topic {answer.key}: {answer.title or answer.key}")


@topic.command("list", epilog="Example: muster consent topic list")
@pass_call
def list_topics(call: Call) -> None:
    """The topics."""
    from server.cli.plain import plain

    found = call.client().consent.topics()
    if call.out.json:
        call.out.document([plain(one) for one in found])
        return
    call.out.table(
        ["key", "title"],
        [(one.key, one.title) for one in found],
        empty="there is none yet: muster consent topic save KEY TITLE",
    )


@topic.command("delete", epilog="Example: muster consent topic delete news")
@click.argument("key")
@pass_call
def delete_topic(call: Call, key: str) -> None:
    """Delete a topic that no message uses, and with it who unsubscribed from it."""
    call.client().consent.delete_topic(key)
    if call.out.json:
        call.out.document({"deleted": key})
    else:
        call.out.say(f"deleted {key}")
