"""Promise: the arrows of the layout run one way. Each folder imports only what its row of the design's table allows.

Imports are read from the sources (also those inside functions and under TYPE_CHECKING), nothing is executed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[1]
OURS: Final = frozenset({"core", "server", "channels", "muster", "benchmarks", "examples", "tests"})
WIRE: Final = frozenset({"google", "grpc", "grpc_health", "grpc_reflection", "grpc_tools"})

# What any package of core may use: the words they have in common, which know no rule.
BASE: Final = frozenset({"core.errors", "core.values", "core.codec"})
# What an engine is asked and a project is; they name the packages' own records, and rules read them.
VOCABULARY: Final = BASE | {"core.commands", "core.limits", "core.settings", "core.snippets"}

# The table: package of core -> what it may import of core besides itself.
CORE_ROWS: Final = {
    "core.errors": frozenset[str](),
    "core.values": frozenset({"core.errors"}),
    "core.codec": frozenset({"core.errors", "core.values"}),
    "core.bitmaps": BASE,
    "core.evaluator": BASE | {"core.bitmaps"},
    "core.render": BASE,
    "core.storage": BASE | {"core.bitmaps"},
    "core.profiles": VOCABULARY | {"core.bitmaps"},
    # Beyond the table: messaging needs to know whose user an address is and which users were issued or touched; its
    # reports hand ledgers' sets to analytics, which knows nothing of messages.
    "core.messaging": VOCABULARY | {"core.evaluator", "core.render", "core.bitmaps", "core.profiles", "core.analytics"},
    "core.experiments": VOCABULARY | {"core.evaluator", "core.bitmaps"},
    "core.analytics": VOCABULARY | {"core.bitmaps", "core.evaluator"},
}

_CYTHON_IMPORT: Final = re.compile(
    r"^\s*(?:from\s+([\w.]+)\s+c?import\s+\(?([\w, ]*)|c?import\s+([\w.]+))", re.MULTILINE
)


class Import(NamedTuple):
    """One import: where it stands, what it names (a module, or a name in one)."""

    path: Path
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.name}"


def module_of(path: Path, base: Path = ROOT) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(folder: str, *endings: str) -> list[Path]:
    """A folder's source files; generated ones are not sources."""
    found = (
        path for ending in endings or (".py", ".pyi", ".pyx", ".pxd") for path in (ROOT / folder).rglob(f"*{ending}")
    )
    return sorted(path for path in found if "v1" not in path.relative_to(ROOT).parts)


def imports(path: Path, base: Path = ROOT) -> Iterator[Import]:
    """Every import in a file. `from a import b` gives a.b: b may be a module."""
    text = path.read_text("utf-8")
    if path.suffix in {".pyx", ".pxd"}:
        for found in _CYTHON_IMPORT.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            names = [name.strip() for name in (found[2] or "").split(",") if name.strip()] or [""]
            for name in names:
                yield Import(path, line, found[3] or ".".join(filter(None, (found[1], name))))
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            package = module_of(path, base).split(".")
            up = node.level - (path.stem == "__init__")
            start = package[: len(package) - up] if node.level else []
            for alias in node.names:
                yield Import(path, node.lineno, ".".join([*start, *filter(None, [node.module]), alias.name]))


def top(name: str) -> str:
    """The first part of a dotted name."""
    return name.split(".")[0]


def unit(name: str) -> str:
    """core and what stands directly in it; else the first part."""
    return ".".join(name.split(".")[:2]) if name.startswith("core.") else top(name)


def breaches(folder: str, forbidden: frozenset[str], base: Path = ROOT) -> list[str]:
    """Imports in a folder whose first part is forbidden."""
    return [str(one) for path in sources(folder) for one in imports(path, base) if top(one.name) in forbidden]


def test_core_knows_nothing_of_the_outside() -> None:
    assert sources("core")
    assert breaches("core", (OURS - {"core"}) | WIRE) == []


@pytest.mark.parametrize("package", sorted(CORE_ROWS))
def test_a_package_of_core_imports_what_its_row_allows(package: str) -> None:
    place = package.replace(".", "/")
    files = [ROOT / f"{place}.py"] if (ROOT / f"{place}.py").exists() else sources(place)
    allowed = CORE_ROWS[package] | {package, "core"}
    assert [
        str(one) for path in files for one in imports(path) if top(one.name) == "core" and unit(one.name) not in allowed
    ] == []


def test_every_package_of_core_has_a_row() -> None:
    packages = {f"core.{path.parent.name}" for path in (ROOT / "core").glob("*/__init__.py")}
    assert packages - CORE_ROWS.keys() == set()


@pytest.mark.parametrize("folder", ["core", "server", "channels", "clients/python/muster", "benchmarks"])
def test_files_do_not_import_each_other_in_a_circle(folder: str) -> None:
    """Not even for types, or late: two files that cannot be read without each other are one, or lack a third."""
    base = (ROOT / folder).parent
    modules = {module_of(path, base): path for path in sources(folder, ".py", ".pyx")}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        named = {one.name for one in imports(path, base)}
        targets = {name if name in modules else name.rpartition(".")[0] for name in named}
        graph[module] = {target for target in targets if target in modules and target != module}
    assert any(graph.values())
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_only_the_main_module_of_the_server_imports_channels() -> None:
    assert sources("server")
    found = breaches("server", frozenset({"channels", "benchmarks", "tests"}))
    assert [one for one in found if not one.startswith("server/main.py:") or "channels" not in one] == []


def test_channels_see_only_the_python_client() -> None:
    assert sources("channels")
    assert breaches("channels", OURS - {"channels", "muster"}) == []


def test_examples_see_only_the_python_client() -> None:
    assert sources("examples")
    assert breaches("examples", OURS - {"examples", "muster"}) == []


def test_the_python_client_sees_nothing_of_the_server() -> None:
    assert breaches("clients/python", OURS - {"muster"}, ROOT / "clients" / "python") == []


def test_no_source_imports_tests() -> None:
    assert breaches("benchmarks", frozenset({"tests"})) == []


def test_imports_are_recognised(tmp_path: Path) -> None:
    package = tmp_path / "core" / "storage"
    package.mkdir(parents=True)
    plain = package / "one.py"
    plain.write_text("import a.b\nfrom c import d, e\nfrom . import f\nfrom ..g import h\ndef x():\n    import i\n")
    assert [one.name for one in imports(plain, tmp_path)] == ["a.b", "c.d", "c.e", "core.storage.f", "core.g.h", "i"]
    inner = package / "__init__.py"
    inner.write_text("from . import f\nfrom ..g import h\n")
    assert [one.name for one in imports(inner, tmp_path)] == ["core.storage.f", "core.g.h"]
    kernel = package / "two.pyx"
    kernel.write_text("cimport a.b\nfrom c cimport d, e\nfrom f import (\n    g,\n)\nimport i as j\n")
    assert [one.name for one in imports(kernel, tmp_path)] == ["a.b", "c.d", "c.e", "f", "i"]
