"""Promise: saved audiences are named in any targeting, never in a circle, and follow changes, merges and deletions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pyroaring import BitMap

from core.errors import FailedPrecondition, InvalidExpression, InvalidInput, NotFound
from core.evaluator.audience import AudienceDefinition, AudienceDeleted, Audiences, AudienceSaved
from core.evaluator.match import Row, match


def _definition(name: str, expression: str | None = None, members: BitMap | None = None) -> AudienceDefinition:
    return AudienceDefinition(name, "", expression, members, 0)


def _saved(**expressions: str | BitMap) -> Audiences:
    audiences = Audiences()
    for name, given in expressions.items():
        text, members = (None, given) if isinstance(given, BitMap) else (given, None)
        audiences.check(_definition(name, text, members))
        audiences.save(AudienceSaved(_definition(name, text, members)))
    return audiences


def test_audiences_name_each_other_by_any_spelling() -> None:
    audiences = _saved(
        vip=BitMap([7]), rich="user.money > 10", best='audiences.vip && audiences["rich"]', most="!audiences['best']"
    )
    row = Row({"money": 11}, {}, 0, ordinal=7)
    assert match(audiences.parse("audiences.best && !audiences.most"), row) is True
    assert audiences.parse("audiences.most").audiences == {"most", "best", "vip", "rich"}
    assert audiences.users_of("rich") == ["best", "most"] and audiences.users_of("best") == ["most"]


def test_no_audience_names_itself_however_far() -> None:
    audiences = _saved(one="user.x == 1", two="audiences.one", three="audiences.two")
    for name, text in (("one", "audiences.one"), ("one", "true && audiences.three")):
        with pytest.raises(InvalidExpression) as refused:
            audiences.check(_definition(name, text))
        assert refused.value.code == "AUDIENCE_CIRCLE"
        assert "one" in refused.value.message
    assert refused.value.position == 17, "where this text names the audience that leads back"
    audiences.check(_definition("one", "user.x == 2"))


def test_what_stands_behind_a_name_is_bounded() -> None:
    """Each level names the one below ten times: read out in full, the last would be a million times the first."""
    audiences = _saved(a0="user.x == 1")
    with pytest.raises(InvalidExpression) as refused:
        for level in range(1, 7):
            text = " && ".join([f"audiences.a{level - 1}"] * 10)
            audiences.check(_definition(f"a{level}", text))
            audiences.save(AudienceSaved(_definition(f"a{level}", text)))
    assert refused.value.code == "EXPRESSION_TOO_LONG" and refused.value.mend


def test_an_expression_follows_what_it_names() -> None:
    audiences = _saved(late="user.x == 1")
    first = audiences.parse("audiences.late")
    assert audiences.parse("audiences.late") is first, "parsed once, so that its plan is kept"
    later = audiences.fork()
    assert later.parse("audiences.late") is first
    later.save(AudienceSaved(_definition("late", "user.x == 2")))
    assert match(later.parse("audiences.late"), Row({"x": 2}, {}, 0)) is True
    assert match(audiences.parse("audiences.late"), Row({"x": 2}, {}, 0)) is False, "an older version stays as it was"
    later.delete(AudienceDeleted("late"))
    with pytest.raises(InvalidExpression):
        later.parse("audiences.late")


def test_lists_follow_merges_and_deletions() -> None:
    audiences = _saved(vip=BitMap([1, 2, 3]), other=BitMap([9]))
    audiences.absorb([(1, 5), (4, 6)], BitMap([2]))
    assert audiences.get("vip").members == BitMap([3, 5])
    assert audiences.get("other").members == BitMap([9])


def test_names_and_uses_are_checked() -> None:
    audiences = _saved(rich="user.money > 10", best="audiences.rich")
    for name in ("", "1a", "a" * 64, 'a"b', "a\n"):
        with pytest.raises(InvalidInput) as invalid:
            audiences.check(_definition(name, "true"))
        assert invalid.value.code == "INVALID_NAME"
    with pytest.raises(NotFound) as unknown:
        audiences.get("ritch")
    assert unknown.value.mend == "did you mean 'rich'?"
    for name, messages in (("rich", []), ("best", ["welcome"])):
        with pytest.raises(FailedPrecondition) as used:
            audiences.refuse_if_used(name, messages)
        assert used.value.code == "AUDIENCE_IN_USE"
    audiences.refuse_if_used("best", [])


def test_pages_bring_audiences_back() -> None:
    audiences = _saved(b="true", a=BitMap([1]), c="audiences.a")
    pages = dict(audiences.dirty_pages())
    audiences.clean()
    assert not list(audiences.dirty_pages())
    audiences.delete(AudienceDeleted("b"))
    pages.update(audiences.dirty_pages())
    loaded = Audiences.load(_scan_of({key: page for key, page in pages.items() if page is not None}))
    assert [one.name for one in loaded.page("", 10)] == ["a", "c"] and [one.name for one in loaded.page("a", 1)] == [
        "c"
    ]
    assert loaded.get("a") == audiences.get("a") and loaded.get("a").etag == audiences.get("a").etag
    assert loaded.get("a").etag != _definition("a", None, BitMap([2])).etag


def _scan_of(pages: dict[bytes, bytes]) -> Callable[[bytes], Iterator[tuple[bytes, bytes]]]:
    return lambda prefix: iter(sorted((key, page) for key, page in pages.items() if key.startswith(prefix)))
