"""Promise: the gateway tells health, readiness and metrics in HTTP, describes every page it has, and later parts join."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.errors import InvalidTemplate
from server.auth import Caller, Tokens
from server.config import Config
from server.gateway import Page, application, openapi
from server.main import Server
from tests.server.conftest import PROJECT, Stubs

TOKEN, SHOP_TOKEN = "0123456789abcdef-all", "0123456789abcdef-shop"


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running gateway."""
    async with httpx.AsyncClient(base_url=f"http://{server.http_address}", trust_env=False) as client:
        yield client


async def test_health_and_readiness(http: httpx.AsyncClient) -> None:
    alive, ready = await http.get("/healthz"), await http.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"serving": True, "projects": 0, "stopped": 0})


async def test_metrics_tell_of_projects_deliveries_and_calls(http: httpx.AsyncClient, stubs: Stubs) -> None:
    await stubs.create()
    await stubs.add_users(3)
    await stubs.launch("welcome")
    page = await http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }
    project = ("project", PROJECT)
    assert found["muster_project_healthy", (project,)] == 1
    assert found["muster_profiles", (project,)] == 3
    assert found["muster_deliveries", (project, ("state", "queued"))] == 3
    method = ("method", "/muster.v1.MessageService/LaunchMessage")
    assert found["muster_calls_total", (("code", "OK"), method)] == 1


async def test_the_document_describes_every_page(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    links = ["/c/{token}", "/o/{token}", "/p/{token}", "/u/{token}"]
    assert sorted(document["paths"]) == [
        *links[:1],
        "/healthz",
        "/metrics",
        *links[1:2],
        "/openapi.json",
        *links[2:3],
        "/readyz",
        links[3],
    ]
    for path, methods in document["paths"].items():
        assert set(methods) in ({"get"}, {"get", "post"})
        assert methods["get"]["summary"]
        assert (await http.get(path)).status_code in {int(code) for code in methods["get"]["responses"]}


async def test_what_is_not_there_is_answered_with_the_nearest(http: httpx.AsyncClient) -> None:
    missing = await http.get("/metrix")
    assert missing.status_code == 404
    assert missing.json()["error"] == {
        "code": "NOT_FOUND", "message": "Not Found", "field": "/metrix", "mend": "did you mean /metrics?",
    }  # fmt: skip
    assert (await http.post("/healthz")).json()["error"]["code"] == "METHOD_NOT_ALLOWED"


async def test_metrics_need_a_token_that_opens_everything_where_there_are_tokens(
    config: Config, tmp_path: Path
) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN} operator\n{SHOP_TOKEN} shop {PROJECT}\n")
    async with (
        Server(replace(config, token_file=file)) as server,
        httpx.AsyncClient(base_url=f"http://{server.http_address}", trust_env=False) as client,
    ):

        async def status(token: str) -> tuple[int, str]:
            answer = await client.get("/metrics", headers={"authorization": f"Bearer {token}"} if token else {})
            return answer.status_code, answer.json()["error"]["code"] if answer.status_code != 200 else ""

        assert await status("") == (401, "TOKEN_MISSING")
        assert await status(SHOP_TOKEN) == (403, "SERVER_FORBIDDEN")
        assert await status(TOKEN) == (200, "")
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/openapi.json")).status_code == 200


async def test_a_server_without_a_gateway_serves_grpc_alone(config: Config) -> None:
    async with Server(replace(config, http_listen="")) as server:
        assert server.http_address == ""
        async with grpc.aio.insecure_channel(server.grpc_address) as channel:
            await Stubs(channel).create()


async def test_later_parts_add_pages_of_their_own_and_their_errors_are_shown() -> None:
    async def greet(request: Request) -> Response:
        return JSONResponse({"hello": request.path_params["name"]})

    async def refuse(request: Request) -> Response:
        raise InvalidTemplate("no such tag", field="subject", mend="use {{ }}", code="TEMPLATE_SYNTAX")

    async def break_(request: Request) -> Response:
        raise RuntimeError("secret of the house")

    pages = [
        Page("/v1/greet/{name}", greet, {"summary": "Greet", "responses": {}}, public=True),
        Page("/v1/refuse", refuse, {"summary": "Refuse", "responses": {}}, method="POST", public=True),
        Page("/v1/break", break_, {"summary": "Break", "responses": {}}, public=True),
        Page("/v1/guarded", greet, {"summary": "Guarded", "responses": {}}),
    ]
    document = openapi(pages)
    assert document["paths"]["/v1/refuse"]["post"]["security"] == []
    assert "security" not in document["paths"]["/v1/guarded"]["get"]
    assert json.loads(json.dumps(document)) == document
    app = application(pages, Tokens([(TOKEN, Caller("operator"))]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        assert (await client.get("/v1/greet/ada")).json() == {"hello": "ada"}
        refusal = await client.post("/v1/refuse")
        assert (refusal.status_code, refusal.json()["error"]["code"]) == (400, "TEMPLATE_SYNTAX")
        broken = await client.get("/v1/break")
        assert (broken.status_code, broken.json()["error"]["code"]) == (500, "INTERNAL")
        assert "secret" not in broken.text
        assert (await client.get("/v1/guarded")).status_code == 401
