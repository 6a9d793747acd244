"""`python -m benchmarks NAME`, and behind `muster bench NAME`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from benchmarks import everything, results
from benchmarks.corpora import FOLDER
from benchmarks.options import Options
from benchmarks.people import MAX_PROFILES
from benchmarks.progress import Bar
from benchmarks.question import MAX_ROUND
from benchmarks.report import ALL_HOLD, FALLS_SHORT, Report
from core.errors import FailedPrecondition
from server.cli import failures

FAILED: Final = 1
CALLED_BY: Final = "BENCHMARKS_CALLED_BY"
"""The variable in which a program that passes its arguments on says what it was called by: help shows that."""
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _common(rounds: int, profiles: int = 10_000_000) -> Callable[[_Command], _Command]:
    """The options that every benchmark has."""

    def add(command: _Command) -> _Command:
        for option in (
            click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables."),
            click.option(
                "--corpora",
                type=click.Path(path_type=Path, file_okay=False),
                default=FOLDER,
                help="Folder of cached corpora.",
            ),
            click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Of all that is drawn."),
            click.option(
                "--rounds",
                type=click.IntRange(1, MAX_ROUND),
                default=rounds,
                show_default=True,
                help="Timed rounds; figures are their medians.",
            ),
            click.option(
                "--profiles",
                type=click.IntRange(1, MAX_PROFILES),
                default=profiles,
                show_default=True,
                help="How many people the corpus has.",
            ),
        ):
            command = option(command)
        return command

    return add


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.pass_context
def commands(ctx: click.Context) -> int | None:
    """Measure Muster's whole paths, beside their peers where they have any. Without a name: all of them.

    Exit status: 0 where every target holds, 3 where one falls short or cannot be told, 1 where the run failed.
    """
    if ctx.invoked_subcommand is not None:
        return None
    status: int = ctx.invoke(_all)
    return status


def _benchmarks() -> dict[str, click.Command]:
    """The commands that give a report, by name, in the order in which they stand here."""
    return {name: one for name, one in commands.commands.items() if name not in _TOOLS}


def _runs() -> list[str]:
    """All that `all` runs: each benchmark, and each of its sweeps after it."""
    found = []
    for name, command in _benchmarks().items():
        found.append(name)
        found += [f"{name} --{one.name}" for one in command.params if one.name == _SWEEP]
    return found


_TOOLS: Final = ("all", "store", "server")
_SWEEP: Final = "sweep"


@commands.command("all")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option(
    "--results",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=results.FOLDER,
    help="Folder of results; other benchmarks' results in it stay.",
)
@click.option("--corpora", type=click.Path(path_type=Path, file_okay=False), help="Passed on, as the next ones.")
@click.option("--seed", type=click.IntRange(0))
@click.option("--rounds", type=click.IntRange(1, MAX_ROUND))
@click.option("--profiles", type=click.IntRange(1, MAX_PROFILES))
def _all(names: tuple[str, ...] = (), as_json: bool = False, folder: Path = results.FOLDER, **passed: Any) -> int:
    """Run all benchmarks, or those of some names, and write results.json, results.md and plots.

    Each runs in a process of its own. One that fails is a row that says so.
    """
    order = _runs()
    for name in names:
        if name not in _benchmarks():
            raise click.UsageError(f"there is no benchmark {name!r}: {', '.join(_benchmarks())}")
    _require("matplotlib")
    known = results.read(folder)
    options = [word for key, value in passed.items() if value is not None for word in (f"--{key}", str(value))]
    wanted = [one for one in order if not names or one.split()[0] in names]
    with Bar("benchmarks") as bar:
        fresh = everything.run(wanted, options, bar)
    together = results.merged(known, fresh, order)
    written = results.write(folder, together)
    if folder == results.FOLDER:
        results.refresh_readme(results.README, together)
    if as_json:
        click.echo(json.dumps({"runs": {name: asdict(ran) for name, ran in fresh.items()}}, ensure_ascii=False))
    else:
        results.print_table(fresh, Console())
        click.echo(f"wrote {', '.join(file.name for file in written)} to {folder}")
    if any(ran.report is None for ran in fresh.values()):
        return FAILED
    return ALL_HOLD if all(ran.holds for ran in fresh.values()) else FALLS_SHORT


@commands.command("audience")
@_common(rounds=9)
@click.option(
    "--sweep",
    is_flag=True,
    help="Many sizes, up to five times --profiles, selectivities and predicates, beside polars.",
)
def _audience(as_json: bool, sweep: bool, **options: Any) -> int:
    """From CEL text to the count of a seven-predicate audience, beside polars, DuckDB and ClickHouse."""
    _require("polars", "duckdb", "pyarrow")
    if sweep:
        from benchmarks import sweep as measured
    else:
        from benchmarks import audience as measured  # type: ignore[no-redef]

    with Bar(measured.NAME) as bar:
        report = measured.run(Options(**options), bar)
    return _show(report, as_json)


@commands.command("select")
@_common(rounds=5)
def _select(as_json: bool, **options: Any) -> int:
    """Matched users a second out through the gRPC stream, as ordinals and as distinct ids."""
    from benchmarks import select

    with Bar(select.NAME) as bar:
        report = select.run(Options(**options), bar)
    return _show(report, as_json)


@commands.command("ingest")
@_common(rounds=5)
@click.option("--events", type=click.IntRange(1), default=200_000, show_default=True, help="Events in each round.")
@click.option("--updates", type=click.IntRange(1), default=120_000, show_default=True, help="Updates in each round.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=2_000, show_default=True, help="Records a request.")
@click.option("--in-flight", type=click.IntRange(1), default=4, show_default=True, help="Requests awaited at once.")
@click.option(
    "--messages", type=click.IntRange(0), default=500, show_default=True, help="Live in a second part; 0: no such part."
)
def _ingest(as_json: bool, events: int, updates: int, batch: int, in_flight: int, messages: int, **options: Any) -> int:
    """Events and profile updates a second over gRPC, durable before the answer."""
    from benchmarks import ingest

    with Bar(ingest.NAME) as bar:
        report = ingest.run(Options(**options), ingest.Load(events, updates, batch, in_flight, messages), bar)
    return _show(report, as_json)


@commands.command("behaviour")
@_common(rounds=9)
@click.option("--events", type=click.IntRange(100), default=50_000_000, show_default=True, help="How many happened.")
def _behaviour(as_json: bool, events: int, **options: Any) -> int:
    """From CEL text to how many bought three times in 30 days and not in 7, beside DuckDB and ClickHouse."""
    _require("duckdb", "pyarrow")
    from benchmarks import behaviour

    with Bar(behaviour.NAME) as bar:
        report = behaviour.run(Options(**options), events, bar)
    return _show(report, as_json)


@commands.command("start")
@_common(rounds=5)
@click.option("--events", type=click.IntRange(100), default=50_000_000, show_default=True, help="How many happened.")
@click.option("--tail", type=click.IntRange(1), default=550_000, show_default=True, help="Events before the kill.")
def _start(as_json: bool, events: int, tail: int, **options: Any) -> int:
    """Until a server has answered a question, after a checkpoint and after kill -9."""
    from benchmarks import start

    with Bar(start.NAME) as bar:
        report = start.run(Options(**options), events, tail, bar)
    return _show(report, as_json)


@commands.command("memory")
@_common(rounds=5)
def _memory(as_json: bool, **options: Any) -> int:
    """Anonymous memory a profile of twelve properties, and serving within less memory than the store's size."""
    from benchmarks import memory

    with Bar(memory.NAME) as bar:
        report = memory.run(Options(**options), bar)
    return _show(report, as_json)


