"""The projects of one store folder: each an engine with its desk, opened at start and found by name.

The folder holds `lock` (one server at a time) and `projects/<name>/`, one engine's store each. A project whose
store cannot be opened does not stop the others: asked for, it answers with its own error.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import logging
import os
import secrets
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

from core.codec import encode
from core.commands import Command
from core.engine import Engine, EngineConfig
from core.errors import AlreadyExists, InvalidInput, MusterError, NotFound, StoreError, Unavailable
from core.messaging.desk import Desk
from core.requests import KEPT
from core.settings import Settings, check_settings
from core.storage.folder import FORMAT_FILE
from server.auth import CALLER
from server.blocking import settled
from server.names import nearest

log = logging.getLogger("muster.projects")

_CREATION: Final = "creation.json"
_NEW: Final = ".new-"
_UID_BYTES: Final = 8
_MAX_REQUEST_ID_BYTES: Final = 200  # leaves room for the kind of command within core's own limit
Clock = Callable[[], int]
Listener = Callable[["Project"], None]


def real_clock() -> int:
    """The server's own time in micros UTC."""
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True)
class Project:
    """An open project: its engine and the desk that hands out its deliveries."""

    name: str
    engine: Engine
    desk: Desk

    async def submit(self, command: Command, request_id: str = "") -> Any:
        """The engine's answer to a command, after the durable commit.

        Arguments:
            request_id: where set, a repetition within 24 hours gets the first answer and changes nothing. The same
                id means different requests for different kinds of command.

        Raises:
            InvalidInput: ID_TOO_LONG; else what the command raises.
        """
        return await settled(self.engine.submit(command, request_id=_scoped(command, request_id)))


