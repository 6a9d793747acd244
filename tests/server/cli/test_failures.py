"""Promise: what goes wrong is said in one line, with what would be right, on standard error, and with a stable status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from server.cli.failures import caret
from tests.server.cli.conftest import Muster, Server, run

WRONG = [
    (("audiense",), 2, "no such command 'audiense' (did you mean 'audience'?)"),
    (("audience", "cuont"), 2, "no such command 'cuont' (did you mean 'count'?)"),
    (("audience", "count", "true", "--explane"), 2, "no such option '--explane' (did you mean '--explain'?)"),
    (("audience", "count"), 2, "missing argument 'EXPRESSION' (see `muster audience count --help`)"),
    (("audience", "count", "true", "--param", "x"), 2, "write --param 'NAME=VALUE'"),
    (("audience", "count", "@nothing.cel"), 2, "nothing.cel: cannot be read"),
    (("audience", "select", "true", "--limit", "-1"), 2, "--limit"),
    (("audience", "explain", "true", "nobody"), 1, "there is no user 'nobody' ("),
    (("audience", "explain", "true", ""), 2, "the id is empty (1 to 255 bytes of UTF-8)"),
    (("audience", "get", "nothing"), 1, "there is no audience 'nothing'"),
    (("audience", "save", "x"), 2, "give one of EXPRESSION and --ids"),
    (("audience", "save", "x", "--ids", "nothing"), 2, "cannot be read"),
    (("profile", "get", "x" * 256), 2, "1 to 255 bytes of UTF-8"),
    (("message", "get", "nothing"), 1, "there is no message 'nothing'"),
    (("message", "pause"), 2, "give one of KEY and --all"),
    (("message", "resolve", "x", "mark-red"), 2, "mark-red"),
    (("message", "update", "x"), 2, "give --file, or an option"),
    (("message", "create", "nothing.toml"), 2, "nothing.toml: cannot be read"),
    (("message", "new", "pigeon"), 2, "'pigeon' is not one of 'email', "),
    (("project", "create", "No Name"), 2, "a lower-case letter"),
    (("project", "create", "x", "--time-zone", "Mars"), 2, "an IANA name"),
    (("project", "create", "x", "--start", "2026-01-01"), 2, "start_time"),
    (("project", "get", "shup"), 1, "did you mean 'shop'?"),
    (("--project", "shup", "schema"), 1, "did you mean 'shop'?"),
    (("schema", "--timeout-seconds", "soon"), 2, "'soon' does not fit (a number)"),
    (("schema", "--tls-ca", "nothing.pem"), 2, "nothing.pem: cannot be read"),
    (("schema", "--token-file", "nothing"), 2, "the token file cannot be read"),
    (("schema", "--config", "nothing.toml"), 2, "the configuration cannot be read"),
    (("backup", "relative", "--project", "nothing"), 1, "there is no project 'nothing'"),
    (("verify", "nothing"), 2, "a server's folder, or a backup"),
    (("completion", "tcsh"), 2, "'tcsh' is not one of"),
    (("serve", "--listen", "0.0.0.0:7171"), 2, "there is no token file (give --token-file"),
    (("serve", "--listen", "nowhere"), 2, "host:port, such as"),
    (("serve", "--log-level", "loud"), 2, "'loud' is not one of"),
]


@pytest.mark.parametrize(("words", "status", "what"), WRONG, ids=[" ".join(words)[:40] for words, *_ in WRONG])
def test_one_line_with_the_mend(shop: Muster, words: tuple[str, ...], status: int, what: str) -> None:
    answer = shop(*words)
    assert (answer.status, answer.out) == (status, "")
    assert answer.err.startswith("muster: ") and answer.err.endswith("\n") and answer.err.count("\n") == 1
    assert what in answer.err


@pytest.mark.parametrize("words", [("schema",), ("audience", "count", "tru")])
def test_json_asked_for_changes_no_error(shop: Muster, words: tuple[str, ...]) -> None:
    answer = shop(*words, "--json", "--project", "shup")
    assert answer.status == 1 and answer.out == "" and answer.err.startswith("muster: project: ")


def test_an_expression_is_shown_with_a_caret(shop: Muster, tmp_path: Path) -> None:
    for words in (
        ("audience", "count"),
        ("audience", "select"),
        ("profile", "list"),
        ("export", "profiles", "--where"),
    ):
        answer = shop(*words, "user.plan == fre && true")
        lines = answer.err.splitlines()
        assert answer.status == 2 and answer.out == ""
        assert lines[0].startswith("muster: expression: ") and lines[1] == "  user.plan == fre && true"
        assert lines[2] == " " * (2 + len("user.plan == ")) + "^"
    file = tmp_path / "wrong.toml"
    assert shop("message", "new", "email", file).status == 0
    file.write_text(file.read_text().replace('user.plan == "free"', 'usr.plan == "free"'))
    lines = shop("message", "create", file).err.splitlines()
    assert "message.targeting" in lines[0] and lines[1].startswith("  usr.plan") and lines[2] == "  ^"


def test_carets_in_long_and_in_broken_texts() -> None:
    assert caret("a\nbcd\nef", 4) == ("bcd", "  ^")
    line, pointer = caret("x" * 50_000 + "!" + "x" * 50_000, 50_000)
    assert len(line) == 120 and line[pointer.index("^")] == "!"
    assert caret("a", 99) == ("a", " ^")


def test_targeting_that_cannot_be_launched_is_shown_with_a_caret(shop: Muster, tmp_path: Path) -> None:
    file = tmp_path / "unknown-time.toml"
    assert shop("message", "new", "email", file).status == 0
    file.write_text(file.read_text().replace('user.plan == "free"', "timestamp(user.when) < now"))
    assert shop("message", "create", file).status == 0
    answer = shop("message", "launch", "unknown-time", "--existing", "send")
    lines = answer.err.splitlines()
    assert answer.status == 2 and len(lines) == 3 and lines[2].strip() == "^"
    assert lines[1][lines[2].index("^") :].startswith(("now", "timestamp", "<"))


def test_a_template_that_does_not_parse_is_placed(shop: Muster, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    assert shop("message", "new", "email", file).status == 0
    file.write_text(file.read_text().replace("Dear {{", "Dear {%"))
    answer = shop("message", "create", file)
    assert answer.status == 2 and answer.err.count("\n") == 1
    assert "text" in answer.err.split("(")[0] and answer.err.count("line 1, column") == 1


def test_nobody_answers() -> None:
    answer = run("project", "list", "--server", "127.0.0.1:1")
    assert answer.status == 1 and answer.out == ""
    assert answer.err == (
        "muster: no server answers at 127.0.0.1:1 (start one with `muster serve`, or name another with --server)\n"
    )


def test_the_overview_names_every_command() -> None:
    answer = run()
    assert answer.status == 0 and answer.err == ""
    for word in (
        "demo",
        "serve",
        "import",
        "export",
        "audience",
        "message",
        "inbox",
        "verify",
        "Start with `muster demo`",
    ):
        assert word in answer.out
    group = run("audience")
    assert group.status == 2 and "count" in group.err and group.out == ""
    assert run("--version").out.startswith("muster ")


def test_a_reader_who_has_enough_ends_the_command_quietly(shop: Muster, server: Server) -> None:
    words = [sys.executable, "-m", "server.cli", "audience", "select", "true", "--server", server.address]
    process = subprocess.Popen([*words, "--project", "shop"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(60) == 1 and err == b""
