"""The same projects as the tests of the engine's rules have."""

from tests.core.conftest import project

__all__ = ["project"]
