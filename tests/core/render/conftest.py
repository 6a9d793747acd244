"""What the rendering tests share: one line in, one text out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.errors import InvalidTemplate
from core.render import Escape, Missing, RenderFailed, RenderRow, compile_template

Render = Callable[..., "str | Missing | RenderFailed"]
Refused = Callable[..., InvalidTemplate]


@pytest.fixture
def render() -> Render:
    """Renders a source for one user given by keyword, or by `row=`."""

    def run(source: str, *, escape: Escape = Escape.TEXT, row: RenderRow | None = None, **user: Any) -> Any:
        (found,) = compile_template(source, escape, field="x").render_many([row or RenderRow(user)])
        return found

    return run


@pytest.fixture
def refused() -> Refused:
    """The error of a source that must not compile."""

    def run(source: str, escape: Escape = Escape.TEXT) -> InvalidTemplate:
        with pytest.raises(InvalidTemplate) as caught:
            compile_template(source, escape, field="email.subject")
        assert caught.value.field == "email.subject"
        assert caught.value.mend
        return caught.value

    return run
