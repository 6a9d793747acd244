"""The processes a demo runs: Muster's server, a mail server, a webhook receiver. All on loopback, all stopped at the end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from server.config import ENV_PREFIX

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0


class DidNotStart(RuntimeError):
    """A process ended, or said nothing, before it was ready; the message ends with its last words."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a receiver took: users, repeats included; distinct idempotency keys; and the difference of the two."""

    received: int
    distinct: int
    duplicates: int


class Receiver:
    """A server that takes mails (`smtp`) or webhooks (`http`) and writes each to a file as it arrives.

    Arguments:
        kind: `smtp` or `http`.
        record: NDJSON file, one line a mail or request, with its idempotency keys in `keys`.
        words: more words for its command line.
    """

    def __init__(self, kind: str, record: Path, *words: str) -> None:
        self.record = record
        command = [sys.executable, "-m", "channels.doubles", kind, "--record", str(record), *words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise DidNotStart(f"the {kind} receiver ended with status {self._process.wait()}")
        host, _, port = line.strip().rpartition(":")
        self.host = host
        self.port = int(port)

    def lines(self) -> int:
        """Mails or requests taken so far."""
        with self.record.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))

    def records(self) -> Iterator[dict[str, Any]]:
        """What was taken, oldest first."""
        with self.record.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield json.loads(line)

    def stop(self) -> Tally:
        """Stop it and hear what it counted. Call once."""
        self._process.send_signal(signal.SIGTERM)
        out, _ = self._process.communicate(timeout=_STOP_SECONDS)
        return Tally(**json.loads(out.strip().splitlines()[-1]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Server:
    """`muster serve` on a store, on free ports; `start` it again after `kill`.

    Arguments:
        store: its folder.
        log: file that its log lines are appended to.
        options: options of `muster serve` by name, such as `smtp_port`.
    """

    def __init__(self, store: Path, log: Path, options: Mapping[str, object]) -> None:
        self._store = store
        self._log = log
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.target = "127.0.0.1:0"
        """Where it serves gRPC, `host:port`; the same after each start."""
        self.kills = 0

    def start(self) -> float:
        """Start it and wait until it serves; the seconds that took.

        Raises:
            DidNotStart: it ended first, or took longer than a minute.
        """
        started = time.monotonic()
        ready = self._store.parent / f".{self._store.name}.ready"
        ready.unlink(missing_ok=True)
        options = {
            "store": self._store,
            "listen": self.target,
            "http_listen": "127.0.0.1:0",
            "ready_file": ready,
            **self._options,
        }
        # What the user has set for a server of their own must not reach this one.
        environ = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        environ |= {ENV_PREFIX + name.upper(): str(value) for name, value in options.items()}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "serve"], env=environ, stderr=log, stdout=log
            )
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() - started > _START_SECONDS:
                self.stop()
                last = self._log.read_text("utf-8", "replace").strip().splitlines()[-5:]
                raise DidNotStart("the server did not start: " + " / ".join(last))
            time.sleep(0.01)
        self.target = ready.read_text("utf-8").splitlines()[0]
        ready.unlink()
        return time.monotonic() - started

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, no word of warning."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.kills += 1

    def stop(self) -> None:
        """End it in order, where it runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
            return
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
