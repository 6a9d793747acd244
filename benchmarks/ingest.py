"""`ingest`: how many events and profile updates a second does one server take over gRPC, each durable before its answer?

Corpus: a copy of the generated people's store, so every user is known and every property indexed. One server process
and one client process, each held to a core of its own where there are two. The client sends requests serialised before
the clock starts, some in flight at once, events and updates taking turns by round. Then the same once more while some
hundred messages are live, which are judged over whom each request touched, and once more after they have ended. Afterwards
the index must answer with exactly what was sent, and the server is killed with -9: what it had answered must be in its store.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import grpc
import muster
import numpy as np
from muster.v1 import audience_pb2, audience_pb2_grpc

from benchmarks import live, people
from benchmarks.corpora import Corpus, copied, people_corpus, project_folder
from benchmarks.draws import EVENT_NAMES, draw_events, draw_updates
from benchmarks.ingest_client import EVENTS, UPDATES, Measured, Task
from benchmarks.machine import machine, versions
from benchmarks.options import Options
from benchmarks.people import COUNTRIES, NOW, PLANS, PROJECT, People
from benchmarks.processes import Client, Server, cores
from benchmarks.progress import Bar
from benchmarks.report import Figures, Report, Target, target
from benchmarks.rounds import WrongAnswer
from core.engine import Engine
from core.evaluator import answers
from core.storage.store import Store

NAME: Final = "ingest"
ASKED_PROFILES: Final = 10_000_000
ASKED: Final = (
    "at least 100,000 events a second and 60,000 profile updates a second with one server core and one client core; "
    "no stall over 1 s while checkpoints run"
)
ASKED_WITH_MESSAGES: Final = "`ingest` with several hundred live messages loses at most 20%"
"""The issues' words, of which each bound below is a part."""
_PLAN: Final = "pro"
_AGE: Final = 50
_EVENT: Final = "Purchase"


@dataclass(frozen=True, slots=True)
class Load:
    """How much is sent and how.

    Arguments:
        events, updates: in each round.
        batch: records a request.
        in_flight: requests that wait for an answer at once.
        messages: that are live in the second part; 0: there is none.
    """

    events: int = 200_000
    updates: int = 120_000
    batch: int = 2_000
    in_flight: int = 4
    messages: int = 500

    @property
    def parts(self) -> int:
        """How many times all rounds are sent: without messages, with them, and without them again."""
        return 3 if self.messages else 1


def run(options: Options, load: Load, bar: Bar) -> Report:
    """Run it.

    Raises:
        WrongAnswer: where records were refused, the index does not answer with what was sent, or something answered
            is not in the store after the kill.
    """
    bar.stage(f"generating {options.profiles:,} people")
    who = people.generate(options.profiles, options.seed)
    corpus = people_corpus(who, options.seed, options.corpora, bar.stage)
    bar.stage("copying the store")
    with copied(corpus, options.corpora) as scratch:
        store = scratch / "store"
        before = _checkpoints(store)
        placed = cores()
        with Server(store, scratch, placed and placed[0]) as server:
            bar.stage("starting the server")
            address = server.address()
            with Client(address, placed and placed[1]) as client:
                rounds = _send(options, load, client, 0, bar)
                burdened, relieved = _send_with_messages(options, load, client, address, bar)
            bar.stage("asking the index")
            wanted = expected_counts(options, load, who)
            _check_server(wanted, address)
            server.kill()
        made = _checkpoints(store) - before
        bar.stage("recovering the killed server's store")
        check_store(wanted, load.events * (options.rounds + 1) * load.parts, store)
    figures = figures_of(load, rounds, made) | burden_of(rounds, burdened, relieved)
    return _report(options, load, corpus, figures, placed)


def _checkpoints(store: Path) -> int:
    """How many checkpoints the store has seen."""
    with Store.open(project_folder(store)) as opened:
        return opened.pages.checkpoints()[-1].number


