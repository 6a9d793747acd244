"""`muster project`: projects, their clocks, and whom a sandbox may really write to."""

from __future__ import annotations

from typing import Any, Final

import click

from core.errors import InvalidInput
from server.cli.arguments import instant_of, length_of
from server.cli.context import Session, pass_session
from server.cli.frame import Group
from server.cli.output import cell

_SENDS: Final = {True: "sandbox", False: "live"}
_NAME = click.argument("name", required=False, default="")


@click.group("project", cls=Group)
def project() -> None:
    """Create projects, move their clocks, and let them send for real."""


@project.command("create", epilog="Example: muster project create shop --clock manual --start 1997-01-01")
@click.argument("name")
@click.option(
    "--clock",
    type=click.Choice(["real", "manual"]),
    default="real",
    show_default=True,
    help="manual: stands still until it is moved",
)
@click.option("--start", metavar="TIME", help="where a manual clock starts; the server's time where it is not given")
@click.option(
    "--time-zone", default="", metavar="ZONE", help="IANA name, such as Europe/Berlin; UTC where it is not given"
)
@click.option("--live", is_flag=True, help="send for real from the beginning, without a sandbox")
@click.option("--allow", multiple=True, metavar="ADDRESS", help="an address that the sandbox really sends to")
@pass_session
def create(
    session: Session, name: str, clock: Any, start: str | None, time_zone: str, live: bool, allow: tuple[str, ...]
) -> None:
    """Create a project: a sandbox, unless --live is given."""
    made = session.server().projects.create(
        name,
        clock=clock,
        start_time=instant_of(start, "--start") if start else None,
        time_zone=time_zone,
        live=live,
        allowed_addresses=allow,
    )
    if not session.out.json:
        session.out.say(f"created {name}" + ("" if live else ", a sandbox: what it sends lands in `muster inbox`"))
        session.out.note(f"next: muster --project {name} import profiles FILE", "dim")
        return
    _show(session, made)


@project.command("list", epilog="Example: muster project list")
@pass_session
def list_(session: Session) -> None:
    """The projects that the token opens."""
    from server.cli.plain import instant, plain, word

    found = list(session.server().projects.list())
    if session.out.json:
        session.out.document([plain(one) for one in found])
        return
    session.out.table(
        ["name", "profiles", "events", "sends", "clock", "now", "zone"],
        [
            (
                one.name,
                one.profiles,
                one.events,
                _SENDS[one.sandbox],
                word(_clock_kinds(), one.clock),
                instant(one.now),
                one.time_zone,
            )
            for one in found
        ],
        empty="there is no project yet: `muster project create NAME` makes one",
    )


def _clock_kinds() -> Any:
    from muster.v1 import project_pb2

    return project_pb2.ClockKind.DESCRIPTOR


def _show(session: Session, found: Any) -> None:
    """One project, after whatever was done to it."""
    from server.cli.plain import instant, plain, word

    if session.out.json:
        session.out.document(plain(found))
        return
    session.out.facts(
        {
            "name": found.name,
            "profiles": found.profiles,
            "events": found.events,
            "sends": _SENDS[found.sandbox],
            "really sent to": ("everybody" if not found.sandbox else list(found.allowed_addresses) or "nobody"),
            "clock": word(_clock_kinds(), found.clock),
            "now": instant(found.now),
            "time zone": found.time_zone,
            "etag": found.etag,
        }
    )


@project.command("get", epilog="Example: muster project get shop")
@_NAME
@pass_session
def get(session: Session, name: str) -> None:
    """One project, with its clock and counts."""
    _show(session, session.server().projects.get(session.named(name)))


