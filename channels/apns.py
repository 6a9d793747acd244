"""Push notifications to Apple's devices by APNs: HTTP/2, with tokens signed by a key of the developer's account.

| what APNs says                                                     | outcome                                   |
|--------------------------------------------------------------------|-------------------------------------------|
| 200                                                                | SENT                                      |
| 410 Unregistered, 400 BadDeviceToken, 400 DeviceTokenNotForTopic   | FAILED, the token is removed              |
| 410 ExpiredToken, or any other 410                                 | FAILED, the token is kept                 |
| 413, another 400 about this notification                           | FAILED, the token is kept                 |
| 429, 503, 400 IdleTimeout                                          | tried again, then NOT_SENT                |
| 403 ExpiredProviderToken                                           | once more with a new provider token, then NOT_SENT |
| another 403, 404, 405, 400 BadTopic, MissingTopic, TopicDisallowed | NOT_SENT: the worker's settings are wrong |
| 500                                                                | tried again under the same `apns-id`, then AMBIGUOUS |
| a time-out, a lost connection, anything else                       | AMBIGUOUS, never tried again here         |
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

import jwt

from channels.carrier import refusal_of
from channels.http_calls import Answer, HttpCalls, HttpConfig, NeverLeft, Uncertain, Unwritable
from channels.provider import Outcome
from channels.push import Outgoing
from channels.push_payload import apns_id, apns_payload
from channels.retry import Attempt

API: Final = "https://api.push.apple.com"
SANDBOX: Final = "https://api.sandbox.push.apple.com"
_RENEW_SECONDS: Final = 40 * 60
"""Age at which a provider token is replaced: Apple takes none over an hour old, nor a new one within 20 minutes."""

_LEAST_SECONDS: Final = 20 * 60
_GONE: Final = frozenset({"Unregistered", "BadDeviceToken", "DeviceTokenNotForTopic"})
_OURS: Final = frozenset({"BadTopic", "MissingTopic", "TopicDisallowed", "MissingDeviceToken"})
_LATER: Final = frozenset({"IdleTimeout", "TooManyRequests", "TooManyProviderTokenUpdates", "ServiceUnavailable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsConfig:
    """How APNs is called.

    Arguments:
        key: EC private key of an APNs auth key (.p8), PEM.
        key_id, team_id: of ten letters and digits each, name the key and the developer's team.
        topic: the app's bundle id.
        url: of the service, without a path; `SANDBOX` for apps under development.
        http: connections, time-outs and proxy; HTTP/2 whatever it says.
    """

    key: str = field(repr=False)
    key_id: str
    team_id: str
    topic: str
    url: str = API
    http: HttpConfig = field(default_factory=HttpConfig)

    def __post_init__(self) -> None:
        if not self.key_id or not self.team_id or not self.topic:
            raise ValueError("key_id, team_id, topic: all are needed")
        check_key(self.key)


def check_key(key: str) -> None:
    """Refuse what is no key to sign by.

    Raises:
        ValueError: in words for people.
    """
    try:
        jwt.encode({}, key, algorithm="ES256")
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise ValueError("key: no EC private key in PEM, as in a .p8 file") from error


class Apns:
    """A carrier to Apple's devices; see the module's table for outcomes."""

    def __init__(self, config: ApnsConfig, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._http = HttpCalls(replace(config.http, http2=True))
        self._url = f"{config.url.rstrip('/')}/3/device/"
        self._token = ""
        self._signed_at = 0.0

    async def attempt(self, token: str, outgoing: Outgoing) -> Attempt:
        """Hand a notification over for one device, once."""
        provider_token = self._provider_token()
        headers = self._headers(provider_token, token, outgoing)
        try:
            answer = await self._http.post(self._url + quote(token, safe=""), headers, apns_payload(outgoing))
        except (NeverLeft, Unwritable) as error:
            return Attempt(Outcome.NOT_SENT, str(error))
        except Uncertain as error:
            return Attempt(Outcome.AMBIGUOUS, str(error))
        reason = _reason(answer)
        if reason == "ExpiredProviderToken" and self._renewed(provider_token):
            return Attempt(Outcome.NOT_SENT, f"{answer.status} {reason}", again=True)
        return _settled(answer, reason)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _headers(self, provider_token: str, token: str, outgoing: Outgoing) -> dict[str, str]:
        found = outgoing.notification
        headers = {
            "authorization": f"bearer {provider_token}",
            "apns-id": apns_id(token, outgoing),
            "apns-topic": self._config.topic,
            "apns-push-type": "background" if found.silent else "alert",
            "apns-priority": "5" if found.silent else "10",  # Apple refuses a silent one of any higher
            "user-agent": "muster",
        }
        if found.HasField("ttl"):
            headers["apns-expiration"] = str(int(self._clock()) + found.ttl.seconds)
        if found.collapse_key:
            headers["apns-collapse-id"] = found.collapse_key
        return headers

    def _provider_token(self) -> str:
        now = self._clock()
        if not self._token or not 0 <= now - self._signed_at < _RENEW_SECONDS:
            claims = {"iss": self._config.team_id, "iat": int(now)}
            self._token = jwt.encode(claims, self._config.key, algorithm="ES256", headers={"kid": self._config.key_id})
            self._signed_at = now
        return self._token

    def _renewed(self, provider_token: str) -> bool:
        """APNs calls a provider token expired: whether another try has a newer one."""
        if provider_token != self._token:
            return True
        if self._clock() - self._signed_at < _LEAST_SECONDS:
            return False  # it cannot be: this machine's clock is wrong, and Apple takes no new one so soon
        self._token = ""
        return True


def _settled(answer: Answer, reason: str) -> Attempt:
    words = f"{answer.status} {reason}" if reason else answer.words
    if answer.status == 200:
        return Attempt(Outcome.SENT, "200", answer.headers.get("apns-id", ""))
    if reason in _GONE:
        return Attempt(Outcome.FAILED, words, gone=True)
    if reason in _LATER:
        return Attempt(Outcome.NOT_SENT, words, again=True, least_wait=answer.wait)
    if reason in _OURS or answer.status == 405:
        return Attempt(Outcome.NOT_SENT, f"{words} (see the worker's settings)")
    if reason == "InternalServerError":
        return Attempt(Outcome.AMBIGUOUS, words, again=True, least_wait=answer.wait)
    return refusal_of(answer, words, idempotent=False)


def _reason(answer: Answer) -> str:
    """The reason of a refusal; "" where there is none to read."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return ""
    reason = found.get("reason") if isinstance(found, dict) else None
    return reason if isinstance(reason, str) else ""