@commands.command("size")
@_common(rounds=3, profiles=20_000_000)
@click.option(
    "--events", type=click.IntRange(100), help="How many happened at the largest of three sizes.  [ten a profile]"
)
def _size(as_json: bool, events: int | None, **options: Any) -> int:
    """Bytes an event on disk and in memory, opening, the behaviour question, and the law they follow over sizes."""
    from benchmarks import size

    made = Options(**options)
    with Bar(size.NAME) as bar:
        report = size.run(made, max(100, 10 * made.profiles) if events is None else events, bar)
    return _show(report, as_json)


@commands.command("live")
@_common(rounds=1)
@click.option("--seconds", type=click.IntRange(5), default=300, show_default=True, help="For how long.")
@click.option("--messages", type=click.IntRange(0), default=1_000, show_default=True, help="Live messages.")
@click.option("--events", type=click.IntRange(1), default=2_000, show_default=True, help="Events a second.")
@click.option("--updates", type=click.IntRange(1), default=500, show_default=True, help="Profile updates a second.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Records a request.")
def _live(as_json: bool, seconds: int, messages: int, events: int, updates: int, batch: int, **options: Any) -> int:
    """Counts and memory while events arrive, a thousand messages are live and time goes on. Has no rounds."""
    from benchmarks import live

    with Bar(live.NAME) as bar:
        report = live.run(Options(**options), live.Load(seconds, messages, events, updates, batch), bar)
    return _show(report, as_json)


@commands.command("render")
@_common(rounds=5, profiles=20_000)
def _render(as_json: bool, **options: Any) -> int:
    """Texts a second from the columns of users, beside jinja2 on the same texts."""
    from benchmarks import render

    with Bar(render.NAME) as bar:
        report = render.run(Options(**options), bar)
    return _show(report, as_json)


@commands.command("decide")
@_common(rounds=5)
def _decide(as_json: bool, **options: Any) -> int:
    """Users a second that a launch decides, in ledger and queue, durable before the answer."""
    from benchmarks import decide

    with Bar(decide.NAME) as bar:
        report = decide.run(Options(**options), bar)
    return _show(report, as_json)


