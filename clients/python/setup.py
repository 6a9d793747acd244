"""Makes the stubs part of every build, and the .proto files part of every sdist. Metadata: pyproject.toml."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

# Build backends run this file without its folder on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import build_stubs


class BuildWithStubs(build_py):
    """Generates the stubs: into the wheel, or beside the sources where those are installed editable."""

    def run(self) -> None:
        """Build; a wheel leaves the stubs of the source folder as they are."""
        if self.editable_mode:
            build_stubs.generate()
            super().run()
        else:
            super().run()
            build_stubs.generate(Path(self.build_lib) / "muster" / "v1")


class SdistWithProtos(sdist):
    """Carries the .proto files, from which a wheel's build makes the stubs."""

    def make_release_tree(self, base_dir: str, files: Any) -> None:
        """Add `proto/` and what generates from it; leave the stubs themselves out."""
        super().make_release_tree(base_dir, files)
        root = Path(base_dir)
        shutil.rmtree(root / "muster" / "v1", ignore_errors=True)
        shutil.copytree(build_stubs.protos(), root / "proto", dirs_exist_ok=True)
        shutil.copyfile(Path(build_stubs.__file__), root / "build_stubs.py")


if __name__ == "__main__":
    setup(cmdclass={"build_py": BuildWithStubs, "sdist": SdistWithProtos})