def targeting(number: int) -> str:
    """A message's audience: narrow, as those of hundreds that are live at once are. Four kinds in turn: an event of some
    people, a property that changes, how often lately, and an absence."""
    place, kind = divmod(number, 4)
    name = EVENT_NAMES[place % len(EVENT_NAMES)]
    of_country = f'user.country == "{COUNTRIES[(7 * place) % len(COUNTRIES)]}"'
    match kind:
        case 0:
            return f'{of_country} && user.plan == "team" && events["{name}"].exists(e, e.amount > {150 + place % 45}.0)'
        case 1:
            return f'{of_country} && user.plan == "pro" && user.age >= {70 + place % 8}'
        case 2:
            return (
                f'{of_country} && events["{name}"].filter(e, e.time > now - duration("{24 + place % 48}h")).size() >= 3'
            )
        case _:
            return (
                f'{of_country} && user.plan == "basic" && events["Purchase"].exists(e, e.amount > {150 + place % 45}.0)'
                f' && !events["Login"].exists(e, e.time > now - duration("{12 + place % 24}h"))'
            )


def _send_with_messages(
    options: Options, load: Load, client: Client, address: str, bar: Bar
) -> tuple[dict[str, list[Measured]], dict[str, list[Measured]]]:
    """All rounds while messages are live, and all rounds after they have ended; none where there are no messages.

    The project sends for real and no worker is there: what the messages select stays in their queues.
    """
    if not load.messages:
        return {}, {}
    with muster.Client(address, project=PROJECT, tls=False) as asking:
        asking.projects.update(PROJECT, sandbox=False)
        bar.stage("launching messages", load.messages)
        live.launch(asking, load.messages, bar.step, targeting)
        burdened = _send(options, load, client, 1, bar)
        for number in range(load.messages):
            asking.messages.end(live.key_of(number))
    return burdened, _send(options, load, client, 2, bar)


def _send(options: Options, load: Load, client: Client, part: int, bar: Bar) -> dict[str, list[Measured]]:
    counts = {EVENTS: load.events, UPDATES: load.updates}
    rounds: dict[str, list[Measured]] = {kind: [] for kind in counts}
    bar.stage("sending in turn", (options.rounds + 1) * len(counts))
    for place in range(options.rounds + 1):  # round 0 is not counted: it warms the server
        number = part * (options.rounds + 1) + place
        kinds = list(counts) if number % 2 else list(reversed(counts))
        for kind in kinds:
            measured = client.run(
                Task(kind, number, counts[kind], options.profiles, options.seed, load.batch, load.in_flight)
            )
            if (measured.accepted, measured.refused, measured.duplicates) != (counts[kind], 0, 0):
                raise WrongAnswer(
                    f"round {number}: of {counts[kind]} {kind} {measured.accepted} were accepted,"
                    f" {measured.refused} refused, {measured.duplicates} taken for duplicates"
                )
            if place:
                rounds[kind].append(measured)
            bar.step()
    return rounds


def expected_counts(options: Options, load: Load, who: People) -> dict[str, int]:
    """Targeting that reads what was sent, and how many users must match it after all rounds."""
    buyers = np.zeros(len(who), bool)
    plan, age = who.plan.astype(np.int64), who.age.astype(np.int64)
    for number in range((options.rounds + 1) * load.parts):
        events = draw_events(options.seed, number, load.events, len(who))
        buyers[events.ordinals[events.names == EVENT_NAMES.index(_EVENT)]] = True
        updates = draw_updates(options.seed, number, load.updates, len(who))
        plan[updates.ordinals], age[updates.ordinals] = updates.plans, updates.ages
    return {
        f'events["{_EVENT}"].size() > 0': int(np.count_nonzero(buyers)),
        f'user.plan == "{_PLAN}"': int(np.count_nonzero(plan == PLANS.index(_PLAN))),
        f"user.age >= {_AGE}": int(np.count_nonzero(age >= _AGE)),
    }


def check_counts(wanted: Mapping[str, int], ask: Callable[[str], int], where: str) -> None:
    """Ask for every count.

    Raises:
        WrongAnswer: naming the first that differs.
    """
    for text, count in wanted.items():
        found = ask(text)
        if found != count:
            raise WrongAnswer(f"{where}: {text} counts {found}, what was sent gives {count}")


def _check_server(wanted: Mapping[str, int], address: str) -> None:
    """The index is live: it answers with everything that was acknowledged."""
    with grpc.insecure_channel(address) as channel:
        stub = audience_pb2_grpc.AudienceServiceStub(channel)
        check_counts(
            wanted,
            lambda text: int(stub.Count(audience_pb2.CountRequest(project=PROJECT, expression=text)).count),
            "the running server",
        )


