"""Several benchmarks one after the other, each in a process of its own, so that none inherits another's memory or caches."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from benchmarks.progress import Bar
from benchmarks.report import ALL_HOLD, FALLS_SHORT
from benchmarks.results import Ran, Results

_REASON_LENGTH: Final = 300


def run(names: Sequence[str], options: Sequence[str], bar: Bar) -> Results:
    """Run benchmarks; one that fails is a result that says so.

    Arguments:
        names: what to run: a benchmark's name, and flags after it.
        options: passed on to each.
    """
    results: Results = {}
    for place, name in enumerate(names, 1):
        bar.stage(f"{place} of {len(names)}: {name}")
        results[name] = _run(name, options)
    return results


def _run(name: str, options: Sequence[str]) -> Ran:
    date = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *name.split(), "--json", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = round(time.monotonic() - started, 1)
    if done.returncode not in (ALL_HOLD, FALLS_SHORT):
        return Ran(date, seconds, None, _reason(done.returncode, done.stderr))
    try:
        return Ran(date, seconds, json.loads(done.stdout))
    except json.JSONDecodeError:
        return Ran(date, seconds, None, "it printed no report")


def _reason(status: int, stderr: str) -> str:
    """The last line a failed run said: an error is one line, a traceback ends with it."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    return f"{ended}: {lines[-1].strip()[:_REASON_LENGTH]}" if lines else ended
