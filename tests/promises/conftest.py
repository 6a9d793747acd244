"""The raw file, fetched once into the project's cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.demo import cdnow

CACHE = Path(__file__).parents[2] / ".cache"


@pytest.fixture(scope="session")
def cdnow_file() -> Path:
    """CDNOW_master.txt."""
    return cdnow.fetch(CACHE)
