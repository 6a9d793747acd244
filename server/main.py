"""The server: wires configuration, projects, services, gateway and embedded workers, and takes them down in order."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import grpc
import uvloop
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_NAME
from grpc_reflection.v1alpha import reflection
from muster import AsyncClient
from muster.v1 import (
    audience_pb2,
    audience_pb2_grpc,
    campaign_pb2,
    campaign_pb2_grpc,
    consent_pb2,
    consent_pb2_grpc,
    delivery_pb2,
    delivery_pb2_grpc,
    feedback_pb2,
    feedback_pb2_grpc,
    history_pb2,
    history_pb2_grpc,
    in_app_pb2,
    in_app_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    message_pb2,
    message_pb2_grpc,
    profile_pb2,
    profile_pb2_grpc,
    project_pb2,
    project_pb2_grpc,
    results_pb2,
    results_pb2_grpc,
    simulation_pb2,
    simulation_pb2_grpc,
    snippet_pb2,
    snippet_pb2_grpc,
)
from muster.worker import Worker
from prometheus_client import CollectorRegistry

from channels import makers
from channels.bounces import Tell, read_folder, tell_all
from channels.callbacks.configured import CallbackSettings
from channels.callbacks.listener import Listener, ListenerConfig
from channels.callbacks.source import Source
from channels.keeper import Keeper
from channels.loop import LoopConfig, WorkerLoop
from channels.mailboxes import Maildir, Mbox
from channels.provider import Provider
from channels.retry import RetryPolicy
from core.engine import EngineConfig
from core.errors import FailedPrecondition
from core.messaging.definitions import CarriedName
from server import callbacks, logs, memory, providers
from server.auth import Caller, Tokens, read_tokens
from server.background import Drainer, index_addresses, tick
from server.blocking import Pool
from server.commits import Commits
from server.config import Config, check
from server.convert.batches import READERS
from server.gateway import Gateway, Readiness, application, standard_pages
from server.health import Health
from server.interceptors import CallInterceptor
from server.link_pages import link_pages
from server.metrics import CallMetrics, ProjectCollector, figures
from server.projects import Projects
from server.services.audience import AudienceService
from server.services.campaign import CampaignService
from server.services.consent import ConsentService
from server.services.delivery import DeliveryService
from server.services.feedback import FeedbackService
from server.services.history import HistoryService
from server.services.in_app import InAppService
from server.services.ingest import IngestService
from server.services.message import MessageService
from server.services.profile import ProfileService
from server.services.project import ProjectService
from server.services.results import ResultsService
from server.services.simulation import SimulationService
from server.services.snippet import SnippetService
from server.tls import Certificate
from server.versions import Versions

log = logging.getLogger("muster.server")

_DAY: Final = 86_400.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_WATCH_SECONDS: Final = 0.5
_TELL_SECONDS: Final = 10.0  # providers hang up after some fifteen

# Past versions are made by few threads of their own, so that the present need not wait for them.
_HISTORY_THREADS: Final = 2

_SERVICES: Final = (
    *audience_pb2.DESCRIPTOR.services_by_name.values(),
    *campaign_pb2.DESCRIPTOR.services_by_name.values(),
    *delivery_pb2.DESCRIPTOR.services_by_name.values(),
    *consent_pb2.DESCRIPTOR.services_by_name.values(),
    *feedback_pb2.DESCRIPTOR.services_by_name.values(),
    *history_pb2.DESCRIPTOR.services_by_name.values(),
    *in_app_pb2.DESCRIPTOR.services_by_name.values(),
    *ingest_pb2.DESCRIPTOR.services_by_name.values(),
    *message_pb2.DESCRIPTOR.services_by_name.values(),
    *profile_pb2.DESCRIPTOR.services_by_name.values(),
    *project_pb2.DESCRIPTOR.services_by_name.values(),
    *results_pb2.DESCRIPTOR.services_by_name.values(),
    *simulation_pb2.DESCRIPTOR.services_by_name.values(),
    *snippet_pb2.DESCRIPTOR.services_by_name.values(),
)

_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    # Two servers on one port would each answer half of the calls from a store of their own.
    ("grpc.so_reuseport", 0),
    # A worker that vanished without a word is noticed, and what it had begun is told to be ambiguous.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # for the answer to a ping; a minute by default, whatever the line above
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.max_send_message_length", -1),
)
# Requests somewhat larger than the configured limit are refused by the interceptor, in words. What is larger by far,
# gRPC refuses by its announced length: it must not fill the memory first.
_MOST_OVER: Final = 2


class Server:
    """A whole server in the running event loop.

    Example::

        async with Server(Config(store=folder, listen="127.0.0.1:0", http_listen="")) as server:
            print(server.grpc_address)

    Arguments:
        config: everything that can be set.
    """

    def __init__(self, config: Config) -> None:
        check(config)
        self._config = config
        self._stack = AsyncExitStack()
        self.grpc_address = ""
        self.http_address = ""

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the store and serve. What was started before something failed is taken down again.

        Raises:
            StoreError: STORE_LOCKED, STORE_UNUSABLE, STORE_IS_PROJECT.
            InvalidInput: TOKEN_FILE, TLS_UNUSABLE, OPTION_VALUE.
            FailedPrecondition: ADDRESS_UNUSABLE.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop in the opposite order of the start: health, workers, calls, gateway, background, stores."""
        await self._stack.aclose()

    async def _start(self) -> None:
        config, stack = self._config, self._stack
        if config.ready_file is not None:
            config.ready_file.unlink(missing_ok=True)
        embedded_token = secrets.token_hex(32)
        tokens = _tokens(config.token_file, embedded_token)
        certificate = None
        if config.tls_cert is not None and config.tls_key is not None:
            certificate = Certificate(config.tls_cert, config.tls_key)
        carried = _providers(config)
        sources = _sources(config) if carried else []

        projects = Projects(config.store, _engine_config(config), config.lease_seconds)
        stack.push_async_callback(asyncio.to_thread, projects.close)
        await asyncio.to_thread(projects.open_all)
        pool = Pool(config.threads, config.max_waiting)
        stack.push_async_callback(asyncio.to_thread, pool.close)
        history = Pool(_HISTORY_THREADS, config.max_waiting)
        stack.push_async_callback(asyncio.to_thread, history.close)
        versions = Versions(projects, history)
        commits = Commits(projects, asyncio.get_running_loop())
        stack.callback(commits.close)

        drainer = Drainer(projects, pool, commits)
        stack.push_async_callback(drainer.close)
        stack.push_async_callback(_cancelled, asyncio.create_task(tick(projects)))
        stack.push_async_callback(_cancelled, asyncio.create_task(index_addresses(projects, pool)))

        registry = CollectorRegistry()
        registry.register(ProjectCollector(lambda: [figures(project) for project in projects.all()]))
        readiness = Readiness()
        if config.http_listen:
            pages = [*standard_pages(readiness, projects, registry, pool), *link_pages(projects)]
            gateway = Gateway(application(pages, tokens), config.http_listen, certificate, config.stop_grace_seconds)
            stack.push_async_callback(gateway.stop)
            self.http_address = await gateway.start()

        interceptor = CallInterceptor(tokens, CallMetrics(registry), config.max_message_bytes, READERS)
        most = ("grpc.max_receive_message_length", _MOST_OVER * config.max_message_bytes)
        server = grpc.aio.server(interceptors=[interceptor], options=[*_OPTIONS, most])
        delivery = DeliveryService(projects, pool, commits)
        in_app = InAppService(projects, pool, commits)
        audience_pb2_grpc.add_AudienceServiceServicer_to_server(AudienceService(projects, pool, versions), server)
        consent_pb2_grpc.add_ConsentServiceServicer_to_server(ConsentService(projects, pool), server)
        campaign_pb2_grpc.add_CampaignServiceServicer_to_server(CampaignService(projects, pool), server)
        delivery_pb2_grpc.add_DeliveryServiceServicer_to_server(delivery, server)
        feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(FeedbackService(projects), server)
        history_pb2_grpc.add_HistoryServiceServicer_to_server(HistoryService(projects, history), server)
        in_app_pb2_grpc.add_InAppServiceServicer_to_server(in_app, server)
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(IngestService(projects, pool), server)
        message_pb2_grpc.add_MessageServiceServicer_to_server(MessageService(projects, pool, versions), server)
        profile_pb2_grpc.add_ProfileServiceServicer_to_server(ProfileService(projects, pool), server)
        project_pb2_grpc.add_ProjectServiceServicer_to_server(ProjectService(projects, pool), server)
        results_pb2_grpc.add_ResultsServiceServicer_to_server(ResultsService(projects, pool), server)
        simulation = SimulationService(projects, history)
        simulation_pb2_grpc.add_SimulationServiceServicer_to_server(simulation, server)
        snippet_pb2_grpc.add_SnippetServiceServicer_to_server(SnippetService(projects), server)
        names = [service.full_name for service in _SERVICES]
        health = Health(names)
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        await health.begin()
        reflection.enable_server_reflection([*names, HEALTH_NAME, reflection.SERVICE_NAME], server)
        self.grpc_address = _listen(server, config.listen, certificate)
        inner = _inner_port(server, stack) if carried else ""
        stack.push_async_callback(self._stop_calls, server, delivery, in_app)
        await server.start()

        token = embedded_token if tokens.required else ""
        grace = config.stop_grace_seconds
        keepers = [
            Keeper(
                channel,
                partial(Worker, inner, channel=channel, project="", token=token, tls=False, close_timeout=grace),
                make,
                grace,
            )
            for channel, make in carried.items()
        ]
        stack.push_async_callback(_stop_work, keepers)
        for keeper in keepers:
            keeper.start()
        if sources:
            client = AsyncClient(inner, project="", token=token, tls=False, timeout=_TELL_SECONDS)
            await _listen_for_callbacks(stack, config, sources, client)

        stack.push_async_callback(_stop_serving, readiness, health)
        readiness.serving = True
        await health.serve()
        if config.ready_file is not None:
            _write_whole(config.ready_file, f"{self.grpc_address}\n{self.http_address}\n")
        log.info(
            "serving gRPC on %s, %s",
            self.grpc_address,
            f"HTTP on {self.http_address}" if self.http_address else "no HTTP",
        )

    async def _stop_calls(self, server: grpc.aio.Server, delivery: DeliveryService, in_app: InAppService) -> None:
        """Streams first, since they would never end by themselves; then whatever else runs."""
        in_app.stop()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._config.stop_grace_seconds
        await delivery.drain(self._config.stop_grace_seconds)
        await server.stop(max(0.0, deadline - clock()))


