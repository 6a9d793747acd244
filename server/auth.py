"""Who calls, and which projects they may touch: tokens from a file, compared in constant time.

The file has one token a line: `TOKEN NAME [PROJECT,PROJECT…]`. The name stands in logs; without projects the
token opens all of them. Blank lines and lines that start with `#` are skipped.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import InvalidInput
from server.errors import PermissionDenied, Unauthenticated

HEADER: Final = "authorization"
_SCHEME: Final = "bearer "
_LEAST_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone who calls. `projects` None: all of them."""

    name: str
    projects: frozenset[str] | None = None

    def may_use(self, project: str) -> bool:
        """Whether the project is open to this caller."""
        return self.projects is None or project in self.projects

    def require(self, project: str) -> None:
        """Refuse a project that is not open to this caller.

        Raises:
            PermissionDenied: PROJECT_FORBIDDEN.
        """
        if not self.may_use(project):
            raise PermissionDenied(
                f"the token {self.name!r} does not open the project {project!r}",
                field="project",
                mend="use another token, or add the project to this one's line in the token file",
                code="PROJECT_FORBIDDEN",
            )

    def require_all(self) -> None:
        """Refuse callers that are held to some projects.

        Raises:
            PermissionDenied: SERVER_FORBIDDEN.
        """
        if self.projects is not None:
            raise PermissionDenied(
                f"the token {self.name!r} opens some projects only",
                mend="name one of its projects, or use a token without a list of projects",
                code="SERVER_FORBIDDEN",
            )


ANYBODY: Final = Caller("anybody")
"""The caller of a server without tokens, which only this machine can reach."""

CALLER: Final[ContextVar[Caller]] = ContextVar("caller", default=ANYBODY)
"""Who made the call that is being served."""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Tokens:
    """The known tokens, by digest. Empty: everybody may do everything.

    Arguments:
        entries: pairs of token and caller.
    """

    def __init__(self, entries: Iterable[tuple[str, Caller]] = ()) -> None:
        self._callers = [(_digest(token), caller) for token, caller in entries]

    @property
    def required(self) -> bool:
        """Whether a call needs a token at all."""
        return bool(self._callers)

    def caller(self, authorization: str | None) -> Caller:
        """Who sends this `authorization` header.

        Raises:
            Unauthenticated: TOKEN_MISSING, TOKEN_UNKNOWN.
        """
        if not self._callers:
            return ANYBODY
        if not authorization or not authorization.lower().startswith(_SCHEME):
            raise Unauthenticated(
                "the call carries no token",
                field=HEADER,
                mend="send `authorization: Bearer TOKEN`",
                code="TOKEN_MISSING",
            )
        given = _digest(authorization[len(_SCHEME) :].strip())
        found: Caller | None = None
        for digest, caller in self._callers:  # no early end: the time must not tell which line matched
            if hmac.compare_digest(digest, given):
                found = caller
        if found is None:
            raise Unauthenticated(
                "the token is not known",
                field=HEADER,
                mend="use a token of the server's token file",
                code="TOKEN_UNKNOWN",
            )
        return found


def read_tokens(path: Path) -> list[tuple[str, Caller]]:
    """The token file's entries.

    Raises:
        InvalidInput: TOKEN_FILE, for a file that cannot be read, holds no token, or a line that is none. The
            token itself is never in the error.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InvalidInput(
            f"the token file cannot be read: {reason}",
            field=str(path),
            mend="name a text file that this user may read",
            code="TOKEN_FILE",
        ) from error
    entries: list[tuple[str, Caller]] = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = f"{path}:{number}"
        if len(words) not in (2, 3):
            raise InvalidInput(
                "not a token's line", field=place, mend="TOKEN NAME [PROJECT,PROJECT…]", code="TOKEN_FILE"
            )
        if len(words[0]) < _LEAST_LENGTH:
            raise InvalidInput(
                "the token is too short to be safe",
                field=place,
                mend=f"at least {_LEAST_LENGTH} characters, such as `openssl rand -hex 32` gives",
                code="TOKEN_FILE",
            )
        projects = frozenset(filter(None, words[2].split(","))) if len(words) == 3 else None
        entries.append((words[0], Caller(words[1], projects)))
    if not entries:
        raise InvalidInput("the token file holds no token", field=str(path), mend="add `TOKEN NAME`", code="TOKEN_FILE")
    return entries
