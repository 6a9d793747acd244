"""Push notifications to Android by Firebase Cloud Messaging, HTTP v1.

| what FCM says                                              | outcome                                      |
|------------------------------------------------------------|----------------------------------------------|
| 200 with the name of a message                             | SENT                                         |
| UNREGISTERED, SENDER_ID_MISMATCH                           | FAILED, the token is removed                 |
| INVALID_ARGUMENT, of `message.token`                       | FAILED, the token is removed                 |
| INVALID_ARGUMENT, of anything else; another 4xx            | FAILED, the token is kept                    |
| QUOTA_EXCEEDED, UNAVAILABLE                                | tried again, then NOT_SENT                   |
| 401                                                        | once more with a new access token, then NOT_SENT |
| PERMISSION_DENIED, THIRD_PARTY_AUTH_ERROR, another 404     | NOT_SENT: the worker's settings are wrong    |
| INTERNAL                                                   | tried again, as FCM asks for, then AMBIGUOUS |
| a time-out, a lost connection, another 5xx, another 2xx    | AMBIGUOUS, never tried again here            |
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from channels.carrier import refusal_of
from channels.google_access import AccessRefused, GoogleAccess, ServiceAccount
from channels.http_calls import MOST_JSON, Answer, HttpCalls, HttpConfig, NeverLeft, Uncertain, Unwritable
from channels.provider import Outcome
from channels.push import Outgoing
from channels.push_payload import fcm_message
from channels.retry import Attempt

API: Final = "https://fcm.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
_GONE: Final = frozenset({"UNREGISTERED", "SENDER_ID_MISMATCH"})
_LATER: Final = frozenset({"QUOTA_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"})
_OURS: Final = frozenset({"PERMISSION_DENIED", "THIRD_PARTY_AUTH_ERROR", "NOT_FOUND", "UNAUTHENTICATED"})
_FCM_ERROR: Final = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"


@dataclass(frozen=True, slots=True, kw_only=True)
class FcmConfig:
    """How FCM is called.

    Arguments:
        account: the service account that may send for its project.
        url: of the API, without a path.
        http: connections, time-outs and proxy.
    """

    account: ServiceAccount
    url: str = API
    http: HttpConfig = field(default_factory=lambda: HttpConfig(longest_answer=MOST_JSON))


class Fcm:
    """A carrier to Android devices; see the module's table for outcomes."""

    def __init__(self, config: FcmConfig, clock: Callable[[], float] = time.time) -> None:
        self._http = HttpCalls(config.http)
        self._access = GoogleAccess(config.account, SCOPE, self._http, clock)
        self._url = f"{config.url.rstrip('/')}/v1/projects/{quote(config.account.project_id, safe='')}/messages:send"

    async def attempt(self, token: str, outgoing: Outgoing) -> Attempt:
        """Hand a notification over for one device, once."""
        try:
            access = await self._access.token()
        except AccessRefused as error:
            return Attempt(Outcome.NOT_SENT, str(error), again=error.again, least_wait=error.wait)
        headers = {
            "authorization": f"Bearer {access}",
            "content-type": "application/json; charset=utf-8",
            "user-agent": "muster",
        }
        body = json.dumps({"message": fcm_message(token, outgoing)}, ensure_ascii=False).encode()
        try:
            answer = await self._http.post(self._url, headers, body)
        except (NeverLeft, Unwritable) as error:
            return Attempt(Outcome.NOT_SENT, str(error))
        except Uncertain as error:
            return Attempt(Outcome.AMBIGUOUS, str(error))
        if answer.status == 401 and (renewed := self._access.refused(access)):
            return Attempt(Outcome.NOT_SENT, answer.words, again=renewed)
        return _settled(answer)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _settled(answer: Answer) -> Attempt:
    found = _object(answer.body)
    name = found.get("name")
    if answer.is_success and isinstance(name, str) and name:
        return Attempt(Outcome.SENT, str(answer.status), name)
    error = found.get("error")
    if not isinstance(error, dict):
        return refusal_of(answer, answer.words, idempotent=False)
    code, message = _code_of(error), error.get("message")
    words = f"{code} {message}" if isinstance(message, str) and message else code or answer.words
    if code in _GONE or (code == "INVALID_ARGUMENT" and _names_token(error)):
        return Attempt(Outcome.FAILED, words, gone=True)
    if code in _LATER:
        return Attempt(Outcome.NOT_SENT, words, again=True, least_wait=answer.wait)
    if code in _OURS:
        return Attempt(Outcome.NOT_SENT, f"{words} (see the worker's settings)")
    if code == "INTERNAL":
        return Attempt(Outcome.AMBIGUOUS, words, again=True, least_wait=answer.wait)
    return refusal_of(answer, words, idempotent=False)


def _code_of(error: dict[str, Any]) -> str:
    """FCM's own code where the error has one, else the API's status."""
    for detail in _details(error, _FCM_ERROR):
        if isinstance(detail.get("errorCode"), str):
            return str(detail["errorCode"])
    status = error.get("status")
    return status if isinstance(status, str) else ""


def _names_token(error: dict[str, Any]) -> bool:
    """Whether the token is what was wrong, and not the message: that would be wrong for every device."""
    violations = [
        violation for detail in _details(error, _BAD_REQUEST) for violation in detail.get("fieldViolations", ())
    ]
    return any(isinstance(one, dict) and one.get("field") == "message.token" for one in violations)


def _details(error: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    details = error.get("details")
    found = details if isinstance(details, list) else []
    return [one for one in found if isinstance(one, dict) and one.get("@type") == kind]


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; empty for anything else."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
