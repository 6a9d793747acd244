"""Access tokens of Google's APIs for a service account: OAuth 2.0 with a signed JWT (RFC 7523), kept while they are good."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import jwt

from channels.http_calls import Answer, HttpCalls, NeverLeft, Uncertain, Unwritable

_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTED_SECONDS: Final = 3_600
"""How long an assertion is good: Google takes no longer."""

_EARLY_SECONDS: Final = 300
"""An access token is renewed so long before it ends, so that no call carries one that ends on its way."""

_YOUNG_SECONDS: Final = 60
"""One refused this soon after it was granted would be refused again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """What of a service account's key file is used.

    Arguments:
        project_id: the project that it belongs to.
        email: names the account.
        key: RSA private key, PEM.
        key_id: names the key; may be empty.
        token_uri: where access tokens are granted.
    """

    project_id: str
    email: str
    key: str = field(repr=False)
    key_id: str
    token_uri: str


def read_service_account(path: Path) -> ServiceAccount:
    """Read a key file, as Google's console gives it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no key file of a service account, in words for people.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        account = ServiceAccount(
            project_id=found["project_id"],
            email=found["client_email"],
            key=found["private_key"],
            key_id=found.get("private_key_id", ""),
            token_uri=found["token_uri"],
        )
        _signed(account, "test", 0.0)
    except (ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError) as error:
        raise ValueError(f"no key file of a service account: {error or type(error).__name__}") from error
    return account


class AccessRefused(Exception):
    """No access token could be had.

    Arguments:
        again: whether another try may end better.
        wait: seconds that was asked to wait.
    """

    def __init__(self, words: str, *, again: bool, wait: float = 0.0) -> None:
        super().__init__(words)
        self.again = again
        self.wait = wait


class GoogleAccess:
    """The access token of one service account for one scope.

    Arguments:
        account: whose.
        scope: what it is for.
        http: makes the calls.
        clock: seconds since 1970.
    """

    def __init__(
        self, account: ServiceAccount, scope: str, http: HttpCalls, clock: Callable[[], float] = time.time
    ) -> None:
        self._account = account
        self._scope = scope
        self._http = http
        self._clock = clock
        self._token = ""
        self._granted = self._renewed_at = 0.0
        self._renewal: asyncio.Task[str] | None = None

    async def token(self) -> str:
        """An access token that is good for a while; many callers at once make one call.

        Raises:
            AccessRefused.
        """
        if self._token and self._clock() < self._renewed_at:
            return self._token
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(self._over)
        return await asyncio.shield(self._renewal)  # one caller that is cancelled does not end it for the others

    def refused(self, token: str) -> bool:
        """The API refused a token: whether another try, with a new one, may end better."""
        if token != self._token:
            return True
        young = self._clock() - self._granted < _YOUNG_SECONDS
        self._token = ""
        return not young

    def _over(self, renewal: asyncio.Task[str]) -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # whoever waited has been told

    async def _renew(self) -> str:
        now = self._clock()
        form = {"grant_type": _GRANT, "assertion": _signed(self._account, self._scope, now)}
        headers = {"content-type": "application/x-www-form-urlencoded", "user-agent": "muster"}
        try:
            answer = await self._http.post(self._account.token_uri, headers, urlencode(form).encode())
        except (NeverLeft, Unwritable, Uncertain) as error:
            raise AccessRefused(f"no access token: {error}", again=isinstance(error, Uncertain)) from error
        found = _object(answer)
        token, seconds = found.get("access_token"), found.get("expires_in")
        if not answer.is_success or not isinstance(token, str) or not token or not isinstance(seconds, int):
            again = answer.takes_back or answer.status >= 500
            words = f"no access token: {answer.words}" + ("" if again else " (see the worker's settings)")
            raise AccessRefused(words, again=again, wait=answer.wait)
        self._token, self._granted = token, now
        self._renewed_at = now + max(seconds - _EARLY_SECONDS, seconds / 2)
        return token


def _signed(account: ServiceAccount, scope: str, now: float) -> str:
    claims = {
        "iss": account.email,
        "scope": scope,
        "aud": account.token_uri,
        "iat": int(now),
        "exp": int(now) + _ASSERTED_SECONDS,
    }
    headers = {"kid": account.key_id} if account.key_id else None
    return jwt.encode(claims, account.key, algorithm="RS256", headers=headers)


def _object(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
