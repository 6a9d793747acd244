"""`muster in-app`: what apps would show to a user, and what the user did with it."""

from __future__ import annotations

from typing import Any

import click

from server.cli.arguments import params_of
from server.cli.context import Call, pass_call
from server.cli.frame import Group


@click.group("in-app", cls=Group)
def in_app() -> None:
    """See what waits to be shown to a user, and tell what the user did."""


@in_app.command("fetch", epilog="Example: muster in-app fetch u1 --event Purchase --param amount=51.5")
@click.argument("user", metavar="USER")
@click.option("--session", default="", metavar="ID", help="the app's name of its session, for the limit of one")
@click.option("--event", default="", metavar="NAME", help="what the user has just done: only what waits for that")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="a property of that event")
@pass_call
def fetch(call: Call, user: str, session: str, event: str, params: tuple[str, ...]) -> None:
    """What USER may be shown now, the longest waiting first."""
    from server.cli.plain import instant, plain

    found = call.client().in_app.fetch(user, session_id=session, event=event, properties=params_of(params))
    if call.out.json:
        call.out.document(plain(found))
        return
    rows = [
        (
            one.message_key,
            one.content.title or one.content.body,
            _waits_for(one.content),
            instant(one.expire_time),
            one.id,
        )
        for one in found.messages
    ]
    call.out.table(["message", "shows", "at", "until", "id"], rows)
    if not rows:
        call.out.say(f"{user}: nothing waits to be shown")
    if found.HasField("remaining"):
        call.out.say(f"{found.remaining} more in this session")


def _waits_for(content: Any) -> str:
    return ", ".join(one.event for one in content.triggers) or "once"


@in_app.command("report", epilog="Example: muster in-app report 5eed.sale.0.7 clicked --link shop://sale")
@click.argument("id", metavar="ID")
@click.argument("action", type=click.Choice(["shown", "clicked", "dismissed"]))
@click.option("--session", default="", metavar="ID", help="in which it was shown")
@click.option("--link", default="", metavar="URL", help="what a click opened")
@pass_call
def report(call: Call, id: str, action: Any, session: str, link: str) -> None:
    """Tell what a user did with the message of this ID, as apps do: for trying things out."""
    import muster

    from server.cli.plain import plain

    told = call.client().in_app.report([muster.in_app_report(id, action, session_id=session, link=link)])
    if call.out.json:
        call.out.document(plain(told))
        return
    word = "accepted" if told.accepted else "known already" if told.duplicates else "of no message that could be shown"
    call.out.say(word)
