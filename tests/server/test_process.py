"""Promise: as a process the server tells when it is ready, ends at a signal with status 0, and says in words why it
cannot start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from muster.testing import start_server
from muster.v1 import project_pb2, project_pb2_grpc

COMMAND = [sys.executable, "-m", "server.cli", "serve"]


def names(target: str) -> list[str]:
    """The projects of a server."""
    with grpc.insecure_channel(target) as channel:
        stub = project_pb2_grpc.ProjectServiceStub(channel)
        return [one.name for one in stub.ListProjects(project_pb2.ListProjectsRequest()).projects]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order_and_what_was_made_is_there_again(tmp_path: Path, number: int) -> None:
    with start_server(tmp_path / "store") as server:
        with grpc.insecure_channel(server.target) as channel:
            project_pb2_grpc.ProjectServiceStub(channel).CreateProject(project_pb2.CreateProjectRequest(name="shop"))
        os.kill(server.pid, number)
        assert server.process.wait(60) == 0
        assert "stopping" in server.log.read_text()
        assert "Traceback" not in server.log.read_text()
    with start_server(tmp_path / "store") as again:
        assert names(again.target) == ["shop"]


def test_json_logs_are_one_object_a_line(tmp_path: Path) -> None:
    with start_server(tmp_path / "store", options=["--log-format", "json"]) as server:
        server.stop()
        entries = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert entries[0]["logger"] == "muster.server"
    assert {"time", "level", "message"} <= set(entries[0])


def test_a_second_server_on_the_folder_says_so_in_one_line_and_harms_nothing(tmp_path: Path) -> None:
    with start_server(tmp_path / "store") as server:
        second = subprocess.run(
            [*COMMAND, "--store", str(server.store), "--listen", "127.0.0.1:0", "--http-listen", ""],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode != 0
        assert f"process {server.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        assert names(server.target) == []


def test_a_port_in_use_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = subprocess.run(
            [*COMMAND, "--store", str(tmp_path / "store"), "--listen", address, "--http-listen", ""],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert refused.returncode != 0
    assert refused.stderr.startswith("muster: ") and address in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_an_address_beyond_loopback_needs_tokens(tmp_path: Path) -> None:
    refused = subprocess.run(
        [*COMMAND, "--store", str(tmp_path / "store"), "--listen", "0.0.0.0:0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode != 0
    assert "--token-file" in refused.stderr
    assert not (tmp_path / "store").exists()
