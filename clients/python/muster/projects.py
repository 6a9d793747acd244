"""Projects: their stores, clocks, inboxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias, TypedDict

from muster import flow as flows
from muster import values
from muster.connection import Retry
from muster.flow import Flow, Rpc
from muster.service import Items, Service, Way, answered, listed, new_request_id
from muster.v1 import project_pb2

ClockKind: TypeAlias = Literal["real", "manual"]

_SERVICE: Final = "/muster.v1.ProjectService"
_CREATE: Final = Rpc(f"{_SERVICE}/CreateProject", project_pb2.CreateProjectResponse)
_GET: Final = Rpc(f"{_SERVICE}/GetProject", project_pb2.GetProjectResponse)
_LIST: Final = Rpc(f"{_SERVICE}/ListProjects", project_pb2.ListProjectsResponse)
_UPDATE: Final = Rpc(f"{_SERVICE}/UpdateProject", project_pb2.UpdateProjectResponse)
_MOVE: Final = Rpc(f"{_SERVICE}/MoveClock", project_pb2.MoveClockResponse)
_INBOX: Final = Rpc(f"{_SERVICE}/ListInbox", project_pb2.ListInboxResponse)
_BACKUP: Final = Rpc(f"{_SERVICE}/Backup", project_pb2.BackupResponse)
_CLOCKS: Final = {"real": project_pb2.CLOCK_KIND_REAL, "manual": project_pb2.CLOCK_KIND_MANUAL}

# A far move of the clock, or a backup, works through the whole store.
_LONG: Final = 3600.0


class FrequencyCap(TypedDict, total=False):
    """A user gets at most `most` messages in any `days` days, on `channel`, or without one on all together."""

    most: int
    days: int
    channel: str


class Throughput(TypedDict, total=False):
    """At most `per_second` hand-offs begin in any second, on `channel`, or without one on all together.

    `ramp` has `start`, how many on the first day, and `factor`, what each day multiplies that by.
    """

    per_second: int
    channel: str
    ramp: Mapping[str, float]


class Projects(Service[Way]):
    """`client.projects`: makes and changes projects. Where a method is given no project, it means the client's."""

    @answered
    def create(
        self,
        name: str,
        *,
        clock: ClockKind = "real",
        start_time: datetime | None = None,
        time_zone: str = "",
        live: bool = False,
        allowed_addresses: Sequence[str] = (),
        late_after: timedelta | None = None,
        inbox_limit: int | None = None,
        request_id: str = "",
    ) -> Flow[project_pb2.Project]:
        """Create a project, with a store and a clock of its own.

        Arguments:
            name: lower-case letters, digits, `-` and `_`, at most 63, starting with a letter.
            clock: "real", or "manual": it stands still until moved.
            start_time: where a manual clock starts; None: the server's time.
            time_zone: IANA name; "": UTC.
            live: send for real. Otherwise the project is a sandbox: what it sends lands in its inbox.
            allowed_addresses: whom a sandbox really sends to.
            late_after: an event that is older than this when it arrives triggers no "asap" message; None: 72 h.
            inbox_limit: how many entries the inbox keeps, the newest; None: 100,000.

        Raises:
            AlreadyExists: if the name is taken.

        Example::

            client.projects.create("shop", clock="manual", start_time=datetime(1997, 1, 1, tzinfo=UTC))
        """
        request = project_pb2.CreateProjectRequest(
            request_id=request_id or new_request_id(),
            name=name,
            clock=_CLOCKS[clock],
            time_zone=time_zone,
            live=live,
            allowed_addresses=allowed_addresses,
            inbox_limit=inbox_limit,
        )
        if start_time is not None:
            request.start_time.CopyFrom(values.timestamp(start_time, "start_time"))
        if late_after is not None:
            request.late_after.CopyFrom(values.duration(late_after))
        answer = yield from self._ask(_CREATE, request)
        return answer.project

    @answered
    def get(self, name: str = "") -> Flow[project_pb2.Project]:
        """One project, with its clock and counts.

        Raises:
            NotFound: if there is none of that name.

        Example::

            print(client.projects.get("shop").profiles)
        """
        answer = yield from self._ask(_GET, project_pb2.GetProjectRequest(name=name or self._project))
        return answer.project

    @listed
    def list(self, *, page_size: int = 0) -> Items[project_pb2.Project]:
        """The projects that the token opens, by name.

        Example::

            names = [project.name for project in client.projects.list()]
        """

        def page(token: str) -> Flow[project_pb2.ListProjectsResponse]:
            return self._ask(_LIST, project_pb2.ListProjectsRequest(page_size=page_size, page_token=token))

        return Items(project_pb2.Project, flows.pages(page, lambda found: found.projects))

    @answered
    def update(
        self,
        name: str = "",
        *,
        sandbox: bool | None = None,
        allowed_addresses: Sequence[str] | None = None,
        time_zone: str | None = None,
        late_after: timedelta | None = None,
        inbox_limit: int | None = None,
        holdout_percent: float | None = None,
        frequency_caps: Sequence[FrequencyCap] | None = None,
        throughput: Sequence[Throughput] | None = None,
        links_url: str | None = None,
        track_opens: bool | None = None,
        track_clicks: bool | None = None,
        rotate_link_key: bool = False,
        in_app_per_session: int | None = None,
        etag: str = "",
        request_id: str = "",
    ) -> Flow[project_pb2.Project]:
        """Change a project; None leaves a setting as it is.

        Arguments:
            sandbox: False sends for real from now on.
            allowed_addresses: replaces the list.
            late_after: an event that is older than this when it arrives triggers no "asap" message.
            inbox_limit: how many entries the inbox keeps, the newest; a lower one lets go of the oldest at once.
            holdout_percent: of whoever is let through by any message from now on, how many are sent nothing, to compare
                with; 0 to 100.
            frequency_caps: how many messages a user gets at most; replaces those there are.
            throughput: how many hand-offs may begin in any second; replaces those there are.
            links_url: where people reach the server's gateway, such as https://mail.example.com; "": no links.
            track_opens, track_clicks: whether emails tell when they are opened, and when an address in them is followed.
            rotate_link_key: sign links with a new key; those of the key before stay good until the next time.
            in_app_per_session: the most in-app messages that a user is shown in one session; 0: no limit.
            etag: of the project as it was read. "": no check.

        Raises:
            StaleEtag: if the project has changed since that etag.

        Example::

            client.projects.update("shop", sandbox=False)
        """
        request = project_pb2.UpdateProjectRequest(
            project=name or self._project,
            request_id=request_id or new_request_id(),
            etag=etag,
            inbox_limit=inbox_limit,
            holdout_percent=holdout_percent,
            rotate_link_key=rotate_link_key,
            in_app_per_session=in_app_per_session,
        )
        if (links_url, track_opens, track_clicks) != (None, None, None):
            request.links.CopyFrom(project_pb2.Links(base_url=links_url, opens=track_opens, clicks=track_clicks))
        if sandbox is not None:
            request.sandbox = sandbox
        if allowed_addresses is not None:
            request.allowed_addresses.extend(allowed_addresses)
            request.replace_allowed_addresses = True
        if throughput is not None:
            request.throughput.extend(project_pb2.Throughput(**rate) for rate in throughput)
            request.replace_throughput = True
        if frequency_caps is not None:
            request.frequency_caps.extend(project_pb2.FrequencyCap(**cap) for cap in frequency_caps)
            request.replace_frequency_caps = True
        if time_zone is not None:
            request.time_zone = time_zone
        if late_after is not None:
            request.late_after.CopyFrom(values.duration(late_after))
        answer = yield from self._ask(_UPDATE, request)
        return answer.project

    @answered
    def move_clock(
        self, to: datetime, *, project: str = "", timeout: float = _LONG, request_id: str = ""
    ) -> Flow[project_pb2.MoveClockResponse]:
        """Move a manual clock forward; answers when all that time alone decides on the way is on disk.

        Arguments:
            to: the instant, aware.
            timeout: seconds; a far move over many users takes a while.

        Raises:
            FailedPrecondition: if the clock is real.
            InvalidInput: if it would go back.

        Example::

            moved = client.projects.move_clock(datetime(1998, 7, 1, tzinfo=UTC))
            print(dict(moved.selected))  # users selected on the way, by message
        """
        request = project_pb2.MoveClockRequest(
            project=project or self._project, request_id=request_id or new_request_id(), to=values.timestamp(to, "to")
        )
        return (yield from self._ask(_MOVE, request, timeout))

    @listed
    def inbox(
        self,
        *,
        message_key: str = "",
        distinct_id: str = "",
        project: str = "",
        limit: int | None = None,
        page_size: int = 0,
    ) -> Items[project_pb2.InboxEntry]:
        """What a sandbox would have sent, newest first: no more than the project's `inbox_limit`.

        Arguments:
            message_key: only this message's.
            distinct_id: only this user's.
            limit: at most so many; None: all.

        Example::

            for entry in client.projects.inbox(message_key="welcome"):
                print(entry.to, entry.subject)
        """

        def page(token: str) -> Flow[project_pb2.ListInboxResponse]:
            return self._ask(
                _INBOX,
                project_pb2.ListInboxRequest(
                    project=project or self._project,
                    message_key=message_key,
                    distinct_id=distinct_id,
                    page_size=page_size,
                    page_token=token,
                ),
            )

        return Items(project_pb2.InboxEntry, flows.pages(page, lambda found: found.entries, limit))

    @answered
    def backup(
        self, destination: str, *, project: str = "", timeout: float = _LONG
    ) -> Flow[project_pb2.BackupResponse]:
        """Write a consistent copy of the project's store, on the server's disk. Not tried again by itself.

        Arguments:
            destination: a folder on the server's machine that is absent or empty.
            timeout: seconds.

        Example::

            client.projects.backup("/var/backups/shop-monday").bytes
        """
        request = project_pb2.BackupRequest(project=project or self._project, destination=destination)
        return (yield from flows.ask(_BACKUP, request, Retry(attempts=1), timeout))
