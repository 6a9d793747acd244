"""Firebase Cloud Messaging on loopback: grants access tokens for signed assertions, takes messages, refuses in FCM's codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from channels.doubles.faults import Faults
from channels.doubles.http import HttpDouble, Reply

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_FCM_ERROR: Final = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"
_CODES: Final = {
    "UNREGISTERED": (404, "NOT_FOUND", "Requested entity was not found."),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED", "SenderId mismatch"),
    "INVALID_ARGUMENT": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "QUOTA_EXCEEDED": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "UNAVAILABLE": (503, "UNAVAILABLE", "The service is currently unavailable."),
    "INTERNAL": (500, "INTERNAL", "Internal error encountered."),
    "THIRD_PARTY_AUTH_ERROR": (401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service"),
}
"""By FCM's code: the HTTP status, the API's status, the message."""

_UNAUTHENTICATED: Final = (401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
_DENIED: Final = (403, "PERMISSION_DENIED", "Permission denied on resource project.")
_MESSAGE: Final = frozenset({"token", "data", "notification", "android"})
_NOTIFICATION: Final = frozenset({"title", "body", "image"})
_ANDROID: Final = frozenset({"collapse_key", "priority", "ttl", "notification"})
_ANDROID_NOTIFICATION: Final = frozenset({"tag", "sound", "notification_count"})
_MOST_BYTES: Final = 4_096


class FcmDouble(HttpDouble):
    """FCM and Google's token endpoint, both on one port of loopback. A fault's reply is one of FCM's codes, or a status.

    Arguments:
        refused: by device token the code with which it is refused, such as `UNREGISTERED`.
        project_id: of the service account.
        access_seconds: how long an access token is good.
    """

    def __init__(
        self,
        port: int = 0,
        record: Path | None = None,
        faults: Faults | None = None,
        *,
        refused: Mapping[str, str] | None = None,
        project_id: str = "shop-1",
        access_seconds: int = 3_600,
    ) -> None:
        super().__init__(port, record, faults)
        self.refused = dict(refused or {})
        self.project_id = project_id
        self.access_seconds = access_seconds
        self.grants = 0
        """Access tokens granted so far; only the last is good."""

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        """The service account's private key."""
        return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)

    @property
    def account(self) -> dict[str, str]:
        """The service account's key file, as Google's console gives it."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": self.project_id,
            "private_key_id": "key-1",
            "private_key": pem.decode(),
            "client_email": f"muster@{self.project_id}.iam.gserviceaccount.com",
            "token_uri": f"{self.url}/token",
        }

    def write_account(self, folder: Path) -> Path:
        """Write the key file into a folder; its path."""
        path = folder / "service-account.json"
        path.write_text(json.dumps(self.account), "utf-8")
        return path

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if path == "/token":
            return self._grant(dict(parse_qsl(body.decode())))
        if headers.get("authorization") != f"Bearer {self._access}":
            self.unverified += 1
            return _error(*_UNAUTHENTICATED)
        if path != f"/v1/projects/{self.project_id}/messages:send":
            return _error(*_DENIED)
        try:
            message = json.loads(body)["message"]
            token = message["token"]
        except (ValueError, KeyError, TypeError):
            return _invalid("message")
        wrong = _wrong(message, len(body))
        if wrong:
            return _invalid(wrong)
        if not isinstance(token, str) or len(token) < 2 or ":" in token:
            return _invalid("message.token", "The registration token is not a valid FCM registration token")
        if token in self.refused:
            return self._refusal(self.refused[token])
        name = f"projects/{self.project_id}/messages/0:{len(self.records.items)}"
        key = message.get("data", {}).get("muster_key", "")
        self.records.take([f"{key}>{token}"], message=message, name=name)
        return 200, {"name": name}

    @property
    def _access(self) -> str:
        return f"ya29.{self.grants}"

    def revoke(self) -> None:
        """Take back the access token granted last."""
        self.grants += 1

    def _grant(self, form: dict[str, str]) -> Reply:
        try:
            claims = jwt.decode(
                form.get("assertion", ""),
                self.key.public_key(),
                algorithms=["RS256"],
                audience=f"{self.url}/token",
                options={"verify_exp": False, "verify_iat": False},  # tests bring clocks of their own
            )
        except jwt.PyJWTError as error:
            self.unverified += 1
            return 400, {"error": "invalid_grant", "error_description": str(error)}
        good = claims["exp"] - claims["iat"] <= 3_600 and claims["iss"] == self.account["client_email"]
        if form.get("grant_type") != _GRANT or claims.get("scope") != SCOPE or not good:
            self.unverified += 1
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT"}
        self.grants += 1
        return 200, {"access_token": self._access, "expires_in": self.access_seconds, "token_type": "Bearer"}

    def _refusal(self, reply: str) -> Reply:
        if reply not in _CODES:
            return super()._refusal(reply)
        return _error(*_CODES[reply], {"@type": _FCM_ERROR, "errorCode": reply})


def _wrong(message: dict[str, Any], size: int) -> str:
    """The field of a message that FCM would refuse; "" for none."""
    if size > _MOST_BYTES:
        return "message"
    android, shown = message.get("android", {}), message.get("notification", {})
    known = (
        ("message", message, _MESSAGE),
        ("message.notification", shown, _NOTIFICATION),
        ("message.android", android, _ANDROID),
        ("message.android.notification", android.get("notification", {}), _ANDROID_NOTIFICATION),
    )
    for place, found, names in known:
        if not isinstance(found, dict) or set(found) - names:
            return place
    if not all(isinstance(value, str) for value in message.get("data", {}).values()):
        return "message.data"
    if not str(android.get("ttl", "0s")).endswith("s"):
        return "message.android.ttl"
    return ""


def _invalid(field: str, message: str = _CODES["INVALID_ARGUMENT"][2]) -> Reply:
    status, name, _ = _CODES["INVALID_ARGUMENT"]
    violation = {"field": field, "description": message}
    details = {"@type": _FCM_ERROR, "errorCode": name}, {"@type": _BAD_REQUEST, "fieldViolations": [violation]}
    return _error(status, name, message, *details)


def _error(status: int, name: str, message: str, *details: dict[str, Any]) -> Reply:
    return status, {"error": {"code": status, "message": message, "status": name, "details": list(details)}}
