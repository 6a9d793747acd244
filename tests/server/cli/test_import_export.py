"""Promise: what is imported is there once, broken imports go on, refused records are named, exports come back whole."""

from __future__ import annotations

import csv
import json
from itertools import islice
from pathlib import Path

import duckdb
import muster as sdk
import pytest

from server.cli.files.formats import format_of
from server.cli.files.mapping import Wishes
from server.cli.importing import BATCH, How, Import, Refusals, source_of
from server.demo import cdnow
from tests.server.cli.conftest import CACHE, IMPORT_CUSTOMERS, IMPORT_PURCHASES, Files, Muster, Server


def project(muster: Muster, name: str) -> dict[str, str]:
    """Make a project; the variable that names it."""
    assert muster("project", "create", name, "--clock", "manual", "--start", "1999-01-01").status == 0
    return {"MUSTER_PROJECT": name}


def test_a_file_is_imported_once(muster: Muster, files: Files) -> None:
    env = project(muster, "once")
    words = ("import", "profiles", files.customers, *IMPORT_CUSTOMERS)
    first = muster(*words, env=env)
    assert first.status == 0 and first.out.splitlines()[-1].startswith("imported 400 profiles in ")
    assert "Last login  timestamp" in " ".join(first.out.split()).replace("Last login Last login", "Last login ")
    again = muster(*words, env=env)
    assert again.status == 0 and "imported before: all 400 records" in again.out and "--import-id" in again.err
    named = muster(*words, "--import-id", "another", "--json", env=env).document
    assert (named["accepted"], named["resumed_at"], named["rejected"]) == (400, 0, 0)


def test_equal_rows_count_once_unless_each_row_is_asked_for(muster: Muster, tmp_path: Path) -> None:
    env = project(muster, "equal")
    path = tmp_path / "visits.csv"
    path.write_text("id,time\nu1,1998-01-01\nu1,1998-01-01\nu2,1998-01-01\n")
    told = muster("import", "events", path, "--event", "Visit", env=env).out
    assert "imported 2 events" in told and "1 more were known already" in told
    asked = muster("import", "events", path, "--event", "Step", "--each-row", "--json", env=env).document
    assert (asked["accepted"], asked["duplicates"]) == (3, 0)


def test_refused_records_are_named_by_line(muster: Muster, tmp_path: Path) -> None:
    env = project(muster, "refused")
    path = tmp_path / "events.ndjson"
    good = {"event": "Visit", "distinct_id": "u1", "time": "1998-01-01"}
    rows = [
        json.dumps(good),
        "{nonsense",
        json.dumps({**good, "properties": {"n": 2**70}}),
        json.dumps({**good, "distinct_id": "x" * 300}),
        json.dumps({**good, "time": "yesterday"}),
        json.dumps({**good, "properties": {"n": float("nan")}}),
        json.dumps({**good, "distinct_id": ""}),
        json.dumps({**good, "properties": {"n": 1}}),
    ]
    path.write_text("\n".join(rows))
    rejects = tmp_path / "rejects.ndjson"
    answer = muster("import", "events", path, "--rejects", rejects, "--json", env=env)
    assert answer.status == 1
    found = answer.document
    assert (found["records"], found["accepted"], found["rejected"]) == (8, 2, 6)
    by_line = {one["line"]: one["code"] for one in found["errors"]}
    assert by_line == {
        2: "ROW_UNREADABLE",
        3: "INT_OUT_OF_RANGE",
        4: "ID_TOO_LONG",
        5: "TIME_INVALID",
        6: "VALUE_NOT_FINITE",
        7: "EMPTY_ID",
    }
    assert all(one["mend"] for one in found["errors"])
    written = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert {one["line"] for one in written} == set(by_line)
    told = muster("import", "events", path, "--import-id", "again", "--max-rejected", 6, env=env)
    assert told.status == 0
    assert [line.split()[0] for line in told.out.splitlines() if "bytes" in line and line[0].isdigit()] == ["4", "7"]


def test_a_broken_import_goes_on_where_it_stopped(muster: Muster, server: Server, tmp_path: Path) -> None:
    env = project(muster, "broken")
    path = tmp_path / "purchases.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer", "date", "amount"])
        for one in islice(cdnow.purchases(cdnow.fetch(CACHE)), 4 * BATCH):
            writer.writerow([one.customer, one.day.date(), one.dollars])
    how = How("events", Wishes(distinct_id="customer", event="Purchase"), each_row=True)

    class Stopped(Exception):
        """The user's patience ended."""

    def stop(offset: int) -> None:
        if offset:
            raise Stopped

    with sdk.Client(server.address, project="broken") as client:
        job = Import(source_of(path, format_of(path), "", ()), how, Refusals(None), lambda _: None)
        with pytest.raises(Stopped):
            job.run(client, stop)
    answer = muster("import", "events", path, *IMPORT_PURCHASES, "--json", env=env)
    assert answer.status == 0, answer.err
    again = answer.document
    assert again["import_id"] == job.name and again["resumed_at"] >= BATCH
    assert again["resumed_at"] + again["accepted"] + again["unreported"] == 4 * BATCH
    assert muster("project", "get", "--json", env=env).document["events"] == 4 * BATCH


