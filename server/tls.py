"""The server's certificate, read again when its files change: at the next handshake, without a restart."""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path
from typing import Any

import grpc

from core.errors import InvalidInput

log = logging.getLogger("muster.tls")

_Stamp = tuple[int, int, int, int]


class Certificate:
    """A certificate chain and its key, for gRPC and HTTP. Thread-safe: gRPC asks from threads of its own.

    Where a changed file cannot be used, the last good pair stays in use and the log says why.

    Arguments:
        chain: PEM file of the certificate chain.
        key: PEM file of its private key.

    Raises:
        InvalidInput: TLS_UNUSABLE.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self._lock = threading.Lock()
        try:
            self._stamp = self._stamp_now()
            self._pair, self._context = self._read()
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"the certificate cannot be used: {error.strerror or type(error).__name__}",
                field="tls_cert",
                mend="give PEM files of a certificate chain and of its private key",
                code="TLS_UNUSABLE",
            ) from error

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Credentials of a gRPC port that follow the files."""
        given = self._pair

        def renewed() -> Any:
            nonlocal given
            pair, _ = self._refreshed()
            if pair is given:
                return None
            given = pair
            return grpc.ssl_server_certificate_configuration([pair])

        return grpc.dynamic_ssl_server_credentials(grpc.ssl_server_certificate_configuration([given]), renewed)

    def http_context(self) -> ssl.SSLContext:
        """The context of an HTTP port that follows the files: each handshake is moved to the newest."""

        def renew(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            connection.context = self._refreshed()[1]

        context = self._context
        context.sni_callback = renew
        return context

    def _refreshed(self) -> tuple[tuple[bytes, bytes], ssl.SSLContext]:
        with self._lock:
            try:
                stamp = self._stamp_now()
                if stamp != self._stamp:
                    self._stamp = stamp
                    self._pair, self._context = self._read()
                    log.info("the certificate %s was read again", self._chain)
            except (OSError, ssl.SSLError) as error:
                log.error("the changed certificate %s cannot be used, the last one stays: %s", self._chain, error)
            return self._pair, self._context

    def _read(self) -> tuple[tuple[bytes, bytes], ssl.SSLContext]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._chain, self._key)  # also proves that the two belong together
        return (self._key.read_bytes(), self._chain.read_bytes()), context

    def _stamp_now(self) -> _Stamp:
        chain, key = self._chain.stat(), self._key.stat()
        return chain.st_mtime_ns, chain.st_size, key.st_mtime_ns, key.st_size
