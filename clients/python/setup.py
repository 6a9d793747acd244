"""Makes the stubs part of every build, and the .proto files part of every sdist. Metadata: pyproject.toml."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.egg_info import egg_info
from setuptools.command.sdist import sdist

# Build backends run this file without its folder on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import build_stubs


class EggInfoWithStubs(egg_info):
    """Every build begins here: the stubs must exist before packages and files are listed."""

    def run(self) -> None:
        """Generate, then go on."""
        build_stubs.generate()
        super().run()


class BuildWithStubs(build_py):
    """Lists `muster.v1` also where it did not exist when the packages were first looked for."""

    def finalize_options(self) -> None:
        """Add the generated package."""
        if self.distribution.packages is not None and "muster.v1" not in self.distribution.packages:
            self.distribution.packages.append("muster.v1")
        super().finalize_options()


class SdistWithProtos(sdist):
    """Carries the .proto files, from which a wheel's build makes the stubs."""

    def make_release_tree(self, base_dir: str, files: Any) -> None:
        """Add `proto/` and what generates from it; leave the stubs themselves out."""
        super().make_release_tree(base_dir, files)
        root = Path(base_dir)
        shutil.rmtree(root / "muster" / "v1", ignore_errors=True)
        shutil.copytree(build_stubs.protos(), root / "proto", dirs_exist_ok=True)
        shutil.copyfile(Path(build_stubs.__file__), root / "build_stubs.py")


setup(cmdclass={"egg_info": EggInfoWithStubs, "build_py": BuildWithStubs, "sdist": SdistWithProtos})