async def _stop_serving(readiness: Readiness, health: Health) -> None:
    readiness.serving = False
    await health.stop()
    log.info("stopping")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _tokens(file: Path | None, embedded: str) -> Tokens:
    """The known tokens; those who may call from outside stand in the file, and embedded workers have one of theirs."""
    if file is None:
        return Tokens()
    return Tokens([*read_tokens(file), (embedded, Caller("embedded worker"))])


def _engine_config(config: Config) -> EngineConfig:
    return EngineConfig(
        group_records=config.group_records,
        queue_records=config.queue_records,
        checkpoint_bytes=config.checkpoint_bytes,
        checkpoint_seconds=config.checkpoint_seconds,
        horizon_seconds=config.horizon_days * _DAY,
        store_bytes=config.store_bytes,
    )


def _listen(server: grpc.aio.Server, address: str, certificate: Certificate | None) -> str:
    """Bind a port; the address in use.

    Raises:
        FailedPrecondition: ADDRESS_UNUSABLE.
    """
    try:
        if certificate is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, certificate.grpc_credentials())
    except RuntimeError as error:
        raise FailedPrecondition(
            f"{address} cannot be listened on",
            field="listen",
            mend="take another port, or 0 for a free one",
            code="ADDRESS_UNUSABLE",
        ) from error
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"


