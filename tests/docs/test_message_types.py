"""Promise: what the pages about messages show happens as they show it."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.demo.processes import Server
from tests.docs.consoles import commands_of, files_of
from tests.docs.test_readme import README, ROOT, run

PAGES = [
    "campaigns",
    "consent",
    "email",
    "feedback",
    "in-app",
    "push",
    "results",
    "schedules",
    "sms",
    "snippets",
    "translations",
    "webhooks",
]


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page(page: str, tmp_path: Path) -> None:
    source = ROOT / "docs" / f"{page}.md"
    for name, text in files_of(source).items():
        (tmp_path / name).write_text(text, "utf-8")
    commands = commands_of(source)
    assert commands
    with Server(tmp_path / "shop-store", tmp_path / "server.log", {}) as server:
        for command in commands:
            assert command.differs(run(command, tmp_path, server.target)) == ""


@pytest.mark.parametrize("page", PAGES)
def test_the_readme_leads_to_the_page(page: str) -> None:
    assert f"(docs/{page}.md)" in README.read_text("utf-8")
