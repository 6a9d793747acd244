"""`muster project`: projects, their clocks, and whom a sandbox may really write to."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from core.errors import InvalidInput
from server.cli.arguments import instant_of, length_of
from server.cli.context import Call, pass_call
from server.cli.frame import Group
from server.cli.output import cell

_CAP: Final = re.compile(r"(?:([a-z_]+):)?(\d{1,6})/(\d{1,6})")
_RATE: Final = re.compile(r"(?:([a-z_]+):)?(\d{1,9})(?:@(\d{1,9})x(\d{1,3}(?:\.\d{1,6})?))?")
_SENDS: Final = {True: "sandbox", False: "live"}
_NAME = click.argument("name", required=False, default="")
_LATE_AFTER = click.option(
    "--late-after",
    metavar="LENGTH",
    help="an event older than this when it arrives triggers no message; 72h where nothing is said",
)
_HOLDOUT = click.option(
    "--holdout",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="how many of a hundred users are sent no message at all, to compare with",
)
_CAPS = click.option(
    "--cap",
    "caps",
    multiple=True,
    metavar="[CHANNEL:]MOST/DAYS",
    help="a user gets at most MOST messages in any DAYS days, such as 3/7 or sms:1/30; may be repeated, and replaces "
    "all caps; none: no cap any more",
)
_RATES = click.option(
    "--throughput",
    "rates",
    multiple=True,
    metavar="[CHANNEL:]N",
    help="at most N hand-offs begin in any second, such as 50 or email:20; with a ramp as email:20@2x1.5, 2 on the first "
    "day and half as many more each day; may be repeated, and replaces all; none: no bound any more",
)
_INBOX_LIMIT = click.option(
    "--inbox-limit",
    type=click.IntRange(1),
    metavar="N",
    help="how many entries the inbox keeps, the newest; 100000 where nothing is said",
)


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
@_LATE_AFTER
@_INBOX_LIMIT
@pass_call
def create(
    call: Call,
    name: str,
    clock: Any,
    start: str | None,
    time_zone: str,
    live: bool,
    allow: tuple[str, ...],
    late_after: str | None,
    inbox_limit: int | None,
) -> None:
    """Create a project: a sandbox, unless --live is given."""
    made = call.server().projects.create(
        name,
        clock=clock,
        start_time=instant_of(start, "--start") if start else None,
        time_zone=time_zone,
        live=live,
        allowed_addresses=allow,
        late_after=length_of(late_after, "--late-after") if late_after else None,
        inbox_limit=inbox_limit,
    )
    if not call.out.json:
        call.out.say(f"created {name}" + ("" if live else ", a sandbox: what it sends lands in `muster inbox`"))
        call.out.note(f"next: muster --project {name} import profiles FILE", "dim")
        return
    _show(call, made)


@project.command("list", epilog="Example: muster project list")
@pass_call
def list_(call: Call) -> None:
    """The projects that the token opens."""
    from server.cli.plain import instant, plain, word

    found = list(call.server().projects.list())
    if call.out.json:
        call.out.document([plain(one) for one in found])
        return
    call.out.table(
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


def _show(call: Call, found: Any) -> None:
    """One project, after whatever was done to it."""
    from server.cli.plain import instant, plain, word

    if call.out.json:
        call.out.document(plain(found))
        return
    call.out.facts(
        {
            "name": found.name,
            "profiles": found.profiles,
            "events": found.events,
            "sends": _SENDS[found.sandbox],
            "really sent to": ("everybody" if not found.sandbox else list(found.allowed_addresses) or "nobody"),
            "clock": word(_clock_kinds(), found.clock),
            "now": instant(found.now),
            "time zone": found.time_zone,
            "late after": str(found.late_after.ToTimedelta()),
            "inbox keeps": f"{found.inbox_limit:,}"
            + (f", let go of {found.inbox_let_go:,}" if found.inbox_let_go else ""),
            "throughput": [_rate_words(rate) for rate in found.throughput] or "no bound",
            "frequency caps": [_cap_words(cap) for cap in found.frequency_caps] or "none",
            "holdout": f"{found.holdout_percent:g}%",
            "links": _links(found.links),
            **({"in-app a session": found.in_app_per_session} if found.in_app_per_session else {}),
            "etag": found.etag,
        }
    )


def _links(links: Any) -> str:
    told = [name for name, on in (("opens", links.opens), ("clicks", links.clicks)) if on]
    return f"{links.base_url}, tell of {' and '.join(told)}" if links.base_url and told else str(links.base_url)


@project.command("get", epilog="Example: muster project get shop")
@_NAME
@pass_call
def get(call: Call, name: str) -> None:
    """One project, with its clock and counts."""
    _show(call, call.server().projects.get(call.named(name)))


@project.command("update", epilog="Example: muster project update shop --time-zone Europe/Berlin")
@_NAME
@click.option("--time-zone", metavar="ZONE", help="IANA name, such as Europe/Berlin")
@click.option("--sandbox/--live", default=None, help="whether what it sends lands in the inbox")
@_LATE_AFTER
@_INBOX_LIMIT
@_HOLDOUT
@_CAPS
@_RATES
@click.option("--links-url", metavar="URL", help="where people reach the gateway; emails have links that lead there")
@click.option("--track-opens/--no-track-opens", default=None, help="whether emails tell when they are opened")
@click.option("--track-clicks/--no-track-clicks", default=None, help="whether they tell when an address is followed")
@click.option("--rotate-link-key", is_flag=True, help="sign links anew; those of the key before stay good")
@click.option(
    "--in-app-per-session", type=int, help="most in-app messages that a user is shown in one session; 0: no limit"
)
@click.option("--etag", default="", help="refuse if the project has changed since it was read with this etag")
@pass_call
def update(
    call: Call,
    name: str,
    time_zone: str | None,
    sandbox: bool | None,
    late_after: str | None,
    inbox_limit: int | None,
    holdout: float | None,
    caps: tuple[str, ...],
    rates: tuple[str, ...],
    links_url: str | None,
    track_opens: bool | None,
    track_clicks: bool | None,
    rotate_link_key: bool,
    in_app_per_session: int | None,
    etag: str,
) -> None:
    """Change a project's settings."""
    numbers = (inbox_limit, holdout, in_app_per_session)
    settings = (
        time_zone,
        sandbox,
        late_after,
        *numbers,
        caps or None,
        rates or None,
        links_url,
        track_opens,
        track_clicks,
    )
    if all(one is None for one in settings) and not rotate_link_key:
        raise InvalidInput(
            "nothing is to be changed",
            field="OPTIONS",
            mend="give one, such as --time-zone, --inbox-limit, --holdout, --cap, --throughput, --links-url, --sandbox or --live",
            code="NOTHING_TO_DO",
        )
    changed = call.server().projects.update(
        call.named(name),
        time_zone=time_zone,
        sandbox=sandbox,
        late_after=length_of(late_after, "--late-after") if late_after else None,
        inbox_limit=inbox_limit,
        holdout_percent=holdout,
        frequency_caps=_caps_of(caps) if caps else None,
        throughput=_rates_of(rates) if rates else None,
        links_url=links_url,
        track_opens=track_opens,
        track_clicks=track_clicks,
        rotate_link_key=rotate_link_key,
        in_app_per_session=in_app_per_session,
        etag=etag,
    )
    _show(call, changed)