def _inner_port(server: grpc.aio.Server, stack: AsyncExitStack) -> str:
    """A socket that only this user reaches, for embedded workers: they need no certificate of the public port."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="muster-"))
    return _listen(server, f"unix:{folder}/grpc", None)


def _write_whole(path: Path, text: str) -> None:
    """Write a file that is there only once all of it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


# Embedded workers


def _providers(config: Config) -> dict[CarriedName, Callable[[], Provider]]:
    """What makes the provider of each channel that is to be worked for in this process.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    found: dict[CarriedName, Callable[[], Provider]] = {}
    try:
        if providers.is_named(config, "email"):
            mail, key = providers.mail(config), providers.dkim(config)
            found["email"] = makers.email(providers.smtp(config), mail, key, _patience(config, "smtp"))
        if providers.is_named(config, "webhook"):
            found["webhook"] = makers.webhook(providers.webhook(config), _patience(config, "webhook"))
        if providers.is_named(config, "sms"):
            twilio, http = config.sms_provider == "twilio", providers.http(config, "sms")
            found["sms"] = makers.sms(providers.sms(config), http, _patience(config, "sms"), twilio=twilio)
        if providers.is_named(config, "push"):
            fcm, apns, http = providers.fcm(config), providers.apns(config), providers.push_http(config)
            found["push"] = makers.push(fcm, apns, http, _patience(config, "push"))
    except makers.WrongSettings as error:
        raise providers.as_option(error.of, str(error)) from error
    return found


def _patience(config: Config, prefix: str) -> RetryPolicy:
    return RetryPolicy(
        attempts=getattr(config, f"{prefix}_attempts"), longest_wait=getattr(config, f"{prefix}_longest_wait_seconds")
    )


def _sources(config: Config) -> list[Source]:
    """Whose callbacks are listened to.

    Raises:
        InvalidInput: OPTION_VALUE.
    """
    if not callbacks.is_wanted(config):
        return []
    callbacks.listener(config)  # what is wrong is told before anything starts
    try:
        return CallbackSettings(**callbacks.settings(config)).sources()
    except ValueError as error:
        raise callbacks.as_option(error) from error


async def _listen_for_callbacks(
    stack: AsyncExitStack, config: Config, sources: Sequence[Source], client: AsyncClient
) -> None:
    """Tell the server what providers call back with, until the stack is unwound.

    Raises:
        FailedPrecondition: ADDRESS_UNUSABLE; InvalidInput: OPTION_VALUE.
    """
    stack.push_async_callback(client.close)
    listener = Listener(sources, client.feedback.report, ListenerConfig(**callbacks.listener(config)))
    stack.push_async_callback(listener.stop)
    try:
        await listener.start()
    except OSError as error:
        raise FailedPrecondition(
            f"{config.callbacks_listen} cannot be listened on: {error.strerror}",
            field="callbacks_listen",
            mend="take another port",
            code="ADDRESS_UNUSABLE",
        ) from error


async def _stop_work(keepers: Iterable[Keeper]) -> None:
    await asyncio.gather(*(keeper.stop() for keeper in keepers))


# The processes

Watch = Callable[[Mapping[str, int | str], bool], None]
"""Told what a worker has done, by outcome, and whether the server is connected."""


def work(
    channel: CarriedName,
    config: Config,
    *,
    token: str = "",
    tls: bool | bytes = False,
    watch: Watch | None = None,
) -> dict[str, int | str]:
    """Carry one channel in a process of its own until SIGTERM or SIGINT; then settle what has begun.

    What it works for, and when it is connected, it logs; what goes wrong with server or provider is logged by the
    parts that speak with them.

    Arguments:
        channel: what to carry.
        config: names the server, the project ("": every one) and the provider.
        token, tls: as for `muster.Client`.
        watch: told twice a second what was done so far, by outcome, and whether the server is connected.

    Returns:
        What was done, by outcome.

    Raises:
        InvalidInput: PROVIDER_MISSING, OPTION_VALUE.
        muster.MusterError: what the server refuses for good, such as an unknown token.
    """
    logs.set_up(config.log_level, config.log_format)
    config = providers.only(config, channel)
    provider = _providers(config)[channel]
    sources = _sources(config)
    log.info(
        "%s of %s, from %s, is sent by %s",
        channel,
        f"the project {config.project}" if config.project else "every project",
        config.server,
        providers.place(config, channel),
    )
    connect = partial(Worker, config.server, channel=channel, project=config.project, token=token, tls=tls)

    async def listen(stack: AsyncExitStack) -> None:
        if sources:
            client = AsyncClient(config.server, project=config.project, token=token, tls=tls, timeout=_TELL_SECONDS)
            await _listen_for_callbacks(stack, config, sources, client)

    done: dict[str, int | str] = uvloop.run(
        _work(connect, provider, LoopConfig(grace=config.stop_grace_seconds), watch or (lambda *_: None), listen)
    )
    return done


async def _work(
    connect: Callable[[], Worker],
    make: Callable[[], Provider],
    config: LoopConfig,
    watch: Watch,
    listen: Callable[[AsyncExitStack], Awaitable[None]],
) -> dict[str, int | str]:
    async with AsyncExitStack() as stack:
        await listen(stack)
        worker = await stack.enter_async_context(connect())
        work = WorkerLoop(worker, make(), config)

        async def tell() -> None:
            connected = False
            while True:
                if worker.connected and not connected:
                    log.info("connected: batches are taken as they are offered")
                connected = worker.connected
                watch(asdict(work.progress), connected)
                await asyncio.sleep(_WATCH_SECONDS)

        telling = asyncio.create_task(tell())
        _on_signal(work.stop)
        try:
            await work.run()
        finally:
            await _cancelled(telling)
    return asdict(work.progress)


def take_bounces(
    tell: Tell, *, mail: bytes = b"", maildir: Path | None = None, mbox: Path | None = None
) -> dict[str, int]:
    """Tell what bounces and complaints say: those of a folder that were not seen before, or one mail.

    Arguments:
        tell: tells the server.

    Returns:
        What was read, and what became of it.

    Raises:
        FailedPrecondition: MAILBOX_UNREADABLE; muster.MusterError: where the server cannot be told.
    """
    if maildir is None and mbox is None:
        return asdict(tell_all(iter([(mail, lambda: None)]), tell))
    try:
        folder = Maildir(maildir) if maildir is not None else Mbox(cast(Path, mbox))
        return asdict(read_folder(folder, tell))
    except OSError as error:
        raise FailedPrecondition(
            f"the mails cannot be read: {error.strerror or error}",
            field=str(maildir or mbox),
            mend="name a Maildir, or an mbox file, that this user may read and write",
            code="MAILBOX_UNREADABLE",
        ) from error


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully. A second signal ends the process at once.

    Raises:
        MusterError: where the server cannot start; see `Server.start`.
    """
    logs.set_up(config.log_level, config.log_format)
    memory.keep_together()
    uvloop.run(_serve(config))


def _on_signal(action: Callable[[], None]) -> None:
    """Do something at the first signal to end; the second ends the process at once."""
    loop = asyncio.get_running_loop()

    def act() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        action()

    for number in _SIGNALS:
        loop.add_signal_handler(number, act)


async def _serve(config: Config) -> None:
    told = asyncio.Event()
    _on_signal(told.set)
    async with Server(config):
        await told.wait()
