"""Idempotency keys: one per (project, message, occurrence, user), the same for every offer and every restart."""

from __future__ import annotations

import re
from typing import Final

TEST: Final = "~test"
"""What follows a message's key in that of the message which stands for it in tests. No client can write it."""

_KEY: Final = re.compile(r"([0-9a-f]+)\.([a-z][a-z0-9_-]*(?:~test)?)\.(\d+)\.(\d+)\Z")


def idempotency_key(project_uid: str, message_key: str, ordinal: int, occurrence: int) -> str:
    """The key under which a provider and a receiver know a hand-off."""
    return f"{project_uid}.{message_key}.{occurrence}.{ordinal}"


def project_of(key: str) -> str:
    """The uid of the project that a key made here is of; "" for any other text."""
    found = _KEY.match(key)
    return found[1] if found is not None else ""


def read_key(key: str, project_uid: str) -> tuple[str, int, int] | None:
    """(message key, occurrence, ordinal) of a key made here, or None for any other text."""
    found = _KEY.match(key)
    if found is None or found[1] != project_uid or max(int(found[3]), int(found[4])) > 0xFFFFFFFF:
        return None
    return found[2], int(found[3]), int(found[4])
