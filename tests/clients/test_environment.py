"""Promise: a client that is told nothing means the server and the project of the command line's variables; what it is
told wins. A server's own workers and test servers heed none."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import muster
import pytest
from muster.connection import Connection
from muster.testing import ServerProcess, start_server
from muster.worker import Worker

from tests.clients.fakes import FakeServer

VARIABLES = {"MUSTER_SERVER": "muster.test:1", "MUSTER_PROJECT": "shop", "MUSTER_TOKEN": "of-the-environment"}
MAKERS = {
    "Client": muster.Client,
    "AsyncClient": muster.AsyncClient,
    "Worker": lambda *target, **options: Worker(*target, channel="email", **options),
}


def seen(made: Any) -> tuple[Connection, str]:
    """Where a client or a worker would go, and to which project."""
    if isinstance(made, Worker):
        return made._connection, made._hello.project
    return made._transport.connection, made.project


@pytest.fixture(params=list(MAKERS))
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return MAKERS[request.param]


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def test_without_variables_there_are_defaults(make: Callable[..., Any]) -> None:
    connection, project = seen(make())
    assert (connection.target, connection.token, connection.tls, project) == ("127.0.0.1:7171", "", False, "")


@pytest.mark.usefixtures("variables")
def test_variables_stand_for_what_is_not_said(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    connection, project = seen(make())
    assert (connection.target, connection.token, project) == ("muster.test:1", "of-the-environment", "shop")
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    connection, project = seen(make())
    assert (connection.target, connection.token, project) == ("127.0.0.1:7171", "", ""), "empty is as unset"


@pytest.mark.usefixtures("variables")
def test_arguments_win(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_TLS", "true")
    connection, project = seen(make("other.test:2", project="", token="", tls=False))
    assert (connection.target, connection.token, connection.tls, project) == ("other.test:2", "", False, "")


@pytest.mark.parametrize(
    ("variables", "tls"),
    [
        ({"MUSTER_TLS": "1"}, True),
        ({"MUSTER_TLS": "False"}, False),
        ({"MUSTER_TLS_CA": "/etc/roots.pem"}, Path("/etc/roots.pem")),
        ({"MUSTER_TLS_CA": "~/roots.pem", "MUSTER_TLS": "0"}, Path.home() / "roots.pem"),
    ],
)
def test_tls(variables: dict[str, str], tls: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert seen(muster.Client())[0].tls == tls


def test_a_variable_that_says_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_TLS", "perhaps")
    with pytest.raises(muster.InvalidInput) as caught:
        muster.Client()
    assert (caught.value.field, caught.value.mend) == ("MUSTER_TLS", "true or false")


def test_a_call_goes_where_the_variables_say(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_SERVER", fake.target)
    monkeypatch.setenv("MUSTER_PROJECT", "shop")
    monkeypatch.setenv("MUSTER_TOKEN", "secret-secret-secret")
    with muster.Client() as client:
        client.merge_users("a", "b")
        client.track("A", "u1")
        assert client.flush(10)
    assert {request.project for request in fake.ingest.requests} == {"shop"}
    assert {metadata["authorization"] for metadata in fake.ingest.metadata} == {"Bearer secret-secret-secret"}


def test_the_workers_within_a_server_heed_none(tmp_path: Path) -> None:
    secret = base64.b64encode(bytes(24)).decode()
    environ = {"MUSTER_PROJECT": "other", "MUSTER_TLS": "true", "MUSTER_WEBHOOK_SECRET": f"whsec_{secret}"}
    with start_server(tmp_path / "store", options=["--webhook"], environ=environ) as server:
        for _ in range(1_000):
            if "takes webhook" in (log := server.log.read_text("utf-8")):
                break
            time.sleep(0.01)
    assert "takes webhook of every project" in log


def test_a_test_server_heeds_no_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_CONFIG", str(tmp_path / "of-the-real-server.toml"))
    with start_server(tmp_path / "store") as server:
        assert isinstance(server, ServerProcess)
