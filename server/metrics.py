"""What Prometheus reads of a server: calls as they end, and the engines' state at the moment of reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.messaging.effects import STATES
from server.projects import Project

_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class CallMetrics:
    """Counts calls by method and status, and their seconds by method.

    Arguments:
        registry: the server's own registry, so that two servers in one process do not mix.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter("muster_calls", "gRPC calls that ended", ("method", "code"), registry=registry)
        self._seconds = Histogram(
            "muster_call_seconds", "how long gRPC calls took", ("method",), buckets=_BUCKETS, registry=registry
        )

    def observe(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Count one ended call. `method` is the full name, such as `/muster.v1.IngestService/Track`."""
        self._calls.labels(method, code.name).inc()
        self._seconds.labels(method).observe(seconds)


@dataclass(frozen=True, slots=True)
class ProjectFigures:
    """One project at one moment.

    Arguments:
        project: its name.
        healthy: whether it takes writes.
        profiles, events: how many it holds.
        waiting: requests in the engine's queue.
        commit_seconds: how long the last durable commit took.
        deliveries: users by present state, over all messages.
    """

    project: str
    healthy: bool
    profiles: int
    events: int
    waiting: int
    commit_seconds: float
    deliveries: dict[str, int] = field(default_factory=dict)


def figures(project: Project) -> ProjectFigures:
    """A project's figures now."""
    version = project.engine.version
    deliveries = dict.fromkeys(STATES, 0)
    for definition in version.messages.all():
        for _, ledger in version.messages.occurrences(definition.key).all():
            for state in STATES:
                deliveries[state] += len(ledger.state(state))
    return ProjectFigures(
        project=project.name,
        healthy=not project.engine.health(),
        profiles=len(version.population.live),
        events=sum(table.count for table in version.population.event_tables.values()),
        waiting=project.engine.waiting,
        commit_seconds=project.engine.commit_seconds,
        deliveries={str(state): users for state, users in deliveries.items()},
    )


ReadFigures = Callable[[], Iterable[ProjectFigures]]
"""Gives the figures of all projects; called in whatever thread Prometheus' page is made."""


class ProjectCollector(Collector):
    """Reads every project's figures when Prometheus asks.

    Arguments:
        read: gives the figures of all projects.
    """

    def __init__(self, read: ReadFigures) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing up front: what there is depends on the projects."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One gauge family per figure, one sample per project (and delivery state)."""
        healthy = GaugeMetricFamily("muster_project_healthy", "1 where the project takes writes", labels=("project",))
        profiles = GaugeMetricFamily("muster_profiles", "profiles held", labels=("project",))
        events = GaugeMetricFamily("muster_events", "events held", labels=("project",))
        waiting = GaugeMetricFamily("muster_queue_depth", "requests that wait for a commit", labels=("project",))
        commit = GaugeMetricFamily("muster_commit_seconds", "time of the last durable commit", labels=("project",))
        deliveries = GaugeMetricFamily("muster_deliveries", "users by delivery state", labels=("project", "state"))
        for figures in self._read():
            name = (figures.project,)
            healthy.add_metric(name, float(figures.healthy))
            profiles.add_metric(name, figures.profiles)
            events.add_metric(name, figures.events)
            waiting.add_metric(name, figures.waiting)
            commit.add_metric(name, figures.commit_seconds)
            for state, users in figures.deliveries.items():
                deliveries.add_metric((figures.project, state), users)
        yield from (healthy, profiles, events, waiting, commit, deliveries)
