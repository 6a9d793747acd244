"""Promise: a mail that a worker sent can be unsubscribed from in one click, by what its own signed headers say."""

from __future__ import annotations

from dataclasses import replace
from email.parser import BytesParser
from email.policy import default
from pathlib import Path

import dkim
import grpc
import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from muster.v1 import project_pb2

from channels.doubles.smtp import SmtpDouble
from server.config import Config
from server.main import Server
from tests.server.conftest import PROJECT, Stubs
from tests.server.test_embedded import sent

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


async def test_the_whole_way(config: Config, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = tmp_path / "m1.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1])
    async with SmtpDouble() as relay:
        embedded = replace(
            config,
            smtp_host="127.0.0.1",
            smtp_port=relay.port,
            smtp_security="plain",
            smtp_dkim_domain="example.com",
            smtp_dkim_selector="m1",
            smtp_dkim_key_file=pem,
        )
        async with Server(embedded) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            await stubs.create()
            await stubs.add_users(2)
            links = project_pb2.Links(base_url=f"http://{server.http_address}")
            await stubs.projects.UpdateProject(project_pb2.UpdateProjectRequest(project=PROJECT, links=links))
            await stubs.launch("welcome")
            await sent(stubs, "welcome", 2)

            raw = next(one["raw"] for one in relay.records.items if one["to"] == "u0@example.com").encode()
            assert dkim.verify(
                raw, dnsfunc=lambda name, timeout=5: record if name == b"m1._domainkey.example.com." else b""
            )
            mail = BytesParser(policy=default).parsebytes(raw)
            covered = [name.strip() for name in mail["DKIM-Signature"].partition("h=")[2].partition(";")[0].split(":")]
            assert {"list-unsubscribe", "list-unsubscribe-post"} <= set(covered)
            assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
            link = str(mail["List-Unsubscribe"]).strip("<>")

            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.post(link, data=ONE_CLICK)).status_code == 200
            await stubs.launch("next")
            await sent(stubs, "next", 1)
            assert [(one.reason, one.users) for one in (await stubs.counts("next")).skipped] == [("unsubscribed", 1)]
    assert {one["to"] for one in relay.records.items[2:]} == {"u1@example.com"}
