"""Promise: a file's rows become the records they say, each knows its line, and one bad row spoils no other."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from core.errors import InvalidInput
from server.cli.files.formats import Format, format_of
from server.cli.files.kinds import Kind, time_of_text
from server.cli.files.lines import Lines
from server.cli.files.mapping import Mapper, Record, Subject, Wishes
from server.cli.files.rows import Rejected, Source
from server.cli.files.survey import Survey, import_id, survey


def read(
    path: Path, subject: Subject = "profiles", wishes: Wishes | None = None, **how: Any
) -> tuple[list[Record], list[Rejected], Mapper]:
    """All records of a file, what was rejected, and the mapper that did it."""
    wishes = wishes or Wishes()
    source = Source(path, format_of(path), **how)
    mapper = Mapper(subject, wishes, survey(source, texts=wishes.texts()), typed=not source.texts)
    found = [row if isinstance(row, Rejected) else mapper.record(row) for row in source.rows()]
    records = [one for one in found if isinstance(one, Record)]
    return records, [one for one in found if isinstance(one, Rejected)], mapper


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_csv_gets_one_type_for_each_column(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "users.csv",
        "distinct_id,plan,age,score,vip,Last login,zip,$phone\n"
        "u1,free,31,1.5,true,2026-01-02,01234,4915112345\n"
        "u2,,32,2,FALSE,2026-01-02T03:04:05.5Z,12345,4915112346\n",
    )
    records, rejected, mapper = read(path)
    assert rejected == []
    assert [one.distinct_id for one in records] == ["u1", "u2"]
    assert records[0].properties == {
        "plan": "free",
        "age": 31,
        "score": 1.5,
        "vip": True,
        "Last login": datetime(2026, 1, 2, tzinfo=UTC),
        "zip": "01234",
        "$phone": "4915112345",
    }
    assert records[1].properties["score"] == 2.0 and type(records[1].properties["score"]) is float
    assert records[1].properties["vip"] is False
    assert records[1].properties["Last login"] == datetime(2026, 1, 2, 3, 4, 5, 500_000, UTC)
    assert records[1].properties["zip"] == "12345"
    assert "plan" not in records[1].properties
    assert {plan.name: plan.kind for plan in mapper.properties()}["age"] is Kind.INT


def test_one_odd_value_makes_the_column_a_text_and_is_named(tmp_path: Path) -> None:
    rows = "".join(f"u{number},2026-01-02\n" for number in range(30))
    path = write(tmp_path, "users.csv", f"id,seen\n{rows}u99,yesterday\n")
    records, rejected, mapper = read(path)
    assert rejected == [] and records[0].properties["seen"] == "2026-01-02"
    (odd,) = mapper.oddities()
    assert (odd.name, odd.seen.odd_line, odd.seen.odd_value, odd.seen.odd_kind) == (
        "seen",
        32,
        "yesterday",
        Kind.TIMESTAMP,
    )
    records, rejected, mapper = read(path, wishes=Wishes(types={"seen": Kind.TIMESTAMP}))
    assert len(records) == 30 and mapper.oddities() == []
    assert [(one.line, one.code, one.field) for one in rejected] == [(32, "VALUE_TYPE", "properties.seen")]


def test_lines_count_also_after_values_of_many_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "users.csv",
        'id,note\nu1,"two\nlines"\n\nu2,"say ""hi"""\n,nobody\nu3,a,b\nu4,last\n',
    )
    records, rejected, _ = read(path)
    assert [(one.line, one.distinct_id) for one in records] == [(2, "u1"), (5, "u2"), (8, "u4")]
    assert records[0].properties["note"] == "two\nlines" and records[1].properties["note"] == 'say "hi"'
    assert [(one.line, one.code) for one in rejected] == [(6, "EMPTY_ID"), (7, "ROW_FIELDS")]


def test_broken_text_is_refused_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, "users.csv", b'\xef\xbb\xbfid,name\nu1,Zo\xc3\xab\nu2,Zo\xeb\nu3,"x"y\nu4,ok\n')
    records, rejected, _ = read(path)
    assert [(one.distinct_id, one.properties["name"]) for one in records] == [("u1", "Zoë"), ("u4", "ok")]
    assert [(one.line, one.code) for one in rejected] == [(3, "NOT_UTF8"), (4, "ROW_UNREADABLE")]


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t"), ("a.csv", "|")])
def test_the_delimiter_is_found(tmp_path: Path, name: str, mark: str) -> None:
    path = write(tmp_path, name, f"id{mark}a, b{mark}c\nu1{mark}1{mark}2\n".replace(", ", "-"))
    records, _, _ = read(path)
    assert records[0].properties == {"a-b": 1, "c": 2}


