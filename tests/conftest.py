"""Options of the whole suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--kills N` and `--seed N`, for tests/promises/test_kill.py."""
    parser.addoption("--kills", type=int, default=20, help="how often the real server is killed with -9")
    parser.addoption("--kill-seed", type=int, default=1997, help="seed of the moments at which it is killed")
