"""Promise: with a certificate gRPC and HTTP are encrypted, and a renewed certificate is served without a restart."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest
from muster.v1 import project_pb2

from core.errors import InvalidInput
from server.config import Config
from server.main import Server
from server.tls import Certificate
from tests.server.conftest import Stubs


def make(folder: Path, name: str) -> None:
    """Write a self-signed certificate for localhost to chain.pem, its key to key.pem."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost/O={name}".split()
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "chain.pem")]
    subprocess.run([openssl, *words, *names, *files], check=True, capture_output=True)


async def call(address: str, roots: bytes) -> None:
    """One gRPC call over a new connection that trusts only these roots."""
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(address, credentials, options) as channel:
        await Stubs(channel).projects.ListProjects(project_pb2.ListProjectsRequest())


async def get(address: str, roots: bytes) -> int:
    """One HTTPS request that trusts only these roots; its status."""
    context = ssl.create_default_context(cadata=roots.decode())
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        return (await client.get(f"https://{address}/healthz")).status_code


async def test_a_renewed_certificate_is_served_from_the_next_connection_on(config: Config, tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    await asyncio.to_thread(make, tmp_path, "first")
    old = chain.read_bytes()
    async with Server(replace(config, tls_cert=chain, tls_key=key)) as server:
        await call(server.grpc_address, old)
        assert await get(server.http_address, old) == 200

        key.write_text("not a key")  # a renewal half-way: the last good pair stays
        await call(server.grpc_address, old)
        assert await get(server.http_address, old) == 200

        await asyncio.to_thread(make, tmp_path, "second")
        os.utime(chain, ns=(1, 1))  # whatever the clock's resolution, the files differ from those before
        new = chain.read_bytes()
        await call(server.grpc_address, new)
        assert await get(server.http_address, new) == 200
        with pytest.raises(grpc.aio.AioRpcError):
            await call(server.grpc_address, old)
        with pytest.raises(httpx.ConnectError):
            await get(server.http_address, old)


async def test_plain_connections_are_refused_where_there_is_a_certificate(config: Config, tmp_path: Path) -> None:
    await asyncio.to_thread(make, tmp_path, "only")
    tls = replace(config, tls_cert=tmp_path / "chain.pem", tls_key=tmp_path / "key.pem")
    async with Server(tls) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await Stubs(channel).create()


def test_a_certificate_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_text("nothing")
    for key in ("chain.pem", "absent.pem"):
        with pytest.raises(InvalidInput) as refusal:
            Certificate(tmp_path / "chain.pem", tmp_path / key)
        assert refusal.value.code == "TLS_UNUSABLE"
