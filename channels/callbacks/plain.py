"""Feedback in Muster's own words, for providers that a small script of yours translates, under a secret of yours.

The body is a JSON object, or a list of them, whose members are the arguments of `muster.feedback`:
`{"kind": "bounced", "idempotency_key": "…", "event_id": "…", "permanent": true, "time": "2026-03-09T09:00:00Z"}`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

import muster
from muster.v1 import feedback_pb2

from channels.callbacks.fields import json_of, moment
from channels.callbacks.source import JSON_ANSWER, Call, Refused, Said, Unreadable

_MEMBERS: Final = {
    "kind": str,
    "idempotency_key": str,
    "event_id": str,
    "time": str,
    "channel": str,
    "address": str,
    "permanent": bool,
    "detail": str,
    "url": str,
}


class Plain:
    """Reads feedback as it is.

    Arguments:
        secret: that calls bring as `Authorization: Bearer SECRET`.
    """

    path = "/feedback"
    answer = JSON_ANSWER

    def __init__(self, secret: str) -> None:
        if not secret:
            raise ValueError("an empty secret")
        self._authorization = f"Bearer {secret}".encode()

    async def read(self, call: Call) -> Said:
        """The feedback."""
        if not hmac.compare_digest(self._authorization, call.headers.get("authorization", "").encode()):
            raise Refused("the secret is wrong")
        found = json_of(call.body)
        return [_feedback(one) for one in (found if isinstance(found, list) else [found])]


def _feedback(found: Any) -> feedback_pb2.Feedback:
    if not isinstance(found, Mapping):
        raise Unreadable("feedback that is no object")
    for name, value in found.items():
        if not isinstance(value, _MEMBERS.get(name, type(None))):
            raise Unreadable(f"the member {name!r}: one of {', '.join(_MEMBERS)}, a text but for permanent")
    given: dict[str, Any] = dict(found)
    if "time" in given and (given.update(time=moment(given["time"])) or given["time"] is None):
        raise Unreadable("the time is none: RFC 3339, such as 2026-03-09T09:00:00Z")
    try:
        return muster.feedback(given.pop("kind", ""), **given)
    except muster.InvalidInput as error:
        raise Unreadable(str(error)) from error
