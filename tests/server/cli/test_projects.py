"""Promise: a project is made, listed, let out of its sandbox and moved through time by commands."""

from __future__ import annotations

from tests.server.cli.conftest import Muster


def test_a_project_is_made_and_changed(muster: Muster) -> None:
    words = ("--clock", "manual", "--start", "2026-01-01", "--time-zone", "Europe/Berlin", "--allow", "a@example.com")
    made = muster("project", "create", "office", *words)
    assert made.out == "created office, a sandbox: what it sends lands in `muster inbox`\n"
    assert "muster --project office import profiles" in made.err
    found = muster("project", "get", "office", "--json").document
    assert (found["clock"], found["sandbox"], found["time_zone"]) == ("manual", True, "Europe/Berlin")
    assert found["allowed_addresses"] == ["a@example.com"] and found["now"] == "2026-01-01T00:00:00Z"
    assert muster("project", "create", "office").status == 1
    listed = muster("project", "list").out
    assert listed.splitlines()[0].split()[:3] == ["name", "profiles", "events"]
    row = next(line.split() for line in listed.splitlines() if line.startswith("office"))
    assert row == ["office", "0", "0", "sandbox", "manual", "2026-01-01T00:00:00Z", "Europe/Berlin"]

    assert muster("project", "update", "office", "--time-zone", "UTC", "--json").document["time_zone"] == "UTC"
    assert muster("project", "update", "office").status == 2
    assert muster("project", "update", "office", "--live", "--etag", found["etag"]).status == 1  # it has changed since
    assert "everybody" in muster("project", "live", "office").out
    assert "sandbox" in muster("project", "sandbox", "office").out


def test_the_allow_list_grows_and_shrinks(muster: Muster) -> None:
    env = {"MUSTER_PROJECT": "listing"}
    assert muster("project", "create", "listing").status == 0
    assert "really sends to nobody" in muster("project", "allow", env=env).err
    assert muster("project", "allow", "a@example.com", "b@example.com", env=env).out == "a@example.com\nb@example.com\n"
    assert muster("project", "allow", "a@example.com", "--remove", "--json", env=env).document == ["b@example.com"]
    assert muster("project", "allow", "c@example.com", "--clear", "--json", env=env).document == ["c@example.com"]
    assert muster("project", "allow", "--clear", "--json", env=env).document == []


def test_the_clock_is_shown_and_moved(muster: Muster) -> None:
    env = {"MUSTER_PROJECT": "ticking"}
    assert (
        muster("project", "create", "ticking", "--clock", "manual", "--start", "2026-01-01T08:00:00+01:00").status == 0
    )
    assert "2026-01-01T07:00:00Z" in muster("project", "clock", env=env).out
    assert muster("project", "clock", "--json", env=env).document == {"clock": "manual", "now": "2026-01-01T07:00:00Z"}
    assert muster("project", "clock", "--by", "1h30m", env=env).out == "now 2026-01-01T08:30:00Z\n"
    assert muster("project", "clock", "--to", "2026-02-01", "--json", env=env).document["now"] == "2026-02-01T00:00:00Z"
    back = muster("project", "clock", "--to", "2026-01-01", env=env)
    assert back.status != 0 and back.err.startswith("muster: to: ")
    for words in (("--to", "soon"), ("--by", "3 days"), ("--by", "9999999w"), ("--to", "2026-03-01", "--by", "1d")):
        answer = muster("project", "clock", *words, env=env)
        assert answer.status == 2 and answer.out == ""
        assert len(answer.err.splitlines()) == 1 and answer.err.rstrip().endswith(")")


def test_without_a_name_several_projects_are_listed(muster: Muster) -> None:
    for name in ("one-of-many", "two-of-many"):
        assert muster("project", "create", name).status == 0
    answer = muster("schema")
    assert answer.status == 2 and "no project is named (give --project NAME: " in answer.err