@commands.command("deliver")
@_common(rounds=5)
@click.option(
    "--recipients", type=click.IntRange(1), default=200_000, show_default=True, help="About so many of each message."
)
def _deliver(as_json: bool, recipients: int, **options: Any) -> int:
    """Recipients a second from the queue through the stream to a worker that does nothing, and back, durably."""
    from benchmarks import deliver

    with Bar(deliver.NAME) as bar:
        report = deliver.run(Options(**options), recipients, bar)
    return _show(report, as_json)


@commands.command("asap")
@_common(rounds=1)
@click.option("--seconds", type=click.IntRange(8), default=60, show_default=True, help="For how long.")
@click.option("--messages", type=click.IntRange(2), default=1_000, show_default=True, help="Live messages.")
@click.option("--events", type=click.IntRange(1), default=5_000, show_default=True, help="Events a second.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=250, show_default=True, help="Events a request.")
def _asap(as_json: bool, seconds: int, messages: int, events: int, batch: int, **options: Any) -> int:
    """From the commit that makes a user match to the batch on the worker's stream; and from a moment. Has no rounds."""
    from benchmarks import asap

    with Bar(asap.NAME) as bar:
        report = asap.run(Options(**options), asap.Load(seconds, messages, events, batch), bar)
    return _show(report, as_json)


def _own(command: _Command) -> _Command:
    """The options of the commands that ask one's own expressions."""
    options = (
        click.option(
            "--expr", "given", multiple=True, metavar="CEL", help="An expression; may be given several times."
        ),
        click.option(
            "--expr-file",
            "file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="A file of expressions, one a line; # begins a comment line.",
        ),
        click.option("--rounds", type=click.IntRange(1), default=20, show_default=True, help="Timed rounds."),
        click.option("--plan", "plans", is_flag=True, help="Also how each is evaluated."),
        click.option(
            "--compare",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="What --json printed earlier; status 3 where an expression has become slower.",
        ),
        click.option(
            "--slower",
            type=click.FloatRange(1),
            default=1.25,
            show_default=True,
            help="From how many times the earlier median on.",
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@commands.command("store")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--project", default="", help="Of a server's store with several.")
@_own
def _store(folder: Path, project: str, **options: Any) -> int:
    """Time your own expressions on a store that no server has open, or on a backup. Nothing is written to FOLDER."""
    return _ask_own(lambda own: own.of_store(folder, project), str(folder), **options)


@commands.command("server")
@click.option("--server", "address", metavar="ADDRESS", help="Whom to ask.  [MUSTER_SERVER]")
@click.option("--project", help="Of which project.  [MUSTER_PROJECT]")
@_own
def _server(address: str | None, project: str | None, **options: Any) -> int:
    """Time your own expressions on a running server, the way there included."""
    return _ask_own(lambda own: own.of_server(address, project), address or "server", **options)


def _ask_own(
    source: Callable[[Any], Any],
    of: str,
    *,
    given: tuple[str, ...],
    file: Path | None,
    rounds: int,
    plans: bool,
    compare: Path | None,
    slower: float,
    as_json: bool,
) -> int:
    from benchmarks import expressions as own

    texts = own.expressions(given, file)
    before = {} if compare is None else own.baseline(compare)
    with Bar("expressions") as bar:
        bar.stage(f"opening {of}")
        with source(own) as ask:
            bar.stage("asking in turn", len(texts) * (rounds + 1))
            timings = own.measure(ask, texts, rounds, bar.step)
    if as_json:
        click.echo(json.dumps(own.document(timings, of), ensure_ascii=False))
    else:
        own.print_table(timings, before, slower, plans, Console())
    return own.status(timings, before, slower)


def _require(*modules: str) -> None:
    """Refuse to run without what a benchmark compares with."""
    for name in modules:
        if find_spec(name) is None:
            raise FailedPrecondition(
                f"{name} is not installed", mend="pip install 'muster-server[bench]'", code="PEER_MISSING"
            )


def _show(report: Report, as_json: bool) -> int:
    if as_json:
        click.echo(report.to_json())
    else:
        report.print_tables(Console())
    return report.exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark that the arguments name.

    Arguments:
        argv: NAME and options; the process's own where it is None.

    Returns:
        The exit status: see `commands`, and 2 for a wrong argument.
    """
    try:
        status = commands.main(
            args=None if argv is None else list(argv),
            prog_name=os.environ.get(CALLED_BY, "python -m benchmarks"),
            standalone_mode=False,
        )
    except click.ClickException as error:
        click.echo(f"benchmarks: {error.format_message().rstrip('.')} (see `--help`)", err=True)
        return error.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return FAILED
    except Exception as error:
        known = failures.ours(error)
        if known is None:
            raise
        click.echo("\n".join([f"{known.code}: {known}", *getattr(error, "__notes__", ())]), err=True)
        return FAILED
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
