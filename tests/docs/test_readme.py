"""Promise: the README's five minutes happen as it shows them, and its pages are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.demo.processes import Server
from tests.docs.consoles import Command, commands_of, files_of

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "shop-store", tmp_path / "server.log", {}) as server:
        yield server


def run(command: Command, folder: Path, target: str) -> str:
    """What a command prints, on both outputs."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    environ |= {
        "MUSTER_PROJECT": "shop",
        "MUSTER_SERVER": target,
        "COLUMNS": "160",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        command.text,
        shell=True,
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def test_the_five_minutes(server: Server, tmp_path: Path) -> None:
    for name, text in files_of(README).items():
        (tmp_path / name).write_text(text, "utf-8")
    commands = [one for one in commands_of(README) if not one.text.startswith(("muster serve", "export "))]
    assert len(commands) >= 10
    for command in commands:
        assert command.differs(run(command, tmp_path, server.target)) == ""


def test_a_wrong_page_is_found() -> None:
    command = Command("echo", "2 of 3, in … ms\nend")
    assert command.differs("2 of 3, in 4.5 ms\nend\n") == ""
    assert "it printed:     3 of 3" in command.differs("3 of 3, in 4.5 ms\nend\n")
    assert "(nothing)" in command.differs("2 of 3, in 4.5 ms\n")


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "clients/python/README.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", path.read_text("utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_page_of_the_documents_is_named() -> None:
    text = README.read_text("utf-8")
    pages = [path.name for path in (ROOT / "docs").glob("*.md")]
    assert [page for page in pages if f"docs/{page}" not in text] == []
