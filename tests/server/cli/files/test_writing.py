"""Promise: what is exported can be imported again as it was, and a broken export leaves no file."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from server.cli.files.formats import format_of
from server.cli.files.kinds import Kind
from server.cli.files.mapping import Mapper, Record, Wishes
from server.cli.files.rows import Rejected, Source
from server.cli.files.survey import survey
from server.cli.files.writing import file_writer, stream_writer

COLUMNS = {
    "distinct_id": Kind.STRING,
    "text": Kind.STRING,
    "whole": Kind.INT,
    "part": Kind.DOUBLE,
    "yes": Kind.BOOL,
    "at": Kind.TIMESTAMP,
    "any": Kind.JSON,
}
_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8)
_AT = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
_PROFILE = st.fixed_dictionaries(
    {"distinct_id": _TEXT},
    optional={
        "text": _TEXT.map(lambda text: "x" + text),
        "whole": st.integers(-(10**17), 10**17),
        "part": st.floats(-1e9, 1e9).map(lambda number: number + 0.5),
        "yes": st.booleans(),
        "at": _AT,
        "any": st.lists(st.integers(0, 9), max_size=3) | st.dictionaries(_TEXT, st.booleans(), max_size=2),
    },
)


@pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".parquet", ".csv.gz", ".ndjson.gz"])
@settings(max_examples=40, deadline=None)
@given(profiles=st.lists(_PROFILE, min_size=1, max_size=6))
def test_there_and_back(suffix: str, profiles: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("there") / f"profiles{suffix}"
    with file_writer(path, format_of(path), COLUMNS) as writer:
        writer.write(profiles[:1])
        writer.write(profiles[1:])
    source = Source(path, format_of(path))
    types = {} if source.format == "ndjson" else {"any": Kind.JSON}
    found = survey(source)
    known = {name: kind for name, kind in types.items() if name in found.fields}
    mapper = Mapper("profiles", Wishes(types=known), found, typed=not source.texts)
    records = []
    for row in source.rows():
        assert not isinstance(row, Rejected), row
        records.append(mapper.record(row))
    expected = [
        ({name: value for name, value in one.items() if name != "distinct_id"}, one["distinct_id"]) for one in profiles
    ]
    assert [(one.properties, one.distinct_id) for one in records if isinstance(one, Record)] == expected


def test_a_broken_export_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "profiles.csv"
    path.write_text("older")
    with pytest.raises(RuntimeError), file_writer(path, format_of(path), {"a": Kind.INT}) as writer:
        writer.write([{"a": 1}])
        raise RuntimeError("the server went away")
    assert path.read_text() == "older"
    assert [one.name for one in tmp_path.iterdir()] == ["profiles.csv"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "a.csv"):
        with pytest.raises(InvalidInput) as caught, file_writer(path, format_of(Path("a.csv")), {}):
            pass
        assert caught.value.code == "FILE_UNWRITABLE" and caught.value.mend


def test_a_stream_stays_open() -> None:
    stream = io.BytesIO()
    for suffix in ("a.csv", "a.ndjson"):
        with stream_writer(stream, format_of(Path(suffix)), {"a": Kind.TIMESTAMP, "b": Kind.BOOL}) as writer:
            writer.write([{"a": datetime(2026, 1, 2, 3, tzinfo=UTC), "b": False}, {"a": None}])
    lines = stream.getvalue().decode().splitlines()
    assert lines[:3] == ["a,b", "2026-01-02T03:00:00Z,false", ","]
    assert json.loads(lines[3]) == {"a": "2026-01-02T03:00:00Z", "b": False}
