"""Promise: a message's file may hold variants; each mistake in one is named by its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InvalidInput
from server.cli.message_file import read_message

FILE = """
key = "hi"
targeting = "true"
[email]
subject = "Hello"
text = "Hello"
[[variants]]
key = "b"
percent = 12.5
[variants.email]
subject = "Variant B"
text_file = "b.txt"
"""


def test_variants_are_read_with_their_files(tmp_path: Path) -> None:
    (tmp_path / "hi.toml").write_text(FILE)
    (tmp_path / "b.txt").write_text("B")
    found = read_message(str(tmp_path / "hi.toml"))
    assert found.fields["variants"] == [{"key": "b", "percent": 12.5, "email": {"subject": "Variant B", "text": "B"}}]


@pytest.mark.parametrize(
    ("line", "wrong", "place"),
    [
        ("percent = 12.5", 'percent = "half"', "variants[0].percent: "),
        ("percent = 12.5", "share = 12.5", "variants[0].share: "),
        ('subject = "Variant B"', "subject = 5", "variants[0].email.subject: "),
    ],
)
def test_a_mistake_is_named_by_its_place(tmp_path: Path, line: str, wrong: str, place: str) -> None:
    path = tmp_path / "hi.toml"
    path.write_text(FILE.replace(line, wrong))
    with pytest.raises(InvalidInput, match=r"variants\[0\]") as caught:
        read_message(str(path))
    assert place in str(caught.value)


def test_variants_are_tables(tmp_path: Path) -> None:
    path = tmp_path / "hi.toml"
    path.write_text('key = "hi"\nvariants = ["b"]\n')
    with pytest.raises(InvalidInput, match="no table"):
        read_message(str(path))
