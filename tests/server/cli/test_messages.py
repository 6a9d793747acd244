"""Promise: a message goes from a commented example to a report that adds up, by commands alone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.cli.conftest import IMPORT_CUSTOMERS, IMPORT_PURCHASES, Files, Muster, Server

LAPSED = 'events["Purchase"].size() >= 2 && !events["Purchase"].exists(e, e.time > now - duration("2160h"))'
WAIT_SECONDS = 60.0


def edited(path: Path, **fields: str) -> Path:
    """An example with other values in some fields, as an editor would leave it."""
    text = path.read_text()
    for name, value in fields.items():
        line = f"{name} = {value}".replace("\\", r"\\")
        text, count = re.subn(rf"^{name} = (?:'''.*?'''|.*?)$", line, text, flags=re.M | re.S)
        assert count == 1, name
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def played(muster: Muster, files: Files, tmp_path_factory: pytest.TempPathFactory) -> Muster:
    """A sandbox project in which the mail of the demo was played through, in moves of the clock."""
    env = {"MUSTER_PROJECT": "played"}
    folder = tmp_path_factory.mktemp("played")
    for words in (
        ("project", "create", "played", "--clock", "manual", "--start", "1997-01-01"),
        ("message", "new", "email", folder / "we-miss-you.toml"),
    ):
        assert muster(*words, env=env).status == 0
    file = edited(folder / "we-miss-you.toml", targeting=f"'''{LAPSED}'''", subject="'Hi {{ ${First name} }}'")
    for words in (
        ("message", "create", file),
        ("message", "launch", "we-miss-you", "--existing", "skip"),
        ("import", "profiles", files.customers, *IMPORT_CUSTOMERS),
        ("import", "events", files.purchases, *IMPORT_PURCHASES),
        ("project", "clock", "--to", "1997-07-01"),
        ("project", "clock", "--by", "30d"),
        ("project", "clock", "--to", "1998-07-01"),
    ):
        answer = muster(*words, env=env)
        assert answer.status == 0, answer.err

    return lambda *words, **how: muster(*words, env=env, **how)


def test_the_report_accounts_for_everybody(played: Muster) -> None:
    found = played("message", "report", "we-miss-you", "--json").document
    counts = found["counts"]
    skipped = sum(one["users"] for one in counts["skipped"])
    states = ("held_out", "deferred", "queued", "begun", "sent", "failed", "ambiguous")
    assert counts["selected"] == skipped + sum(counts[state] for state in states) > 100
    assert found["reconciled"] is True
    told = played("message", "report", "we-miss-you")
    assert told.status == 0
    assert f"reconciled: every one of {counts['selected']:,} is in exactly one state" in told.out
    rows = [line.split() for line in told.out.splitlines()]
    assert ["selected", f"{counts['selected']:,}"] in rows and ["held", "out", "0"] in rows
    months = [row for row in rows if row and re.fullmatch(r"199[78]-[0-9]{2}", row[0])]
    assert sum(int(row[1].replace(",", "")) for row in months) == counts["selected"]


def test_the_inbox_holds_what_was_sent(played: Muster) -> None:
    started = time.monotonic()
    while (counts := played("message", "report", "we-miss-you", "--json").document["counts"])["queued"]:
        assert time.monotonic() - started < WAIT_SECONDS
        time.sleep(0.1)
    sent = counts["sent"]
    assert sent > 50
    entries = played("inbox", "--message", "we-miss-you", "--limit", 1_000, "--json").lines
    assert len(entries) == sent and all(one["subject"].startswith("Hi ") for one in entries)
    first = entries[0]
    table = played("inbox", "--limit", 1).out
    assert table.splitlines()[1].split()[1:4] == ["we-miss-you", first["distinct_id"], first["to"]]
    full = played("inbox", "--user", first["distinct_id"], "--full").out
    assert "Come and have a look" in full and first["idempotency_key"] in full


def test_the_inbox_tells_what_it_let_go_of(muster: Muster, tmp_path: Path) -> None:
    env = {"MUSTER_PROJECT": "keeping"}
    people, mail = tmp_path / "people.csv", tmp_path / "hi.toml"
    people.write_text("id,mail\n" + "".join(f"u{number},u{number}@example.com\n" for number in range(5)))
    for words in (
        ("project", "create", "keeping", "--clock", "manual", "--start", "2026-01-01", "--inbox-limit", "2"),
        ("import", "profiles", people, "--distinct-id", "id", "--rename", "mail=$email"),
        ("message", "new", "email", mail),
        ("message", "create", "-"),
        ("message", "launch", "hi", "--existing", "send"),
    ):
        text = edited(mail, targeting="'\"$email\" in user'").read_text() if words[-1] == "-" else None
        answer = muster(*words, env=env, stdin=text)
        assert answer.status == 0, answer.err
    started = time.monotonic()
    while muster("message", "report", "hi", "--json", env=env).document["counts"]["sent"] != 5:
        assert time.monotonic() - started < WAIT_SECONDS
        time.sleep(0.1)
    answer = muster("inbox", env=env)
    assert len(answer.out.splitlines()) == 3
    assert "3 older entries were let go of: the inbox keeps 2, the newest" in answer.err
    assert "older entries" not in muster("inbox", "--limit", 2, env=env).err
    assert "2, let go of 3" in muster("project", "get", env=env).out
    assert "1 to 10,000,000" in muster("project", "update", "--inbox-limit", 10_000_001, env=env).err


def test_deliveries_explanations_and_previews_agree(played: Muster) -> None:
    rows = played("message", "deliveries", "we-miss-you", "--limit", 0, "--json").lines
    lacking = next(one for one in rows if one["reason"].startswith("missing_property"))
    only = played("message", "deliveries", "--state", "skipped", "--limit", 0, "--json").lines
    assert only == [one for one in rows if one["state"] == "skipped"]
    user = lacking["distinct_id"]
    told = played("message", "explain", "we-miss-you", user).out
    assert told.startswith(f"{user}: skipped (missing_property") and "lacks First name" in told
    gates = played("message", "explain", "we-miss-you", user, "--json").document["gates"]
    assert {one["name"]: one["passed"] for one in gates}["properties"] is False
    shown = played(
        "message", "preview", "we-miss-you", next(one["distinct_id"] for one in rows if one["state"] == "sent")
    )
    assert shown.out.startswith("would not be sent (once") and "Hi " in shown.out
    limited = played("message", "deliveries", "--limit", 2)
    assert len(limited.out.splitlines()) == 3 and "--limit 0" in limited.err


def test_a_dry_run_says_to_how_many_it_would_really_go(muster: Muster, tmp_path: Path) -> None:
    env = {"MUSTER_PROJECT": "forecast"}
    assert muster("project", "create", "forecast").status == 0
    users = "id,$email,name\nu1,u1@example.com,A\nu2,u2@example.com,B\nu3,u3@example.com,C\nu4,,D\nu5,u5@example.com,\n"
    assert muster("import", "profiles", "-", "--format", "csv", env=env, stdin=users).status == 0
    file = tmp_path / "em.toml"
    assert muster("message", "new", "email", file).status == 0
    edited(file, targeting="'true'", subject="'Hi {{ ${name} }}'")
    assert muster("message", "create", file, env=env).status == 0
    dry = muster("message", "launch", "em", "--dry-run", env=env)
    assert dry.out.splitlines()[0] == (
        "em would go to 3 of the 5 who match now (1 cannot be reached, 1 lacks what the template needs)"
    )
    assert muster("message", "launch", "em", "--dry-run", "--json", env=env).document["forecast"]["ready"] == 3
    skipping = muster("message", "launch", "em", "--dry-run", "--existing", "skip", env=env)
    assert skipping.out.startswith("em would go to none of the 5 who match now: they are skipped for good")
    assert muster("message", "update", "em", "--max-recipients", 2, env=env).status == 0
    assert "it would pause instead" in muster("message", "launch", "em", "--dry-run", env=env).err
    assert muster("message", "update", "em", "--max-recipients", 0, env=env).status == 0
    assert muster("message", "launch", "em", "--existing", "send", env=env).status == 0
    shown = muster("message", "preview", "em", "u5", env=env).out
    assert shown.splitlines()[0] == (
        "would not be sent (once: selected before (skipped: missing_property:name), and this message selects once ever)"
    )


def test_a_life(shop: Muster, tmp_path: Path) -> None:
    assert "`message create`" not in shop("message", "list", "--state", "live").err
    path = tmp_path / "life.toml"
    assert shop("message", "new", "webhook", path).out == f"wrote {path}\n"
    again = shop("message", "new", "webhook", path)
    assert again.status == 2 and "the file exists" in again.err
    assert shop("message", "create", path).out == "created life, a draft\n"
    assert shop("message", "create", path).status == 1
    assert "life" in shop("message", "list").out and '["Purchase"]' in shop("message", "list").out
    got = shop("message", "get", "life").out
    assert "max recipients  10,000" in got and "https://example.com/hooks" in got
    assert (
        shop("message", "update", "life", "--title", "Whales", "--expires-after", "1d", "--max-recipients", 0).status
        == 0
    )
    found = shop("message", "get", "life", "--json").document
    assert (found["title"], found["expires_after"], found["max_recipients"]) == ("Whales", 86_400.0, 0)
    stale = shop("message", "update", "life", "--title", "x", "--etag", "gone")
    assert stale.status == 1 and stale.err.startswith("muster: ")
    asked = shop("message", "launch", "life")
    assert asked.status == 2 and "--existing send, or --existing skip" in asked.err
    dry = shop("message", "launch", "life", "--existing", "send", "--dry-run")
    count = shop("audience", "count", 'events["Purchase"].map(e, e.amount).sum() > 200.0', "--json").document["count"]
    assert dry.out.startswith(f"life would go to {count} of the {count} who match now")
    assert shop("message", "launch", "life", "--existing", "send").out == f"life is live: {count} selected so far\n"
    assert shop("message", "pause", "life", "--json").document[0]["state"] == "paused"
    assert shop("message", "resume", "life").out == "resumed life\n"
    assert shop("message", "pause", "--all").out == "paused life\n"
    assert "no message was live" in shop("message", "pause", "--all").err
    assert "nothing of it is ambiguous" in shop("message", "resolve", "life", "mark-sent").out
    assert shop("message", "end", "life").out == "ended life\n"
    assert [one["key"] for one in shop("message", "list", "--state", "ended", "--json").document].count("life") == 1


def test_a_message_at_an_instant_and_its_changes_from_a_file(shop: Muster, tmp_path: Path) -> None:
    path = tmp_path / "later.toml"
    assert shop("message", "new", "email", path).status == 0
    edited(path, schedule="1999-01-01T09:00:00Z", targeting="'''true'''")
    assert shop("message", "create", path).status == 0
    edited(path, title='"New year"')
    assert shop("message", "update", "later", "--file", path).out.startswith("updated later: title, targeting")
    assert shop("message", "launch", "later").out == "later is live: everybody is judged at 1999-01-01T09:00:00Z\n"
    assert "1999-01-01T09:00:00Z" in shop("message", "list").out
    assert shop("message", "update", "other", "--file", path).status == 2
    assert shop("message", "end", "later").status == 0


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A real SMTP server: its port, and the file in which it records what it takes."""
    record = tmp_path / "mails.ndjson"
    words = [sys.executable, "-m", "channels.doubles", "smtp", "--record", str(record)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip().rpartition(":")[2], record
    process.terminate()
    process.communicate(timeout=30)


def edited_hello(muster: Muster, folder: Path) -> Path:
    """A message `hello` to everybody."""
    file = folder / "hello.toml"
    assert muster("message", "new", "email", file).status == 0
    return edited(file, targeting="'''true'''")


def test_a_worker_of_its_own_sends_the_mails(
    muster: Muster, server: Server, mail_server: tuple[str, Path], tmp_path: Path
) -> None:
    env = {"MUSTER_PROJECT": "mailing"}
    port, record = mail_server
    users = "".join(f'{{"id":"u{n}","$email":"u{n}@example.com"}}\n' for n in range(30))
    assert muster("project", "create", "mailing", "--allow", "u1@example.com").status == 0
    assert muster("import", "profiles", "-", "--format", "ndjson", env=env, stdin=users).status == 0
    assert muster("project", "live", env=env).status == 0
    file = edited_hello(muster, tmp_path)
    assert muster("message", "create", file, env=env).status == 0
    assert muster("message", "launch", "hello", "--existing", "send", env=env).status == 0

    words = [
        "channel",
        "email",
        "--server",
        server.address,
        "--project",
        "mailing",
        "--json",
        "--smtp-security",
        "plain",
    ]
    worker = subprocess.Popen(
        [sys.executable, "-m", "server.cli", *words, "--smtp-host", "127.0.0.1", "--smtp-port", port],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stderr is not None
        begun = worker.stderr.readline()
        assert f"email of the project mailing, from {server.address}, is sent by 127.0.0.1:{port} (plain)" in begun
        assert "connected: batches are taken" in worker.stderr.readline()
        started = time.monotonic()
        while muster("message", "report", "hello", "--json", env=env).document["counts"]["sent"] < 30:
            assert worker.poll() is None and time.monotonic() - started < WAIT_SECONDS
            time.sleep(0.2)
    finally:
        worker.send_signal(signal.SIGTERM)
        out, err = worker.communicate(timeout=30)
    assert worker.returncode == 0, err
    assert json.loads(out)["sent"] == 30
    assert len(record.read_text().splitlines()) == 30
    assert err == ""


def test_a_worker_says_that_server_or_provider_is_away(muster: Muster, server: Server, tmp_path: Path) -> None:
    env = {"MUSTER_PROJECT": "away"}
    assert muster("project", "create", "away", env=env).status == 0
    assert muster("project", "live", env=env).status == 0
    user = '{"id":"u","$email":"u@example.com"}\n'
    assert muster("import", "profiles", "-", "--format", "ndjson", env=env, stdin=user).status == 0
    file = edited_hello(muster, tmp_path)
    assert muster("message", "create", file, env=env).status == 0
    assert muster("message", "launch", "hello", "--existing", "send", env=env).status == 0
    words = ("--project", "away", "--smtp-host", "127.0.0.1", "--smtp-port", "1", "--smtp-security", "plain")
    for address, line in (
        (server.address, "the provider cannot be reached, and is tried again: 127.0.0.1:1"),
        ("127.0.0.1:1", "has no stream of 127.0.0.1:1, and tries again"),
    ):
        worker = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "channel", "email", "--server", address, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert worker.stderr is not None
            warning = next(one for one in worker.stderr if "WARNING" in one)
        finally:
            worker.send_signal(signal.SIGTERM)
            out, _ = worker.communicate(timeout=30)
        assert line in warning and worker.returncode == 0
        assert out.startswith("email: 0 sent")


def test_a_worker_without_a_provider_says_so(muster: Muster) -> None:
    for channel, word in (("email", "--smtp-host"), ("webhook", "whsec_")):
        answer = muster("channel", channel)
        assert answer.status == 2 and word in answer.err and len(answer.err.splitlines()) == 1


def test_a_message_is_simulated_from_a_file_and_nothing_changes(shop: Muster, tmp_path: Path) -> None:
    file = tmp_path / "simulated.toml"
    file.write_text(
        "key = \"simulated\"\ntargeting = '''events[\"Purchase\"].exists(e, e.time > now - duration(\"720h\"))'''\n"
        '[email]\nsubject = "Hi"\nfrom = "a@example.com"\ntext = \'Thanks, {{ user["First name"] }}\'\n'
    )
    words = ("simulate", "--file", file, "--start", "1997-06-01", "--end", "1998-07-01", "--existing", "send")
    found = shop(*words, "--json").document["messages"][0]
    assert found["message"]["key"] == "simulated" and found["selected"] > 0
    assert sum(one["users"] for one in found["counts"]) == found["selected"]
    told = shop(*words)
    assert told.status == 0 and "simulated" in told.out and "█" in told.out and "Thanks," in told.out
    assert "simulated" not in shop("message", "list").out
    unsaid = shop("simulate", "--file", file)
    assert unsaid.status == 2 and "--end" in unsaid.err
