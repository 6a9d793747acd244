"""Promise: ARCHITECTURE.md can be followed with a finger: both journeys run through the functions it names, in its order.

A server, a worker and a mail server run in this process under a profile function that notes
each call of our functions; those that a journey names must be called one after the other, in the text's order.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

import muster
import pytest
from muster.worker import Worker

from channels.doubles.smtp import SmtpDouble
from channels.email import EmailProvider, SmtpConfig
from channels.loop import WorkerLoop
from server.config import Config
from server.main import Server

ROOT: Final = Path(__file__).parents[2]
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_REFERENCE: Final = re.compile(r"`([\w/]+\.py): (\w+)`")


class Reference(NamedTuple):
    """A function that the text names."""

    file: str
    function: str


class Tracer:
    """Calls of our functions, one after the other, in whatever thread."""

    def __init__(self) -> None:
        self.calls: list[Reference] = []
        self._codes: dict[CodeType, Reference | None] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code not in self._codes:
            self._codes[code] = _reference(code)
        reference = self._codes[code]
        if reference is not None:
            self.calls.append(reference)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note calls from here on, in this thread and those started meanwhile."""
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def start_over(self) -> None:
        """Forget what was seen."""
        self.calls.clear()


def _reference(code: CodeType) -> Reference | None:
    path = Path(code.co_filename)
    if not path.is_relative_to(ROOT) or ".venv" in path.parts:
        return None
    return Reference(str(path.relative_to(ROOT)), code.co_name)


def journey(title: str) -> list[Reference]:
    """The functions that a section of ARCHITECTURE.md names, in its order, each once."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    _, _, rest = text.partition(f"## {title}\n")
    section, _, _ = rest.partition("\n## ")
    return list(dict.fromkeys(Reference(*found) for found in _REFERENCE.findall(section)))


def follow(named: list[Reference], calls: list[Reference]) -> list[str]:
    """Where the finger loses its way: a function that the text names next and that is not called from there on."""
    place = 0
    problems = []
    for one in named:
        try:
            place = calls.index(one, place) + 1
        except ValueError:
            problems.append(
                f"{one.file}: {one.function} is " + ("called earlier only" if one in calls else "never called")
            )
    return problems


def test_the_text_names_functions() -> None:
    assert len(journey("An event's journey")) >= 12
    assert len(journey("A message's journey")) >= 18


def test_a_wrong_text_is_found() -> None:
    one, two, never = Reference("a.py", "one"), Reference("a.py", "two"), Reference("a.py", "never")
    assert follow([one, two], [two, one, two]) == []
    assert follow([two, one], [one, two]) == ["a.py: one is called earlier only"]
    assert follow([one, never], [one]) == ["a.py: never is never called"]


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    """Watches from before the server's threads start."""
    tracer = Tracer()
    with tracer.watching():
        yield tracer


@pytest.mark.timeout(120)
async def test_the_events_journey(tmp_path: Path, tracer: Tracer) -> None:
    async with Server(Config(store=tmp_path, listen="127.0.0.1:0", http_listen="")) as server:
        async with muster.AsyncClient(server.grpc_address, project="shop") as client:
            await client.projects.create("shop")
            await _message(client, "bought", 'events["Purchase"].size() > 0')
            await client.messages.launch("bought", existing="send")
            tracer.start_over()
            await asyncio.to_thread(_track, server.grpc_address)
            assert "\n".join(follow(journey("An event's journey"), tracer.calls)) == ""
            assert (await client.messages.report("bought")).counts.selected == 1


@pytest.mark.timeout(120)
async def test_the_messages_journey(tmp_path: Path, tracer: Tracer) -> None:
    async with Server(Config(store=tmp_path, listen="127.0.0.1:0", http_listen="")) as server:
        async with muster.AsyncClient(server.grpc_address, project="shop") as client:
            await client.projects.create("shop", clock="manual", start_time=START, live=True)
            for user, day in (("u1", 0), ("u2", 5)):
                await client.track_many([muster.event("Purchase", user, time=START + timedelta(days=day))])
                await client.update_many(muster.update(user, set={"$email": f"{user}@example.com"}))
            await _message(client, "lapsed", 'events["Purchase"].exists(e, e.time < now - duration("24h"))')
            tracer.start_over()
            await client.messages.launch("lapsed", existing="send")
            await client.projects.move_clock(START + timedelta(days=3))
            await _deliver(client, server.grpc_address)
            await client.projects.move_clock(START + timedelta(days=7))
            await _vanish(client, server.grpc_address)
            report = await client.messages.report("lapsed")
            assert (report.counts.sent, report.counts.ambiguous, report.reconciled) == (1, 1, True)
            assert "\n".join(follow(journey("A message's journey"), tracer.calls)) == ""


def _track(target: str) -> None:
    """A program of its own kind: blocking, through the queue."""
    with muster.Client(target, project="shop") as client:
        client.track("Purchase", "u1", {"amount": 9.5})
        assert client.flush()


async def _message(client: muster.AsyncClient, key: str, targeting: str) -> None:
    await client.messages.create(
        key, targeting=targeting, email={"from": "shop@example.com", "subject": "Hello", "text": "Hello"}
    )


async def _deliver(client: muster.AsyncClient, target: str) -> None:
    """Work until one mail is sent."""
    async with SmtpDouble() as mails, Worker(target, channel="email", project="shop") as worker:
        loop = WorkerLoop(worker, EmailProvider(SmtpConfig(host=mails.host, port=mails.port, security="none")))
        running = asyncio.create_task(loop.run())
        async with asyncio.timeout(60):
            while not (await client.messages.report("lapsed")).counts.sent:
                await asyncio.sleep(0.01)
        loop.stop()
        await running


async def _vanish(client: muster.AsyncClient, target: str) -> None:
    """Get leave for one mail, and never say what became of it."""
    async with Worker(target, channel="email", project="shop") as worker:
        batch = await anext(aiter(worker.batches()))
        assert await batch.begin([0]) == [0]
    async with asyncio.timeout(60):
        while not (await client.messages.report("lapsed")).counts.ambiguous:
            await asyncio.sleep(0.01)