def _caps_of(texts: tuple[str, ...]) -> list[Any]:
    """Frequency caps as the client takes them, of texts such as `3/7` and `sms:1/30`."""
    found = []
    for text in () if texts == ("none",) else texts:
        parts = _CAP.fullmatch(text)
        if parts is None:
            raise InvalidInput(
                f"{text!r} is no frequency cap",
                field="--cap",
                mend="such as 3/7, sms:1/30, or none",
                code="FREQUENCY_CAP",
            )
        found.append({"channel": parts[1] or "", "most": int(parts[2]), "days": int(parts[3])})
    return found


def _rates_of(texts: tuple[str, ...]) -> list[Any]:
    """Throughputs as the client takes them, of texts such as `50` and `email:20@2x1.5`."""
    found = []
    for text in () if texts == ("none",) else texts:
        parts = _RATE.fullmatch(text)
        if parts is None:
            raise InvalidInput(
                f"{text!r} is no throughput",
                field="--throughput",
                mend="such as 50, email:20, email:20@2x1.5, or none",
                code="THROUGHPUT",
            )
        rate: dict[str, Any] = {"channel": parts[1] or "", "per_second": int(parts[2])}
        if parts[3]:
            rate["ramp"] = {"start": int(parts[3]), "factor": float(parts[4])}
        found.append(rate)
    return found


