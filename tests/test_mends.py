"""Promise: every refusal says what would be right.

Where errors are made is read from the sources; nothing is executed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import core.errors
import server.errors
from core.errors import MusterError, StoreError

ROOT: Final = Path(__file__).parents[1]
# A store that cannot be used has one mend where none is named: its backup.
KINDS: Final = {
    name
    for module in (core.errors, server.errors)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, MusterError) and not issubclass(kind, StoreError)
} | {"Closed"}
# Told to nobody, since the peer is gone.
WITHOUT: Final = {("server/session.py", "WORKER_GONE")}


def errors_made() -> Iterator[tuple[str, ast.Call]]:
    """Each place that makes an error of ours, and where it stands."""
    for folder in ("core", "server"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                    yield str(path.relative_to(ROOT)), node


def said(call: ast.Call, name: str) -> object:
    """What an argument is: its constant, None where it is computed, "" where it is not given."""
    for word in call.keywords:
        if word.arg in (name, None):
            return ast.literal_eval(word.value) if isinstance(word.value, ast.Constant) else None
    return ""


def test_no_error_is_made_without_a_mend() -> None:
    found = list(errors_made())
    assert len(found) > 100
    silent = [
        f"{path}:{call.lineno}"
        for path, call in found
        if said(call, "mend") == "" and (path, said(call, "code")) not in WITHOUT
    ]
    assert silent == []


def test_a_store_that_cannot_be_used_has_a_mend_where_none_is_named() -> None:
    assert "backup" in StoreError("damaged").mend
