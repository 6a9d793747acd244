"""ProjectService: projects, their clocks, inboxes and backups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from google.protobuf import timestamp_pb2
from muster.v1 import project_pb2, project_pb2_grpc

from core.commands import ClockAnswer, MoveClock, UpdateSettings
from core.errors import InvalidInput
from core.limits import FrequencyCap, Throughput
from core.messaging import reading
from core.messaging.addresses import OF_USER, normalise_email, normalise_phone, read_url
from core.messaging.links import new_key
from core.settings import INBOX_LIMIT, LATE_AFTER, ClockKind, Settings
from core.version import Version
from server.auth import CALLER
from server.blocking import Pool
from server.convert import throughputs
from server.convert.times import duration, duration_micros, micros, timestamp
from server.folders import absolute
from server.paging import Pages, page_size
from server.projects import Projects

T = TypeVar("T")

_KINDS: Final[dict[int, ClockKind]] = {
    project_pb2.CLOCK_KIND_UNSPECIFIED: "real",
    project_pb2.CLOCK_KIND_REAL: "real",
    project_pb2.CLOCK_KIND_MANUAL: "manual",
}


class ProjectService(project_pb2_grpc.ProjectServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/project.proto.

    Arguments:
        projects: the registry.
        pool: where reads, creations and backups run.
    """

    def __init__(self, projects: Projects, pool: Pool) -> None:
        self._projects = projects
        self._pool = pool

    async def CreateProject(  # noqa: N802
        self, request: project_pb2.CreateProjectRequest, context: Any
    ) -> project_pb2.CreateProjectResponse:
        """Create a project."""
        CALLER.get().require(request.name)
        if request.clock not in _KINDS:
            raise InvalidInput(
                "a clock of no known kind",
                field="clock",
                mend="CLOCK_KIND_REAL or CLOCK_KIND_MANUAL",
                code="CLOCK_KIND",
            )
        clock = _KINDS[request.clock]
        start = micros(request.start_time, "start_time") if request.HasField("start_time") else None
        if start is not None and clock == "real":
            raise InvalidInput(
                "a real clock starts at the server's time",
                field="start_time",
                mend="leave it out, or make the clock manual",
                code="CLOCK_IS_REAL",
            )
        settings = Settings(
            name=request.name,
            uid="",
            clock=clock,
            sandbox=not request.live,
            allowed_addresses=_allowed(request.allowed_addresses),
            time_zone=request.time_zone or "UTC",
            late_after=_late_after(request, LATE_AFTER),
            inbox_limit=request.inbox_limit if request.HasField("inbox_limit") else INBOX_LIMIT,
        )
        made = await self._pool.run(self._projects.create, settings, start, request.request_id)
        return project_pb2.CreateProjectResponse(project=_project(made.engine.version))

    async def GetProject(  # noqa: N802
        self, request: project_pb2.GetProjectRequest, context: Any
    ) -> project_pb2.GetProjectResponse:
        """One project."""
        return project_pb2.GetProjectResponse(project=_project(self._projects.get(request.name).engine.version))

    async def ListProjects(  # noqa: N802
        self, request: project_pb2.ListProjectsRequest, context: Any
    ) -> project_pb2.ListProjectsResponse:
        """The projects that the caller may use, by name."""
        pages = Pages("ListProjects")
        after = pages.position(request.page_token, "")
        limit = page_size(request.page_size)
        found = [project for project in self._projects.visible() if project.name > after]
        return project_pb2.ListProjectsResponse(
            projects=[_project(project.engine.version) for project in found[:limit]],
            next_page_token=pages.token(found[limit - 1].name if len(found) > limit else None),
        )

    async def UpdateProject(  # noqa: N802
        self, request: project_pb2.UpdateProjectRequest, context: Any
    ) -> project_pb2.UpdateProjectResponse:
        """Change sandbox, allow list, time zone or bounds."""
        project = self._projects.get(request.project)
        if request.allowed_addresses and not request.replace_allowed_addresses:
            raise InvalidInput(
                "addresses are given but not to be replaced",
                field="replace_allowed_addresses",
                mend="set it, so that a forgotten list never empties the present one",
                code="REPLACE_NOT_SET",
            )
        await project.submit(
            UpdateSettings(
                sandbox=request.sandbox if request.HasField("sandbox") else None,
                allowed_addresses=_allowed(request.allowed_addresses) if request.replace_allowed_addresses else None,
                time_zone=request.time_zone if request.HasField("time_zone") else None,
                late_after=_late_after(request, None),
                inbox_limit=request.inbox_limit if request.HasField("inbox_limit") else None,
                holdout_percent=request.holdout_percent if request.HasField("holdout_percent") else None,
                links_url=request.links.base_url if request.links.HasField("base_url") else None,
                link_opens=request.links.opens if request.links.HasField("opens") else None,
                link_clicks=request.links.clicks if request.links.HasField("clicks") else None,
                new_link_key=new_key() if request.rotate_link_key or request.HasField("links") else "",
                rotate_link_key=request.rotate_link_key,
                in_app_per_session=request.in_app_per_session if request.HasField("in_app_per_session") else None,
                frequency_caps=_caps(request),
                throughput=_throughput(request),
                etag=request.etag,
            ),
            request.request_id,
        )
        return project_pb2.UpdateProjectResponse(project=_project(project.engine.version))

    async def MoveClock(  # noqa: N802
        self, request: project_pb2.MoveClockRequest, context: Any
    ) -> project_pb2.MoveClockResponse:
        """Move a manual clock forward."""
        project = self._projects.get(request.project)
        if not request.HasField("to"):
            raise InvalidInput(
                "no instant is given", field="to", mend="set the instant to move to", code="TIME_MISSING"
            )
        to = micros(request.to, "to")
        answer: ClockAnswer = await project.submit(MoveClock(to), request.request_id)
        return project_pb2.MoveClockResponse(now=timestamp(answer.now), selected=answer.selected)

    async def ListInbox(  # noqa: N802
        self, request: project_pb2.ListInboxRequest, context: Any
    ) -> project_pb2.ListInboxResponse:
        """What a sandbox would have sent, newest first."""
        version = self._projects.get(request.project).engine.version
        pages = Pages("ListInbox", request.project, request.message_key, request.distinct_id)
        before = pages.position(request.page_token, 0)
        limit = page_size(request.page_size)

        def read() -> project_pb2.ListInboxResponse:
            entries, following, total = reading.inbox_page(
                version, request.message_key, request.distinct_id, limit, before
            )
            return project_pb2.ListInboxResponse(
                entries=[_entry(entry) for entry in entries], next_page_token=pages.token(following), total=total
            )

        return await self._pool.run(read)

    async def Backup(  # noqa: N802
        self, request: project_pb2.BackupRequest, context: Any
    ) -> project_pb2.BackupResponse:
        """Copy the project's store on the server's disk. For callers who may use the whole server."""
        CALLER.get().require_all()
        project = self._projects.get(request.project)
        destination = absolute(request.destination)
        size = await self._pool.run(project.engine.backup, destination)
        return project_pb2.BackupResponse(destination=str(destination), bytes=size)