def test_a_dry_run_sends_nothing(muster: Muster, files: Files) -> None:
    env = project(muster, "dry")
    told = muster(
        "import", "events", files.purchases, *IMPORT_PURCHASES, "--type", "discs=string", "--dry-run", env=env
    )
    assert told.status == 0 and "nothing was sent" in told.err
    assert json.loads(told.out.splitlines()[-1])["properties"]["discs"].isdecimal()
    assert muster("project", "get", "--json", env=env).document["events"] == 0


def test_an_odd_value_is_warned_of(muster: Muster, tmp_path: Path) -> None:
    env = project(muster, "odd")
    path = tmp_path / "users.csv"
    path.write_text("id,seen\nu1,1998-01-01\nu2,1998-01-01\nu3,never\n")
    told = muster("import", "profiles", path, env=env)
    assert told.status == 0
    assert "'never' on line 4 is no timestamp" in told.err and "--type 'seen=timestamp'" in told.err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--distinct-id", "costumer"), "did you mean 'customer'?"),
        (("--distinct-id", "customer"), "give --name COLUMN (or --event NAME for all)"),
        (("--distinct-id", "customer", "--event", "P", "--type", "amount=dobule"), "did you mean 'double'?"),
        (("--distinct-id", "customer", "--event", "P", "--type", "amount"), "write --type 'NAME=VALUE'"),
        (("--distinct-id", "customer", "--event", "P", "--delimiter", "::"), "one character, or tab"),
        (("--distinct-id", "customer", "--event", "P", "--name", "date"), "give one of --name and --event"),
        (("--distinct-id", "customer", "--event", "P", "--rejects", "/nowhere/at/all"), "name another file"),
    ],
)
def test_wrong_wishes(shop: Muster, files: Files, words: tuple[str, ...], what: str) -> None:
    answer = shop("import", "events", files.purchases, *words)
    assert answer.status == 2 and answer.out == ""
    assert len(answer.err.splitlines()) == 1 and answer.err.startswith("muster: ") and what in answer.err


def test_standard_input_needs_a_format(shop: Muster) -> None:
    answer = shop("import", "profiles", "-", stdin="id\nu1\n")
    assert answer.status == 2 and "one of csv, ndjson, parquet" in answer.err


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_exported_events_are_the_imported_ones(shop: Muster, files: Files, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"events.{suffix}"
    assert shop("export", "events", path, "--name", "Purchase").out == f"wrote {files.events:,} events to {path}\n"
    reader = {"csv": "read_csv", "ndjson": "read_json", "parquet": "read_parquet"}[suffix]
    types = ", types={'distinct_id': 'VARCHAR'}" if suffix == "csv" else ""
    columns = "properties.amount, properties.discs" if suffix == "ndjson" else "amount, discs"
    with duckdb.connect() as database:
        exported = database.execute(
            f"select distinct_id, strftime(\"time\"::timestamp, '%Y-%m-%d'), {columns} from {reader}('{path}'{types}) order by all"
        ).fetchall()
        imported = database.execute(
            f"select customer, date::varchar, amount, discs from read_csv('{files.purchases}', "
            "types={'customer': 'VARCHAR'}) order by all"
        ).fetchall()
    assert exported == imported


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet", "ndjson.gz"])
def test_an_export_makes_the_same_project_elsewhere(shop: Muster, muster: Muster, tmp_path: Path, suffix: str) -> None:
    env = project(muster, f"copy-{suffix.replace('.', '-')}")
    users, events = tmp_path / f"users.{suffix}", tmp_path / f"events.{suffix}"
    where = ("--where", 'events["Purchase"].size() > 3')
    assert shop("export", "profiles", users, *where, "--json").document["records"] > 20
    assert shop("export", "events", events, *where, "--name", "Purchase").status == 0
    assert muster("import", "profiles", users, env=env).status == 0
    assert muster("import", "events", events, env=env).status == 0
    for words in (("export", "profiles"), ("export", "events")):
        there = sorted(muster(*words, env=env).out.splitlines())
        here = sorted(shop(*words, *where, *(["--name", "Purchase"] if words[1] == "events" else [])).out.splitlines())
        assert there == here


def test_deliveries_are_exported(shop: Muster, tmp_path: Path) -> None:
    file = tmp_path / "told.toml"
    assert shop("message", "new", "email", file).status == 0
    file.write_text(file.read_text().replace('user.plan == "free" && user["Last login"] < now', "now > now"))
    assert shop("message", "create", file).status == 0
    assert shop("message", "update", "told", "--targeting", 'events["Purchase"].size() > 5').status == 0
    assert shop("message", "launch", "told", "--existing", "skip").status == 0
    path = tmp_path / "deliveries.csv"
    assert shop("export", "deliveries", path, "--message", "told").status == 0
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    selected = shop("message", "report", "told", "--json").document["counts"]["selected"]
    assert len(rows) == selected > 5 and {row["message"] for row in rows} == {"told"}
    assert {row["decided"] for row in rows} == {"1998-07-01T00:00:00Z"}
    assert shop("message", "end", "told").status == 0


def test_exports_that_cannot_be_written(shop: Muster, tmp_path: Path) -> None:
    for words, what in (
        (("events", tmp_path / "a.txt"), "name it .csv"),
        (("profiles", tmp_path / "no" / "a.csv"), "cannot be written"),
        (("profiles", tmp_path / "a.csv", "--where", "user."), "^"),
        (("deliveries", tmp_path / "a.csv", "--message", "nothing"), "there is no message 'nothing'"),
    ):
        answer = shop("export", *words)
        assert answer.status in (1, 2) and answer.out == "" and what in answer.err
    assert list(tmp_path.iterdir()) == []