def test_texts_that_mean_no_value(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,n\nu1,NULL\nu2,7\n")
    records, _, _ = read(path, nulls=frozenset({"NULL"}))
    assert [one.properties for one in records] == [{}, {"n": 7}]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no heading"),
        ("id,,x\n", "column 2 has no name"),
        ("id,a,a\n", "two columns are named 'a'"),
        ("a,b\n1,2\n", "no column is known as the distinct id"),
        ("a,b\n", "no column is known as the distinct id"),
    ],
)
def test_a_heading_that_does_not_do(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        read(write(tmp_path, "a.csv", text))


def test_a_column_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,Last login\nu1,2026-01-02\n")
    with pytest.raises(InvalidInput) as caught:
        read(path, wishes=Wishes(types={"Last Login": Kind.TIMESTAMP}))
    assert caught.value.code == "COLUMN_UNKNOWN" and "'Last login'" in caught.value.mend


def test_a_column_without_a_value_is_a_column(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,seen,$email\nu1,,a@example.com\n")
    records, _, mapper = read(path, wishes=Wishes(types={"seen": Kind.TIMESTAMP}))
    assert records[0].properties == {"$email": "a@example.com"}
    assert [plan.name for plan in mapper.properties()] == ["$email"]


def test_json_objects_keep_their_types_and_iso_texts_become_times(tmp_path: Path) -> None:
    objects: list[dict[str, Any]] = [
        {
            "distinct_id": "u1",
            "age": 31,
            "tags": ["a"],
            "home": {"city": "Graz"},
            "none": None,
            "at": "2026-01-02T00:00:00Z",
        },
        {"distinct_id": 7, "age": 31.5, "code": "007", "at": "2026-01-03", "phone": "12"},
    ]
    path = write(tmp_path, "a.ndjson", "\n".join(map(json.dumps, objects)) + "\nnot json\n[1]\n\n")
    records, rejected, _ = read(path)
    assert records[0].properties == {
        "age": 31,
        "tags": ["a"],
        "home": {"city": "Graz"},
        "none": None,
        "at": datetime(2026, 1, 2, tzinfo=UTC),
    }
    assert records[1].distinct_id == "7"
    assert records[1].properties == {"age": 31.5, "code": "007", "at": datetime(2026, 1, 3, tzinfo=UTC), "phone": "12"}
    assert [(one.line, one.code) for one in rejected] == [(3, "ROW_UNREADABLE"), (4, "ROW_UNREADABLE")]


def test_events_with_their_properties_inside(tmp_path: Path) -> None:
    objects: list[dict[str, Any]] = [
        {
            "event": "Purchase",
            "properties": {"distinct_id": "u1", "time": 1767312000, "$insert_id": "i1", "name": "Lamp"},
        },
        {"event": "Visit", "distinct_id": "u2", "time": "2026-01-02T00:00:00+01:00", "page": "/"},
    ]
    records, rejected, _ = read(write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, objects))), "events")
    assert rejected == []
    assert records[0] == Record(1, "u1", {"name": "Lamp"}, "Purchase", datetime(2026, 1, 2, tzinfo=UTC), "i1")
    assert records[1] == Record(2, "u2", {"page": "/"}, "Visit", datetime(2026, 1, 1, 23, tzinfo=UTC), "")


def test_events_of_one_name(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "customer_id,date,name,amount\n7,1998-06-30,Lamp,9.5\n8,soon,Lamp,9\n9,,Lamp,1\n")
    records, rejected, _ = read(path, "events", Wishes(event="Purchase", types={"amount": Kind.DOUBLE}))
    assert records == [
        Record(2, "7", {"name": "Lamp", "amount": 9.5}, "Purchase", datetime(1998, 6, 30, tzinfo=UTC), "")
    ]
    assert [(one.line, one.code, one.field) for one in rejected] == [
        (3, "TIME_INVALID", "date"),
        (4, "TIME_MISSING", "date"),
    ]


