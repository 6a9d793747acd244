"""Promise: topics, unsubscriptions and suppressions are read and changed by commands, and lists come in from a file."""

from __future__ import annotations

from pathlib import Path

from tests.server.cli.conftest import Muster


def _project(muster: Muster, name: str) -> dict[str, str]:
    env = {"MUSTER_PROJECT": name}
    assert muster("project", "create", name).status == 0
    return env


def test_a_person_leaves_a_topic_and_comes_back(muster: Muster, tmp_path: Path) -> None:
    env = _project(muster, "leaving")
    people = tmp_path / "people.csv"
    people.write_text("distinct_id,$email\nann,ann@example.com\nben,\n")
    assert muster("import", "profiles", people, "--distinct-id", "distinct_id", env=env).status == 0
    assert muster("consent", "topic", "save", "news", "Our news", env=env).out == "topic news: Our news\n"
    assert muster("consent", "topic", "list", "--json", env=env).document[0]["title"] == "Our news"
    assert "unsubscribed 1 address" in muster("consent", "unsubscribe", "ann", "--topic", "news", env=env).out
    shown = muster("consent", "show", "ann", env=env).out.splitlines()[1].split()
    assert shown[:3] == ["ann@example.com", "unsubscribed", "news"]
    assert "resubscribed 1" in muster("consent", "resubscribe", "ann", "--topic", "news", env=env).out
    assert "nothing keeps" in muster("consent", "show", "ann", env=env).out
    refused = muster("consent", "unsubscribe", "ben", env=env)
    assert refused.status == 1 and "no $email" in refused.err
    assert muster("consent", "topic", "delete", "news", env=env).out == "deleted news\n"


def test_a_list_is_imported_by_line(muster: Muster, tmp_path: Path) -> None:
    env = _project(muster, "importing-lists")
    table = tmp_path / "bounced.csv"
    table.write_text('When,Email\n1,Ann@example.com\n2,nonsense\n3,"ben@EXAMPLE.com"\n')
    answer = muster("consent", "import", table, "--reason", "bounced", env=env)
    assert answer.status == 1 and "line 3: nonsense" in answer.err
    assert answer.out == "suppressed 2; 0 were before; 1 are no addresses\n"
    plain = tmp_path / "plain.txt"
    plain.write_text("cat@example.com\nAnn@example.com\n")
    assert muster("consent", "import", plain, "--json", env=env).document == {"added": 2, "known": 0, "refused": 0}
    assert muster("consent", "import", plain, "--json", env=env).document == {"added": 0, "known": 2, "refused": 0}
    rows = [line.split() for line in muster("consent", "show", env=env).out.splitlines()[1:]]
    assert rows == [["email", "bounced", "2"], ["email", "manual", "2"]]
    assert "bounced" in muster("consent", "show", "--address", "ben@example.com", env=env).out
    assert muster("consent", "unsuppress", "ben@example.com", env=env).out == "released 1 address\n"
    wrong = muster("consent", "import", table, "--column", "Emial", env=env)
    assert wrong.status == 2 and "did you mean 'Email'?" in wrong.err


def test_what_is_no_address_is_named(muster: Muster) -> None:
    env = _project(muster, "no-addresses")
    answer = muster("consent", "suppress", "ann@example.com", "nonsense", env=env)
    assert answer.status == 1 and "nonsense" in answer.err and answer.out == "suppressed 1; 0 were before\n"
    assert muster("consent", "suppress", "+49 1511 2345678", "--channel", "sms", env=env).status == 0
