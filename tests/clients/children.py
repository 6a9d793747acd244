"""What processes of `test_processes.py` run."""

from __future__ import annotations

import muster


def track(target: str) -> None:
    """Track one event and end, without a word to the client."""
    client = muster.Client(target, project="shop", linger=60.0)
    client.track("child", "u1")