def _allowed(addresses: Iterable[str]) -> list[str]:
    """An allow-list as it is compared with: email addresses and telephone numbers in their one spelling, URLs, users."""
    found = []
    for index, text in enumerate(addresses):
        address = _normalised(text)
        if address is None:
            raise InvalidInput(
                f"{text!r} is no address",
                field=f"allowed_addresses[{index}]",
                mend="an email address; a telephone number such as +14155550100; for webhooks a URL such as "
                "https://example.com/hooks/, which allows all below it where it ends in /; or user:ID, which allows "
                "whatever goes to that user",
                code="ADDRESS_INVALID",
            )
        found.append(address)
    return found


def _normalised(text: str) -> str | None:
    if text.startswith(OF_USER):
        return text if len(text) > len(OF_USER) else None
    if "://" in text:
        return text if _is_url(text) else None
    return normalise_phone(text) if text.startswith("+") else normalise_email(text)


def _is_url(text: str) -> bool:
    """Whether a URL can stand on an allow-list; one with a user name or a fragment means more than is compared."""
    return text.isprintable() and not set(text) & set("@# ") and read_url(text) is not None


def _caps(request: project_pb2.UpdateProjectRequest) -> list[FrequencyCap] | None:
    if request.replace_frequency_caps:
        return [FrequencyCap(one.most, one.days, one.channel) for one in request.frequency_caps]
    if request.frequency_caps:
        raise InvalidInput(
            "frequency caps are given but not to be replaced",
            field="replace_frequency_caps",
            mend="set it, so that a forgotten list never takes the present ones away",
            code="REPLACE_NOT_SET",
        )
    return None


def _throughput(request: project_pb2.UpdateProjectRequest) -> list[Throughput] | None:
    if request.replace_throughput:
        return throughputs.of_project(request.throughput)
    if request.throughput:
        raise InvalidInput(
            "throughputs are given but not to be replaced",
            field="replace_throughput",
            mend="set it, so that a forgotten list never takes the present ones away",
            code="REPLACE_NOT_SET",
        )
    return None


def _late_after(request: Any, unset: T) -> int | T:
    return duration_micros(request.late_after, "late_after") if request.HasField("late_after") else unset


def _project(version: Version) -> project_pb2.Project:
    settings = version.settings
    kind = project_pb2.CLOCK_KIND_MANUAL if settings.clock == "manual" else project_pb2.CLOCK_KIND_REAL
    return project_pb2.Project(
        name=settings.name,
        clock=kind,
        now=timestamp(version.now),
        sandbox=settings.sandbox,
        allowed_addresses=list(settings.allowed_addresses),
        time_zone=settings.time_zone,
        late_after=duration(settings.late_after),
        inbox_limit=settings.inbox_limit,
        inbox_let_go=version.messages.inbox.first,
        holdout_percent=settings.holdout_percent,
        throughput=throughputs.project_throughputs(settings.throughput),
        frequency_caps=[
            project_pb2.FrequencyCap(most=cap.most, days=cap.days, channel=cap.channel)
            for cap in settings.frequency_caps
        ],
        links=project_pb2.Links(
            base_url=settings.links.base_url, opens=settings.links.opens, clicks=settings.links.clicks
        ),
        in_app_per_session=settings.in_app_per_session,
        profiles=len(version.population.live),
        events=sum(table.count for table in version.population.event_tables.values()),
        etag=settings.etag,
    )


def _entry(entry: Any) -> project_pb2.InboxEntry:
    at: timestamp_pb2.Timestamp = timestamp(entry.at)
    return project_pb2.InboxEntry(
        message_key=entry.message_key,
        distinct_id=entry.distinct_id,
        channel=entry.channel,
        time=at,
        to=entry.to,
        subject=entry.subject,
        html=entry.html,
        text=entry.text,
        url=entry.url,
        body=entry.body,
        idempotency_key=entry.idempotency_key,
    )
