"""`python -m benchmarks NAME`, and behind `muster bench NAME`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from benchmarks.corpora import FOLDER
from benchmarks.options import Options
from benchmarks.people import MAX_PROFILES
from benchmarks.progress import Bar
from benchmarks.question import MAX_ROUND
from benchmarks.report import Report
from core.errors import FailedPrecondition, MusterError

FAILED: Final = 1
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _common(rounds: int) -> Callable[[_Command], _Command]:
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
                default=10_000_000,
                show_default=True,
                help="How many people the corpus has.",
            ),
        ):
            command = option(command)
        return command

    return add


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Measure Muster's whole paths, beside their peers where they have any.

    Exit status: 0 where every target holds, 3 where one falls short or cannot be told, 1 where the run failed.
    """


@commands.command("audience")
@_common(rounds=9)
def _audience(as_json: bool, **options: Any) -> int:
    """From CEL text to the count of a seven-predicate audience, beside polars, DuckDB and ClickHouse."""
    _require("polars", "duckdb", "pyarrow")
    from benchmarks import audience

    with Bar(audience.NAME) as bar:
        report = audience.run(Options(**options), bar)
    return _show(report, as_json)


@commands.command("ingest")
@_common(rounds=5)
@click.option("--events", type=click.IntRange(1), default=200_000, show_default=True, help="Events in each round.")
@click.option("--updates", type=click.IntRange(1), default=120_000, show_default=True, help="Updates in each round.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=2_000, show_default=True, help="Records a request.")
@click.option("--in-flight", type=click.IntRange(1), default=4, show_default=True, help="Requests awaited at once.")
def _ingest(as_json: bool, events: int, updates: int, batch: int, in_flight: int, **options: Any) -> int:
    """Events and profile updates a second over gRPC, durable before the answer."""
    from benchmarks import ingest

    with Bar(ingest.NAME) as bar:
        report = ingest.run(Options(**options), ingest.Load(events, updates, batch, in_flight), bar)
    return _show(report, as_json)


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
            args=None if argv is None else list(argv), prog_name="python -m benchmarks", standalone_mode=False
        )
    except click.ClickException as error:
        click.echo(f"benchmarks: {error.format_message().rstrip('.')} (see `--help`)", err=True)
        return error.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return FAILED
    except MusterError as error:
        click.echo(f"{error.code}: {error}", err=True)
        return FAILED
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
