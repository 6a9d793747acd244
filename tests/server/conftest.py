"""A whole server in the test's own event loop, stubs to call it by, and what its refusals say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from muster.v1 import (
    audience_pb2_grpc,
    campaign_pb2_grpc,
    consent_pb2_grpc,
    delivery_pb2_grpc,
    feedback_pb2_grpc,
    history_pb2_grpc,
    in_app_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    message_pb2,
    message_pb2_grpc,
    profile_pb2_grpc,
    project_pb2,
    project_pb2_grpc,
    results_pb2_grpc,
    simulation_pb2_grpc,
    snippet_pb2_grpc,
    value_pb2,
)

from server.config import Config
from server.main import Server

PROJECT = "shop"


class Stubs:
    """Every service of one server."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.audiences: Any = audience_pb2_grpc.AudienceServiceStub(channel)
        self.campaigns: Any = campaign_pb2_grpc.CampaignServiceStub(channel)
        self.delivery: Any = delivery_pb2_grpc.DeliveryServiceStub(channel)
        self.consent: Any = consent_pb2_grpc.ConsentServiceStub(channel)
        self.snippets: Any = snippet_pb2_grpc.SnippetServiceStub(channel)
        self.feedback: Any = feedback_pb2_grpc.FeedbackServiceStub(channel)
        self.history: Any = history_pb2_grpc.HistoryServiceStub(channel)
        self.in_app: Any = in_app_pb2_grpc.InAppServiceStub(channel)
        self.ingest: Any = ingest_pb2_grpc.IngestServiceStub(channel)
        self.messages: Any = message_pb2_grpc.MessageServiceStub(channel)
        self.profiles: Any = profile_pb2_grpc.ProfileServiceStub(channel)
        self.projects: Any = project_pb2_grpc.ProjectServiceStub(channel)
        self.results: Any = results_pb2_grpc.ResultsServiceStub(channel)
        self.simulation: Any = simulation_pb2_grpc.SimulationServiceStub(channel)

    async def create(self, name: str = PROJECT, **options: Any) -> project_pb2.Project:
        """Make a project with a manual clock, live unless told otherwise."""
        given = {"clock": project_pb2.CLOCK_KIND_MANUAL, "live": True, **options}
        return (await self.projects.CreateProject(project_pb2.CreateProjectRequest(name=name, **given))).project

    async def add_users(self, count: int, project: str = PROJECT, first: int = 0) -> None:
        """Users u0 … with addresses and names."""
        await self.ingest.UpdateProfiles(
            ingest_pb2.UpdateProfilesRequest(
                project=project,
                updates=[
                    ingest_pb2.ProfileUpdate(
                        distinct_id=f"u{number}",
                        set=properties({"$email": f"u{number}@example.com", "name": f"User {number}"}),
                    )
                    for number in range(first, first + count)
                ],
            )
        )

    async def launch(self, key: str, project: str = PROJECT, **fields: Any) -> None:
        """Create and launch a message to everybody who matches."""
        message = email(key) if not fields else message_pb2.Message(key=key, targeting="true", **fields)
        if message.WhichOneof("schedule") is None:
            message.asap.SetInParent()
        await self.messages.CreateMessage(message_pb2.CreateMessageRequest(project=project, message=message))
        await self.messages.LaunchMessage(
            message_pb2.LaunchMessageRequest(project=project, key=key, existing=message_pb2.EXISTING_SEND)
        )

    async def counts(self, key: str, project: str = PROJECT) -> message_pb2.DeliveryCounts:
        """A message's users by state, after checking that they add up."""
        report = await self.messages.GetReport(message_pb2.GetReportRequest(project=project, key=key))
        assert report.reconciled, report.problems
        return report.counts


def properties(values: dict[str, str]) -> ingest_pb2.PropertyMap:
    """A map of strings."""
    return ingest_pb2.PropertyMap(properties={n: value_pb2.Value(string_value=v) for n, v in values.items()})


def email(key: str, **fields: Any) -> message_pb2.Message:
    """An email to everybody, sent as soon as they match."""
    content = message_pb2.EmailContent(
        subject="Hello {{ ${name} }}", text="Dear {{ ${name} }}", **{"from": "shop@example.com"}
    )
    given = {"targeting": "true", "asap": message_pb2.AsapSchedule(), "email": content, **fields}
    return message_pb2.Message(key=key, **given)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failed call: its status and its ErrorInfo."""

    status: grpc.StatusCode
    code: str
    field: str
    mend: str
    position: int | None
    message: str


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """What a failed call says."""
    for name, data in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(data)
            info = error_details_pb2.ErrorInfo()
            assert len(status.details) == 1 and status.details[0].Unpack(info)
            assert info.domain == "muster"
            about = info.metadata
            position = int(about["position"]) if "position" in about else None
            return Refusal(error.code(), info.reason, about["field"], about["mend"], position, status.message)
    raise AssertionError(f"no ErrorInfo in {error!r}")


async def refused(call: Awaitable[Any]) -> Refusal:
    """The refusal of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A server's configuration on free ports of loopback."""
    return Config(store=tmp_path / "store", listen="127.0.0.1:0", http_listen="127.0.0.1:0")


@pytest.fixture
async def server(config: Config) -> AsyncIterator[Server]:
    """A running server."""
    async with Server(config) as running:
        yield running


@pytest.fixture
async def stubs(server: Server) -> AsyncIterator[Stubs]:
    """Stubs of the running server."""
    async with grpc.aio.insecure_channel(server.grpc_address) as channel:
        yield Stubs(channel)
