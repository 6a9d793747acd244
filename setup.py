"""Builds the Cython kernels of `core` and `server`.

All other metadata stands in pyproject.toml. A build without a C compiler fails instead of giving a wheel that
lacks its kernels.
"""

from __future__ import annotations

from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent


def extensions() -> list[Extension]:
    """One extension for each .pyx under core and server, named by its path."""
    found = []
    for source in sorted(path for folder in ("core", "server") for path in (ROOT / folder).rglob("*.pyx")):
        relative = source.relative_to(ROOT)
        found.append(
            Extension(
                ".".join(relative.with_suffix("").parts),
                [str(relative)],
                include_dirs=[numpy.get_include()],
                define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
                # Generated C compares signed with unsigned at every turn, and its debugging symbols help nobody.
                extra_compile_args=["-O3", "-g0", "-Wno-sign-compare"],
            )
        )
    return found


if __name__ == "__main__":
    setup(
        ext_modules=cythonize(
            extensions(),
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": False,
                "embedsignature": True,
            },
            nthreads=2,
        ),
        options={"build_ext": {"parallel": 2}},
    )
