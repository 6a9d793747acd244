"""A real server in a process of its own, real purchases in files, and `muster` run against them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from server.cli.app import cli
from server.config import ENV_PREFIX
from server.demo import cdnow

CACHE: Final = Path(__file__).parents[3] / ".cache"
CUSTOMERS: Final = 400
_START_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Answer:
    """What a command wrote, and its status."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON values on standard output, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Muster = Callable[..., Answer]


def run(*words: object, env: Mapping[str, str] | None = None, stdin: str | bytes | None = None) -> Answer:
    """Run `muster` in this process, with only the variables given."""
    bare: dict[str, str | None] = {name: None for name in os.environ if name.startswith(ENV_PREFIX)}
    done = CliRunner().invoke(
        cli, [str(word) for word in words], env={**bare, **(env or {})}, input=stdin, prog_name="muster"
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Answer(done.exit_code, done.stdout, done.stderr)


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    address: str
    store: Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`muster serve` on free ports, with a store of its own."""
    folder = tmp_path_factory.mktemp("server")
    ready = folder / "ready"
    words = [
        "serve",
        "--store",
        folder / "store",
        "--listen",
        "127.0.0.1:0",
        "--http-listen",
        "",
        "--ready-file",
        ready,
    ]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", *map(str, words)], env=environ, stdout=log, stderr=log
        )
    try:
        started = time.monotonic()
        while not ready.exists():
            assert process.poll() is None and time.monotonic() - started < _START_SECONDS, (folder / "log").read_text()
            time.sleep(0.02)
        yield Server(ready.read_text().splitlines()[0], folder / "store")
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def muster(server: Server) -> Muster:
    """`muster` on that server; name the project with `--project` or the variable."""

    def call(*words: object, env: Mapping[str, str] | None = None, stdin: str | bytes | None = None) -> Answer:
        return run(*words, env={"MUSTER_SERVER": server.address, **(env or {})}, stdin=stdin)

    return call


@dataclass(frozen=True)
class Files:
    """CDNOW's first customers and all that they bought, as CSV."""

    customers: Path
    purchases: Path
    people: int
    events: int


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Real purchases of real customers, whose names and addresses are synthetic."""
    folder = tmp_path_factory.mktemp("files")
    source = cdnow.fetch(CACHE)
    people = cdnow.people(source)[:CUSTOMERS]
    last = people[-1].customer
    bought = list(takewhile(lambda one: one.customer <= last, cdnow.purchases(source)))
    customers, purchases = folder / "customers.csv", folder / "purchases.csv"
    with customers.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer", "First name", "mail", "Last login"])
        for number, one in enumerate(people):
            writer.writerow([one.customer, one.first_name, one.email, f"1998-06-{number % 30 + 1:02}"])
    with purchases.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer", "date", "discs", "amount"])
        for each in bought:
            writer.writerow([each.customer, each.day.date(), each.discs, each.dollars])
    return Files(customers, purchases, len(people), len(bought))


IMPORT_CUSTOMERS: Final = ("--distinct-id", "customer", "--rename", "mail=$email")
IMPORT_PURCHASES: Final = ("--distinct-id", "customer", "--event", "Purchase", "--each-row")


@pytest.fixture(scope="session")
def shop(muster: Muster, files: Files) -> Muster:
    """`muster` on a project that holds them, its clock at 1998-07-01. Tests add to it only under names of their own."""

    def call(*words: object, env: Mapping[str, str] | None = None, stdin: str | bytes | None = None) -> Answer:
        return muster(*words, env={"MUSTER_PROJECT": "shop", **(env or {})}, stdin=stdin)

    assert call("project", "create", "shop", "--clock", "manual", "--start", "1997-01-01").status == 0
    assert call("import", "profiles", files.customers, *IMPORT_CUSTOMERS).status == 0
    assert call("import", "events", files.purchases, *IMPORT_PURCHASES).status == 0
    assert call("project", "clock", "--to", "1998-07-01").status == 0
    return call
