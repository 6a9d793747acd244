"""The two processes of a measurement over gRPC, each on a core of its own where the system can hold it there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Final

from benchmarks.ingest_client import Measured, Task
from core.errors import Unavailable

_START_SECONDS: Final = 600.0  # a large store is read at start
_ANSWER_SECONDS: Final = 30.0
_LAST_LINES: Final = 5


def cores() -> tuple[int, int] | None:
    """One core for the server and one for the client; None where they cannot be had."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = sorted(affinity(0)) if affinity else []
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


@contextmanager
def held_to(core: int | None) -> Iterator[None]:
    """This thread, and the threads and processes started within, stay on the core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def processor_seconds(pid: int) -> float:
    """What a process has used of processors so far, in itself and in the system; where this is not told, 0.

    Arguments:
        pid: of a process that runs.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def environment() -> Mapping[str, str]:
    """The present one, without what would configure the server."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MUSTER_")}


class Server:
    """`muster serve` over a store, with its defaults, on a free port of the loopback. A context manager that ends it."""

    def __init__(self, store: Path, scratch: Path, core: int | None, group: Path | None = None) -> None:
        """Start it.

        Arguments:
            scratch: a folder of this server alone, for its log and its address.
            core: the one it is held to; None for all.
            group: file of a control group that it enters first: see `benchmarks.limits`.
        """
        enter = () if group is None else ("/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group))
        self._ready = scratch / "ready"
        self._log = scratch / "server.log"
        with held_to(core), self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *enter,
                    *(sys.executable, "-m", "server.cli", "serve", "--store", str(store), "--listen", "127.0.0.1:0"),
                    *("--http-listen", "", "--ready-file", str(self._ready)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
            )

    def address(self) -> str:
        """Where it serves, once it does.

        Raises:
            Unavailable: SERVER_DIED, SERVER_SLOW.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            if self._ready.exists() and (text := self._ready.read_text(encoding="utf-8").split()):
                return text[0]
            time.sleep(0.05)
        raise Unavailable(f"the server did not serve within {_START_SECONDS:.0f} s", code="SERVER_SLOW")

    def check(self) -> None:
        """Say so where it has ended.

        Raises:
            Unavailable: SERVER_DIED, with the last that it logged.
        """
        if self._process.poll() is not None:
            raise Unavailable(f"the server ended: {self._last_lines()}", code="SERVER_DIED")

    def _last_lines(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " / ".join(lines[-_LAST_LINES:]) or "without a word"

    @property
    def pid(self) -> int:
        """Its process's number."""
        return self._process.pid

    def kill(self) -> None:
        """End it as a crash would, and wait."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.kill()


def _client_died() -> Unavailable:
    return Unavailable("the client process ended", mend="see its error above", code="CLIENT_DIED")


class Client:
    """The process of `benchmarks.ingest_client`. A context manager that ends it."""

    def __init__(self, address: str, core: int | None) -> None:
        with held_to(core):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.ingest_client", address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment(),
                text=True,
            )

    def run(self, task: Task) -> Measured:
        """One round: serialised first, then sent.

        Raises:
            Unavailable: CLIENT_DIED; what it met stands on stderr.
        """
        self._say(json.dumps(asdict(task)))
        if self._line() != "ready":
            raise Unavailable("the client process is out of step", code="CLIENT_DIED")
        self._say("go")
        return Measured(**json.loads(self._line()))

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise _client_died() from None

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise _client_died()
        return line.rstrip("\n")

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
