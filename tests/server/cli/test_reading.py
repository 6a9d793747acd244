"""Promise: what the reading commands tell of real purchases is what DuckDB finds in the file, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import duckdb
import pytest

from tests.server.cli.conftest import Files, Muster

LOYAL = 'events["Purchase"].filter(e, e.amount > params.least).size() >= 2'


@pytest.fixture(scope="module")
def raw(files: Files) -> Iterator[duckdb.DuckDBPyConnection]:
    """The imported files as tables, ids as texts."""
    with duckdb.connect() as database:
        for name, path in (("customers", files.customers), ("purchases", files.purchases)):
            database.execute(
                f"create table {name} as select * from read_csv('{path}', types={{'customer': 'VARCHAR'}}, header=true)"
            )
        yield database


def only(raw: duckdb.DuckDBPyConnection, query: str) -> int:
    row = raw.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_everything_is_there(shop: Muster, raw: duckdb.DuckDBPyConnection, files: Files) -> None:
    found = shop("schema", "--json").document
    assert shop("project", "get", "--json").document["profiles"] == files.people
    assert {one["name"]: one["count"] for one in found["events"]}["Purchase"] == files.events
    assert only(raw, "select count(*) from purchases") == files.events


def test_a_count_is_duckdbs(shop: Muster, raw: duckdb.DuckDBPyConnection) -> None:
    query = "select count(*) from (select customer from purchases where amount > 20 group by 1 having count(*) >= 2)"
    expected = only(raw, query)
    assert expected > 20
    answer = shop("audience", "count", LOYAL, "--param", "least=20.0", "--json")
    assert answer.document["count"] == expected
    told = shop("audience", "count", LOYAL, "--param", "least=20.0", "--explain")
    assert told.out.startswith(f"{expected} of 400 users match (") and "1998-07-01T00:00:00Z" in told.out
    assert "not matched" in told.out and told.err == ""


def test_a_selection_is_duckdbs(shop: Muster, raw: duckdb.DuckDBPyConnection) -> None:
    rows = raw.execute("select distinct customer from purchases where amount > 100 order by 1").fetchall()
    expression = 'events["Purchase"].exists(e, e.amount > 100.0)'
    assert shop("audience", "select", expression).out.split() == [row[0] for row in rows]
    assert shop("audience", "select", expression, "--limit", 3, "--json").lines == [row[0] for row in rows[:3]]


def test_an_expression_from_a_file_and_from_standard_input(shop: Muster, tmp_path: Path) -> None:
    path = tmp_path / "loyal.cel"
    path.write_text(LOYAL + "\n")
    direct = shop("audience", "count", LOYAL, "--param", "least=20.0", "--json").document["count"]
    for words in (("@" + str(path),), ("@-",)):
        answer = shop("audience", "count", *words, "--param", "least=20.0", "--json", stdin=LOYAL)
        assert answer.document["count"] == direct


def test_a_name_never_seen_is_warned_of(shop: Muster) -> None:
    answer = shop("audience", "count", 'user["First nam"] == "Ada"')
    assert answer.status == 0 and answer.out.startswith("0 of 400") and "'First name'" in answer.err


def test_one_user_is_explained(shop: Muster, raw: duckdb.DuckDBPyConnection) -> None:
    count = only(raw, "select count(*) from purchases where customer = '00004'")
    expression = f'events["Purchase"].size() == {count} && user.plan == "free"'
    told = shop("audience", "explain", expression, "00004").out
    assert f'✓ events["Purchase"].size() == {count}' in told and "! user.plan" in told and "missing" in told
    tree = shop("audience", "explain", expression, "00004", "--json").document["explanation"]
    assert [part["verdict"] for part in tree["parts"]] == ["matches", "errs"]


def test_the_schema_counts_every_value(shop: Muster, raw: duckdb.DuckDBPyConnection, files: Files) -> None:
    told = shop("schema").out
    mails = only(raw, "select count(mail) from customers")
    assert mails < files.people
    assert ["$email", str(mails), "string"] in [line.split() for line in told.splitlines()]
    found = shop("schema", "--json").document
    kinds = {one["name"]: one["kinds"] for one in found["properties"]}
    assert kinds["$email"] == [{"kind": "string", "count": mails}]
    assert kinds["Last login"] == [{"kind": "timestamp", "count": files.people}]
    purchase = next(one for one in found["events"] if one["name"] == "Purchase")
    assert purchase["count"] == files.events
    assert {one["name"]: [kind["kind"] for kind in one["kinds"]] for one in purchase["properties"]} == {
        "amount": ["double"],
        "discs": ["int"],
    }


def test_a_profile_and_its_events(shop: Muster, raw: duckdb.DuckDBPyConnection) -> None:
    told = shop("profile", "get", "00004").out
    assert told.splitlines()[0] == "id       00004" and "Last login" in told and "T00:00:00Z" in told
    assert shop("profile", "get", "00004", "--json").document["distinct_ids"] == ["00004"]
    rows = raw.execute("select date, amount from purchases where customer = '00004' order by date desc").fetchall()
    events = shop("profile", "events", "00004", "--name", "Purchase", "--json").lines
    assert [(one["time"][:10], one["properties"]["amount"]) for one in events] == [(str(d), a) for d, a in rows]
    told = shop("profile", "events", "00004", "--limit", 1).out
    assert len(told.splitlines()) == 2 and "Purchase" in told
    assert "no such events" in shop("profile", "events", "00004", "--name", "Visit").err


def test_profiles_are_listed(shop: Muster) -> None:
    told = shop("profile", "list", "--limit", 2).out.splitlines()
    assert told[0].split() == ["id", "$email", "First", "name", "Last", "login"]
    assert [line.split()[0] for line in told[1:]] == ["00001", "00002"]
    found = shop("profile", "list", "user.$email".replace(".$email", '["$email"]') + ' == "x"', "--json")
    assert found.lines == [] and found.status == 0
    assert "nobody matches" in shop("profile", "list", "false").err


def test_users_are_merged_and_deleted(muster: Muster) -> None:
    env = {"MUSTER_PROJECT": "merging"}
    assert muster("project", "create", "merging").status == 0
    lines = '{"id":"a","n":1}\n{"id":"b","n":2,"m":3}\n'
    assert muster("import", "profiles", "-", "--format", "ndjson", env=env, stdin=lines).status == 0
    assert "with its history" in muster("profile", "merge", "a", "b", env=env).out
    found = muster("profile", "get", "b", "--json", env=env).document
    assert found["distinct_ids"] == ["a", "b"] and found["properties"] == {"n": 1, "m": 3}
    assert "other ids" in muster("profile", "get", "a", env=env).out
    assert "no history" in muster("profile", "merge", "a", "c", env=env).out
    assert muster("profile", "delete", "a", "--json", env=env).document == {"deleted": "a"}
    gone = muster("profile", "get", "b", env=env)
    assert gone.status == 1 and gone.err.startswith("muster: distinct_id: there is no user 'b' (")


def test_audiences_are_saved_listed_and_deleted(shop: Muster, tmp_path: Path) -> None:
    assert "no audience is saved yet" in shop("audience", "list").err
    assert shop("audience", "save", "whales", 'events["Purchase"].map(e, e.amount).sum() > 200.0').status == 0
    ids = tmp_path / "ids"
    ids.write_text("00001\n\n00002\n")
    assert (
        shop("audience", "save", "testers", "--ids", ids, "--description", "ours").out
        == "saved testers: 2 listed ids\n"
    )
    assert [one["name"] for one in shop("audience", "list", "--json").document] == ["testers", "whales"]
    assert " ".join(shop("audience", "list").out.splitlines()[1].split()).endswith("Z 2 listed ids ours")
    assert shop("audience", "count", 'audiences["testers"]', "--json").document["count"] == 2
    assert "sum() > 200.0" in shop("audience", "get", "whales").out
    wrong = shop("audience", "delete", "whale")
    assert wrong.status == 1 and "did you mean 'whales'?" in wrong.err
    for name in ("whales", "testers"):
        assert shop("audience", "delete", name).out == f"deleted {name}\n"


def test_a_profile_that_is_written_twice_by_two_kinds(muster: Muster) -> None:
    """Several kinds of one property are counted apart."""
    env = {"MUSTER_PROJECT": "kinds"}
    assert muster("project", "create", "kinds").status == 0
    lines = '{"id":"a","n":1}\n{"id":"b","n":"two"}\n'
    assert muster("import", "profiles", "-", "--format", "ndjson", env=env, stdin=lines).status == 0
    assert "int 1, string 1" in muster("schema", env=env).out


def test_on_a_narrow_terminal_no_word_is_broken_and_a_double_looks_like_one(muster: Muster) -> None:
    env = {"MUSTER_PROJECT": "narrow", "FORCE_COLOR": "1", "COLUMNS": "80", "NO_COLOR": "1"}
    assert muster("project", "create", "narrow").status == 0
    lines = "".join(
        f'{{"id":"a","time":"2026-01-0{day}","Campaign message key":"welcome","amount":25.0,"First seen":"2026-01-01"}}\n'
        for day in (1, 2)
    )
    words = ("import", "events", "-", "--format", "ndjson", "--event", "Campaign delivery", "--each-row")
    assert muster(*words, env=env, stdin=lines).status == 0
    told = click.unstyle(muster("schema", env=env).out).splitlines()
    assert max(map(len, told)) <= 80
    for row in (
        "event count first last",
        "event property events types",
        "Campaign delivery Campaign message key 2 string",
        "Campaign delivery First seen 2 timestamp",
        "Campaign delivery amount 2 double",
    ):
        assert row in [" ".join(line.split()) for line in told]
    assert "amount 25.0" in muster("profile", "events", "a", env={"MUSTER_PROJECT": "narrow"}).out


def test_a_difference_is_duckdbs(shop: Muster, raw: duckdb.DuckDBPyConnection) -> None:
    bought = "select distinct customer from purchases where amount > {}"
    before, after = 'events["Purchase"].exists(e, e.amount > 100.0)', 'events["Purchase"].exists(e, e.amount > 90.0)'
    entering = raw.execute(f"{bought.format(90)} except {bought.format(100)} order by 1").fetchall()
    found = shop("audience", "diff", before, after, "--json", "--limit", 1000).document
    assert (found["counts"]["entering"], found["counts"].get("leaving", 0)) == (len(entering), 0)
    assert found["entering"] == [row[0] for row in entering]
    told = shop("audience", "diff", after, before, "--limit", 0).out.splitlines()
    assert told[2].split() == ["leave", str(len(entering))] and told[3].split() == ["enter", "0"]