class Projects:
    """The registry.

    Arguments:
        store: the folder; made where it does not exist.
        config: how engines are opened.
        lease_seconds: how long an offered batch stays a worker's own.
        clock: the time of projects whose clock is real, in micros UTC.

    Raises:
        StoreError: STORE_LOCKED, where another server has the folder; STORE_UNUSABLE, where it cannot be made;
            STORE_IS_PROJECT, where it is a single project's.
    """

    def __init__(self, store: Path, config: EngineConfig, lease_seconds: float, clock: Clock = real_clock) -> None:
        self._folder = store / "projects"
        self._config = config
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._batch_numbers = itertools.count(1)  # shared: a worker of all projects names batches by number alone
        self._open: dict[str, Project] = {}
        self._damaged: dict[str, MusterError] = {}
        self._listeners: list[Listener] = []
        self._creating = threading.Lock()
        self._closed = False
        if (store / FORMAT_FILE).exists():
            raise StoreError(
                "the folder is one project's store or its backup, and not a folder of projects",
                field=str(store),
                mend="copy it to NEW/projects/NAME, under the project's name, and serve NEW",
                code="STORE_IS_PROJECT",
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(store / "lock")
        except OSError as error:
            raise StoreError(
                f"the store folder cannot be used: {error.strerror}",
                field=str(store),
                mend="name a folder that this user may write to",
                code="STORE_UNUSABLE",
            ) from error

    def open_all(self) -> None:
        """Open every project of the folder; one that cannot be opened is noted and logged."""
        for folder in sorted(self._folder.iterdir()):
            if folder.name.startswith(_NEW):
                shutil.rmtree(folder)  # a creation that a crash cut short: nobody was told it exists
            elif folder.is_dir() and not folder.name.startswith("."):
                try:
                    self._admit(folder.name)
                except MusterError as error:
                    self._damaged[folder.name] = error
                    log.error("project %s cannot be opened: %s", folder.name, error)

    def _admit(self, name: str) -> Project:
        engine = Engine.open(self._folder / name, clock=self._clock, config=self._config)
        desk = Desk(engine, lease_seconds=self._lease_seconds, clock=time.monotonic, numbers=self._batch_numbers)
        project = Project(name, engine, desk)
        # Copied, not changed in place: others iterate over it in their threads.
        self._open = {**self._open, name: project}
        engine.on_commit(lambda _: self._tell(project))
        self._tell(project)
        return project

    def _tell(self, project: Project) -> None:
        for listener in list(self._listeners):
            listener(project)

    def on_commit(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(project)` in the engine's thread after each commit of any project, and for new ones.

        Returns:
            What ends it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def get(self, name: str) -> Project:
        """The project of that name, if the present caller may use it.

        Raises:
            InvalidInput: PROJECT_MISSING, where the name is empty.
            NotFound: PROJECT_NOT_FOUND, with the nearest name.
            PermissionDenied: PROJECT_FORBIDDEN.
            MusterError: what a damaged project could not be opened for.
        """
        if not name:
            raise InvalidInput("no project is named", field="project", mend="name one", code="PROJECT_MISSING")
        caller = CALLER.get()
        caller.require(name)
        project = self._open.get(name)
        if project is not None:
            return project
        if name in self._damaged:
            raise self._damaged[name]
        near = nearest(name, filter(caller.may_use, self._open))
        raise NotFound(
            f"there is no project {name!r}",
            field="project",
            mend=f"did you mean {near!r}?" if near else "create it first: `muster project create NAME`",
            code="PROJECT_NOT_FOUND",
        )

    def all(self) -> list[Project]:
        """Every open project, by name."""
        return [self._open[name] for name in sorted(self._open)]

    def visible(self) -> list[Project]:
        """Every open project that the present caller may use, by name."""
        caller = CALLER.get()
        return [project for project in self.all() if caller.may_use(project.name)]

    def damaged(self) -> dict[str, MusterError]:
        """Projects that could not be opened, and why."""
        return dict(self._damaged)

    def create(self, settings: Settings, start: int | None, request_id: str) -> Project:
        """Create a project; a repeated request answers with the project that the first made. Blocking.

        Arguments:
            settings: with the name; `uid` and `created_at` are set here.
            start: where a manual clock starts, in micros; None: the server's time.
            request_id: "" for none.

        Raises:
            InvalidInput: INVALID_NAME, INVALID_TIME_ZONE, ID_TOO_LONG; REQUEST_ID_REUSED, where the id was that of
                a request for something else.
            AlreadyExists: PROJECT_EXISTS.
        """
        check_settings(settings)
        _check_request_id(request_id)
        asked = hashlib.blake2b(encode([settings, start]), digest_size=16).hexdigest()
        name = settings.name
        target = self._folder / name
        with self._creating:
            if self._closed:
                raise Unavailable("the server is stopping", mend="try again when it is back", code="SERVER_STOPPING")
            if request_id and (found := self._created_by(request_id)) is not None:
                if found != (name, asked):
                    raise InvalidInput(
                        "the request id was that of a request for another project",
                        field="request_id",
                        mend="make a new one for each request, and repeat it only with the same request",
                        code="REQUEST_ID_REUSED",
                    )
                return self.get(name)
            if target.exists():
                raise AlreadyExists(
                    f"the project {name!r} exists",
                    field="name",
                    mend="use it, or choose another name",
                    code="PROJECT_EXISTS",
                )
            fresh = self._folder / f"{_NEW}{uuid.uuid4().hex}"
            now = self._clock() if start is None else start
            try:
                Engine.create(
                    fresh, replace(settings, uid=secrets.token_hex(_UID_BYTES), created_at=self._clock()), now
                )
                if request_id:
                    _note(fresh / _CREATION, {"request_id": request_id, "at": self._clock(), "asked": asked})
                fresh.rename(target)
                _sync(self._folder)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            log.info("project %s created", name)
            return self._admit(name)

    def _created_by(self, request_id: str) -> tuple[str, str] | None:
        """The project that a request of the last 24 hours made, and the digest of what it asked for."""
        for file in self._folder.glob(f"[!.]*/{_CREATION}"):
            note = json.loads(file.read_text(encoding="utf-8"))
            if note["request_id"] == request_id and note["at"] + KEPT >= self._clock():
                return file.parent.name, note["asked"]
        return None

    def close(self) -> None:
        """Close every engine and give the folder back."""
        with self._creating:
            self._closed = True
            for project in self.all():
                project.engine.close()
            self._open = {}
            self._lock.close()

    def __iter__(self) -> Iterator[Project]:
        return iter(self.all())


def _note(file: Path, note: dict[str, Any]) -> None:
    """Write a note that outlives a power cut once its folder's name does."""
    with file.open("w", encoding="utf-8") as stream:
        json.dump(note, stream)
        stream.flush()
        os.fsync(stream.fileno())


def _scoped(command: Command, request_id: str) -> str:
    _check_request_id(request_id)
    return request_id and f"{type(command).__name__}/{request_id}"


def _check_request_id(request_id: str) -> None:
    if len(request_id.encode("utf-8", "surrogatepass")) > _MAX_REQUEST_ID_BYTES:
        raise InvalidInput(
            f"the request id is over {_MAX_REQUEST_ID_BYTES} bytes",
            field="request_id",
            mend="send a UUID",
            code="ID_TOO_LONG",
        )


def _locked(path: Path) -> IO[str]:
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise StoreError(
            f"another server{f' (process {holder})' if holder else ''} has this store open",
            field=str(path.parent),
            mend="stop it first, or name another folder",
            code="STORE_LOCKED",
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _sync(folder: Path) -> None:
    """Make a rename inside the folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