def check_store(wanted: Mapping[str, int], events: int, store: Path) -> None:
    """What was acknowledged outlived the kill: so many events in all, and every count.

    Raises:
        WrongAnswer: where something is missing.
    """
    engine = Engine.open(project_folder(store), clock=lambda: NOW)
    try:
        version = engine.version
        stored = sum(table.count for table in version.population.event_tables.values())
        if stored != events:
            raise WrongAnswer(f"after the kill {stored} events are stored of {events} acknowledged")
        check_counts(wanted, lambda text: answers.count(version, text, {}).count, "after the kill")
    finally:
        engine.close()


def figures_of(load: Load, rounds: Mapping[str, Sequence[Measured]], checkpoints: int) -> Figures:
    """The figures of all rounds. `checkpoints` is how many were made meanwhile."""
    figures: Figures = {}
    for kind, sent in ((EVENTS, load.events), (UPDATES, load.updates)):
        rates = [sent / one.seconds for one in rounds[kind]]
        figures[f"{kind}_per_second_median"] = statistics.median(rates)
        figures[f"{kind}_per_second_best"] = max(rates)
        figures[f"{kind}_answer_median_ms"] = statistics.median(one.median_ms for one in rounds[kind])
        figures[f"{kind}_longest_answer_ms"] = max(one.longest_ms for one in rounds[kind])
        figures[f"{kind}_bytes_a_record"] = rounds[kind][0].sent_bytes / sent
        figures[f"{kind}_client_us_a_record"] = (
            statistics.median(one.client_seconds for one in rounds[kind]) / sent * 1e6
        )
    figures["longest_stall_ms"] = max(one.longest_ms for kind in rounds for one in rounds[kind])
    figures["checkpoints"] = checkpoints
    return figures


def burden_of(
    rounds: Mapping[str, Sequence[Measured]],
    burdened: Mapping[str, Sequence[Measured]],
    relieved: Mapping[str, Sequence[Measured]],
) -> Figures:
    """What part of the rate is left while messages are live: of the median of all rounds before and after them."""
    return {
        f"{kind}_rate_left_with_messages": statistics.median(
            one.seconds for part in (rounds, relieved) for one in part[kind]
        )
        / statistics.median(one.seconds for one in burdened[kind])
        if burdened
        else None
        for kind in (EVENTS, UPDATES)
    }


def targets(figures: Figures) -> list[Target]:
    """The issues' bounds."""
    stall = target(figures, "longest_stall_ms", "no stall over 1 s while checkpoints run", most=1_000)
    if not figures["checkpoints"]:
        stall = replace(stall, ok=None, why="no checkpoint ran: send more")
    return [
        target(figures, f"{EVENTS}_per_second_median", "at least 100,000 events a second", least=100_000),
        target(
            figures,
            f"{UPDATES}_per_second_median",
            "60,000 profile updates a second with one server core and one client core",
            least=60_000,
        ),
        stall,
        *(
            target(
                figures,
                f"{kind}_rate_left_with_messages",
                ASKED_WITH_MESSAGES,
                least=0.8,
                why="no messages were asked for",
            )
            for kind in (EVENTS, UPDATES)
        ),
    ]


def _report(options: Options, load: Load, corpus: Corpus, figures: Figures, placed: tuple[int, int] | None) -> Report:
    notes = [
        "medians of rounds, events and updates taking turns, after one round that is not counted",
        f"{load.batch:,} records a request, {load.in_flight} requests in flight, serialised before the clock starts",
        "client_us_a_record: the client's own processor time, a part of the time measured",
        "longest_stall_ms: the longest wait for any answer, checkpoints running as the server's defaults say",
        f"rate_left_with_messages: the same rounds while {load.messages:,} messages of four kinds were live and judged every"
        " user touched, over those before and after; the project sent for real without a worker",
        "afterwards the index answered with exactly what was sent, and so did the store after kill -9",
        "server and client each held to a core of its own"
        if placed
        else "too few cores to hold server and client apart",
    ]
    if options.profiles != ASKED_PROFILES:
        notes.append(f"the issue's bounds are for {ASKED_PROFILES:,} known users; this run had {options.profiles:,}")
    return Report(
        name=NAME,
        corpus={"key": corpus.key, "profiles": options.profiles, "rounds": options.rounds, **asdict(load)},
        seed=options.seed,
        machine=machine(),
        versions=versions("grpcio", "protobuf", "lmdb", "numpy", "pyroaring"),
        figures=figures,
        targets=targets(figures),
        notes=notes,
    )