def _rate_words(rate: Any) -> str:
    from server.cli.timing import rate_words

    return f"{rate.channel + ': ' if rate.channel else ''}{rate_words(rate.per_second, rate)}"


def _cap_words(cap: Any) -> str:
    return f"{cap.channel + ':' if cap.channel else ''}{cap.most}/{cap.days}"


@project.command("live", epilog="Example: muster project live shop")
@_NAME
@pass_call
def live(call: Call, name: str) -> None:
    """End the sandbox: what the project sends is really sent."""
    _show(call, call.server().projects.update(call.named(name), sandbox=False))


@project.command("sandbox", epilog="Example: muster project sandbox shop")
@_NAME
@pass_call
def sandbox(call: Call, name: str) -> None:
    """Make the project a sandbox again: what it sends lands in the inbox."""
    _show(call, call.server().projects.update(call.named(name), sandbox=True))


@project.command("allow", epilog="Example: muster project allow me@example.com")
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@click.option("--remove", is_flag=True, help="take the addresses off the list instead")
@click.option("--clear", is_flag=True, help="empty the list first")
@pass_call
def allow(call: Call, addresses: tuple[str, ...], remove: bool, clear: bool) -> None:
    """Let the sandbox really send to ADDRESSes. Without any, the list is shown."""
    client, name = call.server(), call.named("")
    found = client.projects.get(name)
    if addresses or clear:
        kept = [] if clear else [one for one in found.allowed_addresses if one not in addresses]
        wanted = kept if remove else [*kept, *dict.fromkeys(addresses)]
        # With the etag: of two who change the list at once, one is told to look again.
        found = client.projects.update(name, allowed_addresses=wanted, etag=found.etag)
    if call.out.json:
        call.out.document(list(found.allowed_addresses))
        return
    for one in found.allowed_addresses:
        call.out.say(cell(one))
    if not found.allowed_addresses:
        call.out.note("the sandbox really sends to nobody: `muster project allow ADDRESS` adds someone")


@project.command("clock", epilog="Example: muster project clock --to 1998-07-01")
@click.option("--to", metavar="TIME", help="move it forward to this instant")
@click.option("--by", metavar="LENGTH", help="move it forward by so much, such as 36h or 7d")
@pass_call
def clock(call: Call, to: str | None, by: str | None) -> None:
    """Show the project's clock, or move a manual one forward, deciding on the way what time alone decides."""
    from server.cli.plain import instant, plain

    if to and by:
        raise InvalidInput("two moves at once", field="--by", mend="give one of --to and --by", code="CLOCK_MOVE")
    client, name = call.server(), call.named("")
    if not to and not by:
        _clock_now(call, client.projects.get(name))
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
    with call.out.waiting("the clock moves"):
        moved = client.projects.move_clock(wanted, project=name)
    if call.out.json:
        call.out.document(plain(moved))
        return
    call.out.say(f"now {cell(instant(moved.now))}")
    call.out.table(
        ["message", "selected on the way"],
        sorted((key, users) for key, users in moved.selected.items() if users),
        empty="nobody was selected on the way",
    )


def _clock_now(call: Call, found: Any) -> None:
    from server.cli.plain import instant, word

    kind, now = word(_clock_kinds(), found.clock), instant(found.now)
    if call.out.json:
        call.out.document({"clock": kind, "now": str(cell(now))})
        return
    call.out.facts({"clock": kind, "now": now})
