"""Promises: a wheel built from the sdist holds everything and needs grpcio and protobuf only; type checkers see both
clients' methods as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "python"


def build(source: Path, hook: str, target: Path) -> Path:
    """Call a hook of the build backend in a source folder, as `pip` and `build` do; what it built."""
    target.mkdir()
    program = f"from setuptools import build_meta; print(build_meta.{hook}({str(target)!r}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist of the client, unpacked; built in a copy, so that the repository stays as it is."""
    folder = tmp_path_factory.mktemp("sdist")
    copy = folder / "repository"
    for path in [*CLIENT.rglob("*"), *(ROOT / "proto").rglob("*.proto")]:
        made = {"v1", "build", "__pycache__", "muster.egg-info"} & set(path.relative_to(ROOT).parts)
        if path.is_file() and (path.suffix == ".proto" or not made):
            place = copy / path.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    archive = build(copy / "clients" / "python", "build_sdist", folder / "dist")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from nothing but the sdist."""
    return build(sdist, "build_wheel", tmp_path_factory.mktemp("wheel") / "dist")


def test_the_sdist_carries_the_protos_and_no_stubs(sdist: Path) -> None:
    carried = {path.name for path in (sdist / "proto" / "muster" / "v1").iterdir()}
    assert carried == {path.name for path in (ROOT / "proto" / "muster" / "v1").glob("*.proto")}
    assert not (sdist / "muster" / "v1").exists()


def test_the_wheel_is_whole(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        path.relative_to(CLIENT).as_posix()
        for path in (CLIENT / "muster").rglob("*")
        if path.suffix in {".py", ".typed"} and "v1" not in path.parts
    }
    assert sources <= names
    for proto in (ROOT / "proto" / "muster" / "v1").glob("*.proto"):
        for ending in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py"):
            assert f"muster/v1/{proto.stem}{ending}" in names
    assert not [name for name in names if not name.startswith(("muster/", "muster-"))]


def test_the_wheel_needs_grpcio_and_protobuf_only(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        needs = message_from_bytes(archive.read(metadata)).get_all("Requires-Dist") or []
        archive.extractall(tmp_path)
    assert {re.split(r"[<>=;]", need)[0] for need in needs if "extra" not in need} == {"grpcio", "protobuf"}
    # None in sys.modules makes an import fail: nothing but the two may be asked for.
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "sys.modules.update(dict.fromkeys(['google.rpc', 'pytest', 'numpy', 'server', 'core', 'grpc_tools']))\n"
        "import muster, muster.worker, muster.testing, muster.v1.ingest_pb2_grpc\n"
        "print(muster.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout.strip() == str(tmp_path / "muster" / "__init__.py"), done.stderr


def test_type_checkers_see_what_each_client_answers(tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n[mypy-muster.*]\nignore_errors = true\n", "utf-8")
    command = [sys.executable, "-m", "mypy", f"--config-file={tmp_path / 'mypy.ini'}"]
    done = subprocess.run(
        [*command, f"--cache-dir={tmp_path}", "tests/clients/typed_sample.py"],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(CLIENT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
