"""Text messages by Twilio's REST API (Programmable Messaging, version 2010-04-01).

| what happened                                                        | outcome                                  |
|----------------------------------------------------------------------|------------------------------------------|
| 201 with the SID of a message                                        | SENT                                     |
| 400 with one of Twilio's codes: 21211 no number, 21610 STOP, …       | FAILED                                   |
| 429, 503                                                             | tried again, then NOT_SENT               |
| 401, 403, 404, a redirect; no connection                             | NOT_SENT: it is not this message's fault |
| another 5xx, a time-out, a lost connection, a 2xx that names no SID  | AMBIGUOUS, never tried again here        |

Twilio knows no idempotency keys: a request that may have been taken must not be repeated.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from channels.carrier import refusal_of
from channels.http_calls import MOST_JSON, Answer, HttpCalls, HttpConfig, NeverLeft, Uncertain, Unwritable
from channels.provider import Outcome, Recipient, sender_of
from channels.retry import Attempt

API: Final = "https://api.twilio.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioConfig:
    """How Twilio is called.

    Arguments:
        account_sid: `AC` and 32 digits.
        user: the SID of an API key; empty: the account's own SID.
        secret: the API key's secret, or the account's auth token.
        sender: a number, short code, name or messaging service (`MG…`) for messages that name none.
        url: of the API, without a path.
        status_callback: where Twilio is to report what becomes of messages; the idempotency key is added to its query.
            Empty: nowhere.
        http: connections, time-outs and proxy.
    """

    account_sid: str
    secret: str = field(repr=False)
    user: str = ""
    sender: str = ""
    url: str = API
    status_callback: str = ""
    http: HttpConfig = field(default_factory=lambda: HttpConfig(longest_answer=MOST_JSON))

    def __post_init__(self) -> None:
        if not self.account_sid or not self.secret:
            raise ValueError("account_sid, secret: both are needed")


class Twilio:
    """A carrier of text messages; see the module's table for outcomes."""

    def __init__(self, config: TwilioConfig) -> None:
        self._config = config
        self._http = HttpCalls(config.http)
        account = quote(config.account_sid, safe="")
        self._url = f"{config.url.rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json"
        login = f"{config.user or config.account_sid}:{config.secret}".encode()
        self._headers = {
            "authorization": f"Basic {base64.b64encode(login).decode()}",
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": "muster",
        }

    async def attempt(self, recipient: Recipient) -> Attempt:
        """Hand one text message over, once."""
        sender = sender_of(recipient.rendered) or self._config.sender
        if not sender:
            return Attempt(Outcome.NOT_SENT, "there is no sender: the message names none, and neither does the worker")
        form = {
            "To": recipient.rendered.to,
            "MessagingServiceSid" if sender.startswith("MG") else "From": sender,
            "Body": recipient.rendered.text,
        }
        if self._config.status_callback:
            mark = "&" if "?" in self._config.status_callback else "?"
            key = urlencode({"key": recipient.idempotency_key})
            form["StatusCallback"] = f"{self._config.status_callback}{mark}{key}"
        try:
            return _settled(await self._http.post(self._url, self._headers, urlencode(form).encode()))
        except (NeverLeft, Unwritable) as error:
            return Attempt(Outcome.NOT_SENT, str(error))
        except Uncertain as error:
            return Attempt(Outcome.AMBIGUOUS, str(error))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _settled(answer: Answer) -> Attempt:
    found = _object(answer.body)
    sid = found.get("sid")
    if answer.is_success and isinstance(sid, str) and sid:
        return Attempt(Outcome.SENT, f"{answer.status} {found.get('status', '')}".strip(), sid)
    code, message = found.get("code"), found.get("message")
    words = f"{code} {message}" if isinstance(code, int) and isinstance(message, str) else answer.words
    return refusal_of(answer, words, idempotent=False)


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; empty for anything else."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