@project.command("update", epilog="Example: muster project update shop --time-zone Europe/Berlin")
@_NAME
@click.option("--time-zone", metavar="ZONE", help="IANA name, such as Europe/Berlin")
@click.option("--sandbox/--live", default=None, help="whether what it sends lands in the inbox")
@click.option("--etag", default="", help="refuse if the project has changed since it was read with this etag")
@pass_session
def update(session: Session, name: str, time_zone: str | None, sandbox: bool | None, etag: str) -> None:
    """Change a project's settings."""
    if time_zone is None and sandbox is None:
        raise InvalidInput(
            "nothing is to be changed",
            field="OPTIONS",
            mend="give --time-zone, --sandbox or --live",
            code="NOTHING_TO_DO",
        )
    changed = session.server().projects.update(session.named(name), time_zone=time_zone, sandbox=sandbox, etag=etag)
    _show(session, changed)


@project.command("live", epilog="Example: muster project live shop")
@_NAME
@pass_session
def live(session: Session, name: str) -> None:
    """End the sandbox: what the project sends is really sent."""
    _show(session, session.server().projects.update(session.named(name), sandbox=False))


@project.command("sandbox", epilog="Example: muster project sandbox shop")
@_NAME
@pass_session
def sandbox(session: Session, name: str) -> None:
    """Make the project a sandbox again: what it sends lands in the inbox."""
    _show(session, session.server().projects.update(session.named(name), sandbox=True))


@project.command("allow", epilog="Example: muster project allow me@example.com")
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@click.option("--remove", is_flag=True, help="take the addresses off the list instead")
@click.option("--clear", is_flag=True, help="empty the list first")
@pass_session
def allow(session: Session, addresses: tuple[str, ...], remove: bool, clear: bool) -> None:
    """Let the sandbox really send to ADDRESSes. Without any, the list is shown."""
    client, name = session.server(), session.named("")
    found = client.projects.get(name)
    if addresses or clear:
        kept = [] if clear else [one for one in found.allowed_addresses if one not in addresses]
        wanted = kept if remove else [*kept, *dict.fromkeys(addresses)]
        # With the etag: of two who change the list at once, one is told to look again.
        found = client.projects.update(name, allowed_addresses=wanted, etag=found.etag)
    if session.out.json:
        session.out.document(list(found.allowed_addresses))
        return
    for one in found.allowed_addresses:
        session.out.say(cell(one))
    if not found.allowed_addresses:
        session.out.note("the sandbox really sends to nobody: `muster project allow ADDRESS` adds someone")


@project.command("clock", epilog="Example: muster project clock --to 1998-07-01")
@click.option("--to", metavar="TIME", help="move it forward to this instant")
@click.option("--by", metavar="LENGTH", help="move it forward by so much, such as 36h or 7d")
@pass_session
def clock(session: Session, to: str | None, by: str | None) -> None:
    """Show the project's clock, or move a manual one forward, deciding on the way what time alone decides."""
    from server.cli.plain import instant, plain

    if to and by:
        raise InvalidInput("two moves at once", field="--by", mend="give one of --to and --by", code="CLOCK_MOVE")
    client, name = session.server(), session.named("")
    if not to and not by:
        _clock_now(session, client.projects.get(name))
        return
    if to:
        wanted = instant_of(to, "--to")
    else:
        now = instant(client.projects.get(name).now)
        assert now is not None
        try:
            wanted = now + length_of(str(by), "--by")
        except OverflowError as error:
            raise InvalidInput(f"{by} is too far", field="--by", mend="to the year 9999", code="CLOCK_MOVE") from error
    with session.out.waiting("the clock moves"):
        moved = client.projects.move_clock(wanted, project=name)
    if session.out.json:
        session.out.document(plain(moved))
        return
    session.out.say(f"now {cell(instant(moved.now))}")
    session.out.table(
        ["message", "selected on the way"],
        sorted((key, users) for key, users in moved.selected.items() if users),
        empty="nobody was selected on the way",
    )


def _clock_now(session: Session, found: Any) -> None:
    from server.cli.plain import instant, word

    kind, now = word(_clock_kinds(), found.clock), instant(found.now)
    if session.out.json:
        session.out.document({"clock": kind, "now": str(cell(now))})
        return
    session.out.facts({"clock": kind, "now": now})
