"""A real server as a process of its own, on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from muster.environment import PREFIX
from muster.errors import Unavailable

_POLL_SECONDS: Final = 0.02
_LOG_TAIL: Final = 4_000  # characters


class ServerProcess:
    """A running server. Made by `start_server`; ends with `stop`, `kill`, or as a context manager.

    Arguments:
        process: the running program.
        target: address of its gRPC services.
        http: address of its HTTP gateway.
        store: the folder that holds its projects.
        log: what it writes to stdout and stderr.
    """

    def __init__(self, process: subprocess.Popen[bytes], target: str, http: str, store: Path, log: Path) -> None:
        self.process = process
        self.target = target
        self.http = http
        self.store = store
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def stop(self, timeout: float = 15.0) -> None:
        """End it in good order; after so many seconds, kill it."""
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()


def start_server(
    store: Path | str,
    *,
    options: Sequence[str] = (),
    listen: str = "127.0.0.1:0",
    environ: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> ServerProcess:
    """Start a server on a store and wait until it serves.

    Arguments:
        store: folder of the projects; made where it is absent. Files of the run stand beside it.
        options: further ones of `muster serve`, such as `["--webhook"]`.
        listen: address of the gRPC services; port 0 takes a free one.
        environ: variables in addition to this process's own; of those, `MUSTER_…` are left out, for they may speak
            of a real server and its mail.
        timeout: seconds.

    Raises:
        Unavailable: SERVER_NOT_STARTED, with the end of the server's log.

    Example::

        with start_server(tmp_path / "store") as server, muster.Client(server.target, project="shop") as client:
            client.projects.create("shop", clock="manual")
    """
    store = Path(store)
    store.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{store.name}-run-", dir=store.parent))
    ready, log = scratch / "ready", scratch / "log"
    command = [
        *(sys.executable, "-m", "server.cli", "serve"),
        *("--store", str(store), "--listen", listen, "--http-listen", "127.0.0.1:0", "--ready-file", str(ready)),
        *options,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
            | dict(environ or {}),
        )
    try:
        target, http = _await_ready(process, ready, log, timeout)
    except BaseException:
        process.send_signal(signal.SIGKILL)
        process.wait()
        raise
    return ServerProcess(process, target, http, store, log)


def _await_ready(process: subprocess.Popen[bytes], ready: Path, log: Path, timeout: float) -> tuple[str, str]:
    """The two addresses, once the server has written them."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if ready.exists():
            lines = ready.read_text("utf-8").splitlines()
            if lines:
                return lines[0], lines[1] if len(lines) > 1 else ""
        if process.poll() is not None:
            break
        time.sleep(_POLL_SECONDS)
    state = f"it ended with status {process.returncode}" if process.returncode is not None else f"after {timeout:g} s"
    raise Unavailable(
        f"the server did not start: {state}\n{log.read_text('utf-8', 'replace')[-_LOG_TAIL:]}",
        mend="install muster-server beside this package",
        code="SERVER_NOT_STARTED",
    )