def test_columns_by_wish(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'who,mail,tags,secret\nu1,a@example.com,"[1,2]",x\n')
    wishes = Wishes(distinct_id="who", rename={"mail": "$email"}, types={"tags": Kind.JSON}, skip=frozenset({"secret"}))
    records, _, _ = read(path, wishes=wishes)
    assert records == [Record(2, "u1", {"$email": "a@example.com", "tags": [1, 2]})]


def test_parquet_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pyarrow.table(
        {
            "distinct_id": pyarrow.array([1, 2, None], pyarrow.int64()),
            "day": pyarrow.array([20_000, None, 1], pyarrow.date32()),
            "at": pyarrow.array([1_700_000_000_123_456_789, None, 0], pyarrow.timestamp("ns")),
            "tags": pyarrow.array([["a"], [], None], pyarrow.list_(pyarrow.string())),
            "home": [{"city": "Graz"}, None, None],
            "counts": pyarrow.array([[("a", 1)], None, None], pyarrow.map_(pyarrow.string(), pyarrow.int32())),
        }
    )
    pyarrow.parquet.write_table(table, path)
    records, rejected, _ = read(path)
    assert records[0] == Record(
        1,
        "1",
        {
            "day": datetime(2024, 10, 4, tzinfo=UTC),
            "at": datetime(2023, 11, 14, 22, 13, 20, 123_456, UTC),
            "tags": ["a"],
            "home": {"city": "Graz"},
            "counts": {"a": 1},
        },
    )
    assert records[1] == Record(2, "2", {"tags": []})
    assert [(one.line, one.code) for one in rejected] == [(3, "EMPTY_ID")]


def test_zipped_files_and_damaged_ones(tmp_path: Path) -> None:
    whole = gzip.compress(b"id,n\n" + b"".join(b"u%d,%d\n" % (n, n) for n in range(5_000)))
    records, _, _ = read(write(tmp_path, "a.csv.gz", whole))
    assert len(records) == 5_000
    for name, data in (("b.csv.gz", whole[:-500]), ("c.csv.gz", b"id,n\n"), ("d.parquet", b"id,n\n")):
        with pytest.raises(InvalidInput) as caught:
            read(write(tmp_path, name, data))
        assert caught.value.code == "FILE_UNREADABLE" and name in caught.value.field
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(tmp_path / "absent.csv")


def test_formats_by_suffix() -> None:
    assert format_of(Path("a.b.NDJSON")) is Format.NDJSON
    assert format_of(Path("a.tsv.gz")) is Format.CSV
    assert format_of(Path("a.txt"), "csv") is Format.CSV
    for name in ("a.txt", "a", "a.parquet.gz"):
        with pytest.raises(InvalidInput) as caught:
            format_of(Path(name))
        assert caught.value.code == "FILE_FORMAT" and caught.value.mend


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02 03:04", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ("2026-01-02T03:04:05+0130", datetime(2026, 1, 2, 1, 34, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123_456, UTC)),
        ("2026-01-02 03:04:05 UTC", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("1767312000", datetime(2026, 1, 2, tzinfo=UTC)),
        ("1767312000000", datetime(2026, 1, 2, tzinfo=UTC)),
        ("1767312000000000", datetime(2026, 1, 2, tzinfo=UTC)),
        ("-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times(text: str, moment: datetime) -> None:
    assert time_of_text(text) == moment


@pytest.mark.parametrize("text", ["", "now", "2026-02-30", "2026-01-02T25:00", "nan", "inf", "9" * 40, "12:00"])
def test_texts_that_are_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        time_of_text(text)


def test_an_import_is_known_by_its_bytes_and_by_how_they_are_read(tmp_path: Path) -> None:
    def name(path: Path, wishes: Wishes | None = None) -> str:
        found: Survey = survey(Source(path, format_of(path)))
        return import_id(found, (wishes or Wishes()).settings())

    first, copy = write(tmp_path, "a.csv", "id,n\nu1,1\n"), write(tmp_path, "b.csv", "id,n\nu1,1\n")
    other = write(tmp_path, "c.csv", "id,n\nu1,2\n")
    assert name(first) == name(copy) != name(other)
    assert name(first, Wishes(types={"n": Kind.STRING})) != name(first)


def test_lines_are_found_again() -> None:
    lines = Lines()
    stood = [2, 3, 4, 7, 8, 20, 21]
    for line in stood:
        lines.add(line)
    assert [lines[index] for index in range(len(lines))] == stood
    with pytest.raises(IndexError):
        lines[len(stood)]
