"""`asap`: how long from the commit that makes a user match until the message is on the worker's stream?

Corpus: a copy of the generated people's store, whose project runs on real time and sends for real, served by one process.
A thousand messages are live and a client process sends events at a steady rate; another is the worker that everything goes
to. One event of each request is a probe: its user comes to match one of the messages by it. And some users come due: they
have a property with an instant, and match another message from then on by time alone. Server and clients are each held to
a core of their own where there are two.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import muster
import numpy as np
from muster.messages import Webhook

from benchmarks import live, people
from benchmarks.asap_client import CARRY, DUE, PROBE, SEND, Carried, Sent, Task
from benchmarks.corpora import Corpus, copied, people_corpus
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.people import PROJECT
from benchmarks.processes import Server, cores, environment, held_to
from benchmarks.progress import Bar
from benchmarks.report import Figures, Report, Target, target
from benchmarks.rounds import WrongAnswer
from core.errors import Unavailable

NAME: Final = "asap"
ASKED: Final = (
    "1,000 live ASAP messages, 5,000 events a second: from the commit to the batch on the worker's stream p99 ≤ 250 ms; for "
    "matches caused by time alone ≤ 1 s after the moment"
)
"""The issue's words, of which each bound below is a part."""
ASKED_MESSAGES: Final = 1_000
ASKED_EVENTS: Final = 5_000
_HOOK: Final[Webhook] = {"url": "https://receiver.example.com/hook", "properties": ["country"], "batch_size": 100}
_SETTLED: Final = 1 / 5
"""The first part of the run, in which caches fill, counts for nothing."""
_PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """What goes on: for how many seconds, how many messages are live, events a second, and events a request."""

    seconds: int = 60
    messages: int = ASKED_MESSAGES
    events: int = ASKED_EVENTS
    batch: int = 250


def run(options: Options, load: Load, bar: Bar) -> Report:
    """Run it.

    Raises:
        WrongAnswer: where somebody who came to match was never on the stream.
        Unavailable: CLIENT_DIED, SERVER_DIED.
    """
    bar.stage(f"generating {options.profiles:,} people")
    who = people.generate(options.profiles, options.seed)
    corpus = people_corpus(who, options.seed, options.corpora, bar.stage, "real")
    del who
    bar.stage("copying the store")
    placed = cores()
    with copied(corpus, options.corpora) as scratch, Server(scratch / "store", scratch, placed and placed[0]) as server:
        bar.stage("starting the server")
        address = server.address()
        with held_to(placed and placed[1]), muster.Client(address, project=PROJECT, tls=False) as client:
            client.projects.update(PROJECT, sandbox=False)
            bar.stage("launching messages", load.messages)
            _launch(client, load.messages, bar)
            bar.stage(f"sending for {load.seconds} s")
            sent, carried = _at_once(options, load, address)
    return _report(options, load, corpus, figures_of(sent, carried), placed is not None)


def _launch(client: muster.Client, count: int, bar: Bar) -> None:
    """Make so many messages live, the two that are looked at among them."""
    for key, targeting in (
        (PROBE.lower(), f'events["{PROBE}"].size() > 0'),
        (DUE, f"user.{DUE} < now"),
    ):
        client.messages.create(key, targeting=targeting, webhook=_HOOK)
        client.messages.launch(key, existing="skip")
        bar.step()
    live.launch(client, max(0, count - 2), bar.step)


def _at_once(options: Options, load: Load, address: str) -> tuple[Sent, Carried]:
    tasks = [
        Task(role, address, load.seconds, options.seed, options.profiles, load.events, load.batch)
        for role in (SEND, CARRY)
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.asap_client", json.dumps(asdict(task))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        for task in tasks
    ]
    try:
        lines = [process.communicate(timeout=load.seconds + _PATIENCE_SECONDS)[0] for process in processes]
    except subprocess.TimeoutExpired:
        raise Unavailable("a client process does not end", mend="see its error above", code="CLIENT_DIED") from None
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    if any(process.returncode for process in processes):
        raise Unavailable("a client process ended early", mend="see its error above", code="CLIENT_DIED")
    sent = json.loads(lines[0])
    sent["probes"] = {user: tuple(instants) for user, instants in sent["probes"].items()}
    return Sent(**sent), Carried(**json.loads(lines[1]))


def figures_of(sent: Sent, carried: Carried) -> Figures:
    """The figures after the run has settled.

    Raises:
        WrongAnswer: where somebody who came to match was never on the stream.
    """
    counted = {user: instants for user, instants in sent.probes.items() if _settled(sent, instants[0])}
    dues = {user: at for user, at in sent.dues.items() if _settled(sent, at)}
    for kind, wanted, came in (("probes", counted, carried.probes), ("dues", dues, carried.dues)):
        missing = [user for user in wanted if user not in came]
        if missing or not wanted:
            raise WrongAnswer(f"of {len(wanted)} {kind} {len(missing)} never came, {', '.join(missing[:3])} among them")
    after_answer = np.array([carried.probes[user] - answered for user, (_, answered) in counted.items()]) * 1e3
    after_sending = np.array([carried.probes[user] - began for user, (began, _) in counted.items()]) * 1e3
    after_due = np.array([carried.dues[user] - at for user, at in dues.items()]) * 1e3
    return {
        "probes": len(counted),
        "events_per_second": sent.events / sent.seconds,
        "recipients_in_all": carried.recipients,
        **_spread("commit_to_stream", after_answer),
        **_spread("send_to_stream", after_sending),
        **_spread("moment_to_stream", after_due),
    }


def _settled(sent: Sent, at: float) -> bool:
    first = min(began for began, _ in sent.probes.values())
    return at >= first + sent.seconds * _SETTLED


def _spread(name: str, waits: Any) -> Mapping[str, float]:
    return {
        f"{name}_median_ms": float(np.median(waits)),
        f"{name}_p99_ms": float(np.percentile(waits, 99)),
        f"{name}_longest_ms": float(waits.max()),
    }


def targets(figures: Figures) -> list[Target]:
    """The issue's bounds."""
    return [
        target(
            figures,
            "commit_to_stream_p99_ms",
            "from the commit to the batch on the worker's stream p99 ≤ 250 ms",
            most=250,
        ),
        target(
            figures,
            "moment_to_stream_longest_ms",
            "for matches caused by time alone ≤ 1 s after the moment",
            most=1_000,
        ),
    ]


def _report(options: Options, load: Load, corpus: Corpus, figures: Figures, placed: bool) -> Report:
    notes = [
        "commit_to_stream: from the answer to the request with the event, which is durable by then, to the batch in the"
        " worker; send_to_stream: from sending that request; moment_to_stream: from the instant at which a user comes due",
        f"asked for: {load.events:,} events a second, {load.batch:,} a request; what was reached stands in the figures",
        f"the first {_SETTLED:.0%} of the run counts for nothing; every probe after it came",
        "the other messages' matches go to the same worker: recipients_in_all",
        "server and clients each held to a core of their own"
        if placed
        else "too few cores to hold server and clients apart",
    ]
    if (load.messages, load.events) != (ASKED_MESSAGES, ASKED_EVENTS):
        notes.append(f"the issue asks for {ASKED_MESSAGES:,} messages and {ASKED_EVENTS:,} events a second")
    return Report(
        name=NAME,
        corpus={"key": corpus.key, "profiles": options.profiles, **asdict(load)},
        seed=options.seed,
        machine=machine(),
        versions=versions("grpcio", "protobuf", "lmdb", "numpy", "pyroaring"),
        figures=figures,
        targets=targets(figures),
        notes=notes,
    )
