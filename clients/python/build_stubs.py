"""Generates the `muster.v1` stubs (messages, type stubs, services) from the .proto files.

Run by the Makefile, and by setup.py for wheels and editable installs. The .proto files are those of the repository,
or, in an unpacked sdist, the copy it carries. Needs grpcio-tools.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "muster" / "v1"


def protos() -> Path:
    """The folder that holds `muster/v1/*.proto`.

    Raises:
        FileNotFoundError: where neither the sdist's copy nor the repository's folder is there.
    """
    for folder in (HERE / "proto", HERE.parents[1] / "proto"):
        if any(folder.glob("muster/v1/*.proto")):
            return folder
    raise FileNotFoundError("no .proto files: build from the repository or from an sdist")


def generate(target: Path = PACKAGE) -> list[Path]:
    """Write the stubs into `target`, replacing what an earlier run left there; the files written.

    Files are made aside and moved in one by one, so that a program which imports them meanwhile finds each whole.

    Raises:
        RuntimeError: when protoc fails; its own words are on stderr.
    """
    import grpc_tools
    from grpc_tools import protoc

    source = protos()
    sources = sorted(str(path) for path in source.glob("muster/v1/*.proto"))
    wellknown = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        arguments = [f"-I{source}", f"-I{wellknown}", f"--python_out={out}", f"--pyi_out={out}"]
        if protoc.main(["protoc", *arguments, f"--grpc_python_out={out}", *sources]) != 0:
            raise RuntimeError("protoc failed")
        (out / "muster" / "v1" / "__init__.py").write_text(
            '"""Generated from proto/muster/v1: the protocol\'s messages and services."""\n', "utf-8"
        )
        made = sorted((out / "muster" / "v1").iterdir())
        target.mkdir(parents=True, exist_ok=True)
        written = []
        for path in made:
            place = target / path.name
            fresh = place.with_suffix(place.suffix + ".new")
            shutil.copyfile(path, fresh)
            fresh.replace(place)
            written.append(place)
    for stale in target.glob("*_pb2*.py*"):
        if stale not in written:
            stale.unlink()
    return written


if __name__ == "__main__":
    print(f"stubs: {len(generate())} files in muster.v1")
