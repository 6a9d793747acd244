"""Promises: the end of a process sends what was tracked; a client may be used on both sides of a fork."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.clients.fakes import FakeServer

Run = Callable[[str], str]


@pytest.fixture
def run(fake: FakeServer) -> Run:
    """Runs a program of its own against the fake server; what it prints."""

    def run(program: str) -> str:
        head = (
            "import os, sys, threading, time, muster\n"
            "client = muster.Client(sys.argv[1], project='shop', linger=60.0)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", head + program, fake.target], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def names(fake: FakeServer) -> list[str]:
    return sorted(event.name for event in fake.ingest.taken)


def test_the_end_of_the_process_flushes(fake: FakeServer, run: Run) -> None:
    run("for number in range(100): client.track('A', f'u{number}')")
    assert names(fake) == ["A"] * 100


def test_an_exception_that_ends_the_process_flushes_too(fake: FakeServer, run: Run) -> None:
    run("client.track('A', 'u1')\ntry: raise ValueError\nexcept ValueError: sys.exit(0)")
    assert names(fake) == ["A"]


def test_the_asyncio_client_flushes_at_the_end_though_its_loop_is_gone(fake: FakeServer, run: Run) -> None:
    run(
        "import asyncio\n"
        "other = muster.AsyncClient(sys.argv[1], project='shop', linger=60.0)\n"
        "async def main(): other.track('A', 'u1')\n"
        "asyncio.run(main())"
    )
    assert names(fake) == ["A"]


def test_the_end_of_the_process_does_not_wait_for_ever(fake: FakeServer, run: Run) -> None:
    fake.ingest.gate.clear()
    run("client._queue.options = muster.queue.QueueOptions(exit_timeout=0.3)\nclient.track('A', 'u1')")


def test_a_forked_child_sends_its_own_and_not_its_parents(fake: FakeServer, run: Run) -> None:
    run(
        "client.track('first', 'u1')\n"
        "client.flush()\n"
        "client.track('parent', 'u1')\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    assert client.pending == 0\n"
        "    client.track('child', 'u1')\n"
        "    assert client.flush(20)\n"
        "    client.merge_users('a', 'b')\n"
        "    os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "assert client.pending == 1\n"
    )
    assert names(fake) == ["child", "first", "parent"]


def test_forks_amid_calls_of_other_threads(fake: FakeServer, run: Run) -> None:
    output = run(
        "stop = threading.Event()\n"
        "def busy():\n"
        "    while not stop.is_set():\n"
        "        client.track('parent', 'u1')\n"
        "        client.merge_users('a', 'b')\n"
        "threads = [threading.Thread(target=busy) for _ in range(2)]\n"
        "for thread in threads: thread.start()\n"
        "for number in range(8):\n"
        "    time.sleep(0.02)\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        client.track('child', 'u1')\n"
        "        os._exit(0 if client.flush(20) and client.merge_users('a', 'b') else 1)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "stop.set()\n"
        "for thread in threads: thread.join()\n"
        "print(client.flush(20), client.dropped)\n"
    )
    assert output == "True 0\n"
    assert names(fake).count("child") == 8


def test_a_fork_amid_an_import_ends_neither(fake: FakeServer, run: Run) -> None:
    output = run(
        "stop, done = threading.Event(), []\n"
        "def records():\n"
        "    number = 0\n"
        "    while not stop.is_set():\n"
        "        yield muster.event('A', 'u1', insert_id=str(number))\n"
        "        number += 1\n"
        "        time.sleep(0.0001)\n"
        "thread = threading.Thread(target=lambda: done.append(client.import_records(records(), batch=50, import_id='x')))\n"
        "thread.start()\n"
        "for number in range(4):\n"
        "    time.sleep(0.1)\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os._exit(0 if client.profiles.get('u1').distinct_id == 'u1' else 1)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "stop.set()\n"
        "thread.join()\n"
        "print(done[0].offset, done[0].accepted + done[0].unreported)"
    )
    offset, told = map(int, output.split())
    assert offset == told == len(fake.ingest.imported["x"]) > 0


def test_a_fork_does_not_wait_for_a_call_that_hangs_and_the_call_goes_on(fake: FakeServer, run: Run) -> None:
    fake.ingest.gate.clear()
    output = run(
        "done = []\n"
        "thread = threading.Thread(target=lambda: done.append(client.merge_users('a', 'b')))\n"
        "thread.start()\n"
        "time.sleep(0.3)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(0 if client.profiles.get('u1').distinct_id == 'u1' else 1)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "print('child', flush=True)\n"
        "thread.join(0.1)\n"
        "print(thread.is_alive())\n"
        "os._exit(0)"
    )
    assert output == "child\nTrue\n"
    assert len({request.request_id for request in fake.ingest.requests}) == 1, "it is the same call, tried again"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_flush_at_their_end(fake: FakeServer, run: Run, method: str) -> None:
    if method == "fork":
        run(
            "import multiprocessing\n"
            "client.track('parent', 'u1')\n"
            "child = multiprocessing.get_context('fork').Process(target=lambda: client.track('child', 'u1'))\n"
            "child.start()\n"
            "child.join(30)\n"
            "assert child.exitcode == 0\n"
        )
        assert names(fake) == ["child", "parent"]
    else:
        run(
            "import multiprocessing\n"
            "from tests.clients import children\n"
            f"context = multiprocessing.get_context({method!r})\n"
            "child = context.Process(target=children.track, args=(sys.argv[1],))\n"
            "child.start()\n"
            "child.join(30)\n"
            "assert child.exitcode == 0\n"
        )
        assert names(fake) == ["child"]
