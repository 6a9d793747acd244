"""Promise: whoever watches a worker's log learns that the provider is away or refuses, without a line for each user."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence

import pytest

from channels.loop import LoopConfig, WorkerLoop
from channels.pace import PaceConfig
from channels.provider import Batch, Outcome, Recipient, Result
from tests.channels.offers import Stream, email, offer

PACE = PaceConfig(first_delay=0.001, longest_delay=0.002)


class Scripted:
    """A provider that answers one user after the other as it is told, the rest with the last word."""

    concurrency = 1

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = list(outcomes)

    async def send(self, batch: Batch, recipients: Sequence[Recipient]) -> AsyncGenerator[Result, None]:
        for recipient in recipients:
            outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
            await asyncio.sleep(0)
            yield Result(recipient.idempotency_key, outcome, f"550 word on {recipient.distinct_id}")

    def stop(self) -> None:
        """Nothing waits."""

    async def close(self) -> None:
        """Nothing is open."""


async def lines_of(caplog: pytest.LogCaptureFixture, users: int, *outcomes: Outcome) -> list[tuple[str, str]]:
    """What is logged while so many users are sent to."""
    recipients = [email(number) for number in range(users)]
    with caplog.at_level(logging.INFO, "channels"):
        await WorkerLoop(Stream(offer(recipients)), Scripted(*outcomes), LoopConfig(pace=PACE)).run()
    return [(record.levelname, record.getMessage()) for record in caplog.records]


async def test_a_provider_that_is_away_is_warned_of_once_and_its_return_told(caplog: pytest.LogCaptureFixture) -> None:
    assert await lines_of(caplog, 9, *[Outcome.NOT_SENT] * 5, Outcome.SENT) == [
        ("WARNING", "the provider cannot be reached, and is tried again: 550 word on u0"),
        ("INFO", "the provider answers"),
    ]


async def test_refusals_are_warned_of_once_with_the_providers_word(caplog: pytest.LogCaptureFixture) -> None:
    assert await lines_of(caplog, 9, Outcome.FAILED) == [
        ("WARNING", "the provider refused 1 so far; the last: 550 word on u0")
    ]


async def test_a_hand_off_that_became_ambiguous_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    ((level, line),) = await lines_of(caplog, 9, Outcome.AMBIGUOUS)
    assert level == "WARNING" and "ambiguous" in line


async def test_nothing_is_said_while_all_goes_well(caplog: pytest.LogCaptureFixture) -> None:
    assert await lines_of(caplog, 9, Outcome.SENT) == []
