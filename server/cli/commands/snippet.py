"""`muster snippet`: pieces of templates that messages share."""

from __future__ import annotations

import click

from server.cli.context import Call, pass_call, read_text
from server.cli.frame import Group


@click.group("snippet", cls=Group)
def snippet() -> None:
    """Pieces of templates that messages share, and layouts of emails."""


@snippet.command("save", epilog="Example: muster snippet save footer footer.html")
@click.argument("key")
@click.argument("file")
@click.option("--title", default="", help="for people")
@pass_call
def save(call: Call, key: str, file: str, title: str) -> None:
    """Make the snippet KEY of the text in FILE ("-": standard input), or change it."""
    from server.cli.plain import plain

    found = call.client().snippets.save(key, read_text(file), title=title)
    if call.out.json:
        call.out.document(plain(found))
    else:
        call.out.say(f"snippet {found.key}, revision {found.revision}")


@snippet.command("list", epilog="Example: muster snippet list")
@pass_call
def list_(call: Call) -> None:
    """The snippets."""
    from server.cli.plain import plain

    found = call.client().snippets.list()
    if call.out.json:
        call.out.document([plain(one) for one in found])
        return
    call.out.table(
        ["key", "title", "revision", "characters"],
        [(one.key, one.title, one.revision, len(one.text)) for one in found],
        empty="there is none yet: muster snippet save KEY FILE",
    )


@snippet.command("get", epilog="Example: muster snippet get footer")
@click.argument("key")
@pass_call
def get(call: Call, key: str) -> None:
    """The text of the snippet KEY."""
    from server.cli.plain import plain

    found = call.client().snippets.get(key)
    if call.out.json:
        call.out.document(plain(found))
    else:
        call.out.say(found.text.rstrip("\n"))


@snippet.command("delete", epilog="Example: muster snippet delete footer")
@click.argument("key")
@pass_call
def delete(call: Call, key: str) -> None:
    """Delete a snippet that nothing uses."""
    call.client().snippets.delete(key)
    if call.out.json:
        call.out.document({"deleted": key})
    else:
        call.out.say(f"deleted {key}")
