"""Where the server is, how it is reached, and how often a call is tried."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio

Tls: TypeAlias = bool | str | Path | bytes | None
"""False: no TLS. True: TLS with gRPC's own root certificates. A path or PEM bytes: TLS with those roots. None: as the
environment says (`muster.environment`), which without a word of it is no TLS."""

DEFAULT_TARGET: Final = "127.0.0.1:7171"

_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    # The server bounds what it sends; a limit here could only turn an answer that exists into an error.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A server that was started again is found within seconds, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A peer that vanished without a word is noticed within this time and the next while a call or a stream is open,
    # a quiet one too. Muster's server allows a ping every 10 s; gRPC's own default would be one in five minutes.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # for the answer to a ping; a minute by default, whatever the line above
    ("grpc.http2.max_pings_without_data", 0),
    # Channels of one process must not share a connection: closing or forking one would touch the other's calls.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Retry:
    """How a call that finds the server unavailable is tried again, with the same request id. Times are in seconds.

    Arguments:
        attempts: how often it is tried in all; 1: no retry.
        first_wait: about how long to wait after the first attempt; each later wait is about twice the one before.
        longest_wait: no wait is longer.

    Example::

        >>> len(list(Retry(attempts=4).waits()))
        3
    """

    attempts: int = 6
    first_wait: float = 0.1
    longest_wait: float = 5.0

    def waits(self) -> Iterator[float]:
        """The waits between attempts, each with jitter: between half of the nominal wait and all of it."""
        for number in range(self.attempts - 1):
            yield self.wait(number)

    def wait(self, number: int) -> float:
        """The wait after attempt `number`, counted from 0, whatever the number of attempts allowed."""
        nominal = min(self.longest_wait, self.first_wait * 2.0 ** min(number, 64))
        return nominal * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything that is known of the server before it is called.

    Arguments:
        target: `host:port`, or any gRPC target name.
        token: access token, "" for a server without tokens. Without TLS it crosses the network readable.
        tls: see `Tls`.
        timeout: seconds for one logical call, retries included.
        retry: see `Retry`.
    """

    target: str = DEFAULT_TARGET
    token: str = field(default="", repr=False)
    tls: Tls = field(default=None, repr=False)
    timeout: float = 30.0
    retry: Retry = field(default_factory=Retry)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def open(self) -> grpc.Channel:
        """A new channel for calls that block. Connects at the first call.

        Raises:
            OSError: if the root certificates cannot be read.
        """
        credentials = self._credentials()
        if credentials is None:
            return grpc.insecure_channel(self.target, _OPTIONS)
        return grpc.secure_channel(self.target, credentials, _OPTIONS)

    def open_async(self) -> grpc.aio.Channel:
        """A new channel of the running event loop. Connects at the first call.

        Raises:
            OSError: if the root certificates cannot be read.
        """
        credentials = self._credentials()
        if credentials is None:
            return grpc.aio.insecure_channel(self.target, _OPTIONS)
        return grpc.aio.secure_channel(self.target, credentials, _OPTIONS)

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if self.tls is None or self.tls is False:
            return None
        if self.tls is True:
            return grpc.ssl_channel_credentials()
        roots = self.tls if isinstance(self.tls, bytes) else Path(self.tls).read_bytes()
        return grpc.ssl_channel_credentials(root_certificates=roots)
