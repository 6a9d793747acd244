"""Promise: without a terminal a worker's counts are logged when they changed, at most once a minute."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from rich.text import Text

from server.cli.commands import channel
from server.cli.commands.channel import _line, _Log

NOTHING = dict.fromkeys(("begun", "sent", "failed", "ambiguous", "not_sent", "outages"), 0) | {"trouble": ""}


def test_the_log_tells_what_changed_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1_000.0
    monkeypatch.setattr(channel, "time", SimpleNamespace(monotonic=lambda: now))
    with caplog.at_level(logging.INFO, "muster.channel"):
        log = _Log()
        for second in range(300):
            now = 1_000.0 + second
            log.update(Text(f"{min(second, 200) // 10} sent"))
    assert [record.getMessage() for record in caplog.records] == [f"{number} sent" for number in (6, 12, 18, 20)]


def test_the_line_says_whether_server_and_provider_are_there() -> None:
    assert _line("email", NOTHING, True).plain == "email: connected; 0 sent, 0 failed, 0 ambiguous, 0 in flight"
    away = _line("email", NOTHING | {"begun": 3, "sent": 1, "outages": 2, "trouble": "refused"}, False).plain
    assert away == (
        "email: not connected; 1 sent, 0 failed, 0 ambiguous, 2 in flight; the provider does not answer; last: refused"
    )
