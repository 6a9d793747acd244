"""The same projects as the tests of the engine's rules have."""

from tests.core.conftest import project, unsynced

__all__ = ["project", "unsynced"]
