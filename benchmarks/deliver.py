"""`deliver`: how many recipients a second go from the queue over the stream to a worker and back as durable acknowledgements?

Corpus: a copy of the generated people's store, served by one process. Messages are launched first, so that their queues
are full; then a worker process of the Python SDK, which does nothing with what it gets, takes all of one message at a time:
batches rendered and offered, leave to begin asked and granted durably, each recipient acknowledged, and that durable, too.
Two messages take turns by round: a webhook whose requests hold many users with two properties each, and one with a body of
five properties templated for each user. Server and worker are each held to a core of their own where there are two. In the
end every user must have been acknowledged exactly once, and the reports must say so.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import muster
import numpy as np
from muster.messages import Webhook

from benchmarks import people
from benchmarks.corpora import Corpus, copied, people_corpus
from benchmarks.deliver_worker import Delivered, Task
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.people import PROJECT, People
from benchmarks.processes import Server, cores, environment, held_to, processor_seconds
from benchmarks.progress import Bar
from benchmarks.report import Figures, Report, target
from benchmarks.rounds import WrongAnswer
from core.errors import Unavailable

NAME: Final = "deliver"
ASKED: Final = (
    "queue → stream → a worker that does nothing → durable acknowledgement: at least 100,000 recipients a second"
)
"""The issue's words, of which the bound below is a part."""
SHARED: Final = "shared"
TEMPLATED: Final = "templated"
CONTENTS: Final[Mapping[str, Webhook]] = {
    SHARED: {"url": "https://receiver.example.com/hook", "properties": ["country", "plan"], "batch_size": 500},
    TEMPLATED: {
        "url": "https://receiver.example.com/users",
        "body": '{"country": "{{ user.country }}", "plan": "{{ user.plan }}", "age": {{ user.age }},'
        ' "spent": {{ user.ltv }}, "mail": "{{ user.email | default("none") }}"}',
    },
}
_PATIENCE_SECONDS: Final = 600.0
_CREDIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Round:
    """What a worker measured, and the server's processor time meanwhile."""

    worker: Delivered
    server_seconds: float


def key_of(kind: str, number: int) -> str:
    """A round's message."""
    return f"{kind}-{number}"


def bound_of(who: People, recipients: int) -> float:
    """The amount in dollars below which nobody of the audience has spent: about so many have spent more."""
    return float(np.sort(who.ltv)[-min(recipients, len(who))])


def run(options: Options, recipients: int, bar: Bar) -> Report:
    """Run it.

    Raises:
        WrongAnswer: where somebody was not acknowledged, or twice.
        Unavailable: CLIENT_DIED, SERVER_DIED.
    """
    bar.stage(f"generating {options.profiles:,} people")
    who = people.generate(options.profiles, options.seed)
    corpus = people_corpus(who, options.seed, options.corpora, bar.stage)
    bound = bound_of(who, recipients)
    expected = int(np.count_nonzero(who.ltv >= bound))
    del who
    bar.stage("copying the store")
    placed = cores()
    rounds: dict[str, list[Round]] = {kind: [] for kind in CONTENTS}
    with copied(corpus, options.corpora) as scratch, Server(scratch / "store", scratch, placed and placed[0]) as server:
        bar.stage("starting the server")
        address = server.address()
        with muster.Client(address, project=PROJECT, tls=False) as client:
            client.projects.update(PROJECT, sandbox=False)
            bar.stage("delivering in turn", len(CONTENTS) * (options.rounds + 1))
            for number in range(options.rounds + 1):
                for kind in CONTENTS:
                    done = _deliver(client, address, server.pid, kind, number, bound, expected, placed)
                    if number:
                        rounds[kind].append(done)
                    bar.step()
    return _report(options, recipients, corpus, figures_of(rounds, expected), placed is not None)


def _deliver(
    client: muster.Client,
    address: str,
    pid: int,
    kind: str,
    number: int,
    bound: float,
    expected: int,
    placed: tuple[int, int] | None,
) -> Round:
    """Queue a round's message, have all of it carried, and check what the report says of it."""
    key = key_of(kind, number)
    client.messages.create(key, targeting=f"user.ltv >= {bound}", webhook=CONTENTS[kind])
    client.messages.launch(key, existing="send")
    before = processor_seconds(pid)
    done = _carry(Task(address, expected, _CREDIT), placed)
    busy = processor_seconds(pid) - before
    report = client.messages.report(key)
    if not report.reconciled or (report.counts.selected, report.counts.sent) != (expected, expected):
        raise WrongAnswer(f"{key}: of {expected} users {report.counts.sent} were sent to; {'; '.join(report.problems)}")
    if (done.acknowledged, done.keys) != (expected, expected):
        raise WrongAnswer(
            f"{key}: the worker acknowledged {done.acknowledged} hand-offs of {done.keys} keys, of {expected} users"
        )
    client.messages.end(key)
    return Round(done, busy)


def _carry(task: Task, placed: tuple[int, int] | None) -> Delivered:
    with held_to(placed and placed[1]):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.deliver_worker", json.dumps(asdict(task))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )
    try:
        line = process.communicate(timeout=_PATIENCE_SECONDS)[0]
    except subprocess.TimeoutExpired:
        raise Unavailable("the worker does not end", mend="see its error above", code="CLIENT_DIED") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise Unavailable("the worker ended early", mend="see its error above", code="CLIENT_DIED")
    return Delivered(**json.loads(line))


def figures_of(rounds: Mapping[str, Sequence[Round]], recipients: int) -> Figures:
    """Rates of all rounds."""
    figures: Figures = {"recipients": recipients}
    for kind, done in rounds.items():
        rates = [recipients / one.worker.seconds for one in done]
        figures[f"{kind}_per_second_median"] = statistics.median(rates)
        figures[f"{kind}_per_second_best"] = max(rates)
        figures[f"{kind}_worker_us_a_recipient"] = (
            statistics.median(one.worker.worker_seconds for one in done) / recipients * 1e6
        )
        figures[f"{kind}_server_us_a_recipient"] = (
            statistics.median(one.server_seconds for one in done) / recipients * 1e6
        )
    return figures


def _report(options: Options, recipients: int, corpus: Corpus, figures: Figures, placed: bool) -> Report:
    bound = "at least 100,000 recipients a second"
    return Report(
        name=NAME,
        corpus={
            "key": corpus.key,
            "profiles": options.profiles,
            "recipients": recipients,
            "rounds": options.rounds,
        },
        seed=options.seed,
        machine=machine(),
        versions=versions("grpcio", "protobuf", "lmdb", "jinja2", "pyroaring"),
        figures=figures,
        targets=[target(figures, f"{SHARED}_per_second_median", bound, least=100_000)],
        aims=[target(figures, f"{TEMPLATED}_per_second_median", bound, least=100_000)],
        notes=[
            "from the worker's hello until its last acknowledgement is on the server's disk, the queue being full before;"
            " medians after one untimed round",
            "shared: a webhook's requests hold 500 users with two properties each; templated: a JSON body of five properties"
            " for each user",
            "worker_us and server_us_a_recipient: processor time of the SDK's worker and of the server",
            "every user was acknowledged exactly once, and the reports say so",
            "server and worker each held to a core of its own"
            if placed
            else "too few cores to hold server and worker apart",
        ],
    )
