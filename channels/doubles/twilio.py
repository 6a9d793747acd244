"""Twilio's Messages resource on loopback: records text messages, refuses in Twilio's codes, calls back as it does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx

from channels.doubles.faults import Faults
from channels.doubles.http import HttpDouble, Reply

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_MESSAGES: Final = {
    20003: (401, "Authenticate"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too Many Requests"),
    20500: (500, "An internal server error has occurred"),
    20503: (503, "Service is unavailable"),
    21211: (400, "Invalid 'To' Phone Number"),
    21602: (400, "Message body is required"),
    21603: (400, "A 'From' phone number is required"),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
}
_MOST_CHARACTERS: Final = 1_600


def signature_of(url: str, form: Mapping[str, str], token: str) -> str:
    """X-Twilio-Signature of a callback: base64 of HMAC-SHA1 over the URL and the sorted fields of the form."""
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


class TwilioDouble(HttpDouble):
    """Twilio on loopback. A fault's reply is one of Twilio's codes, such as 20503, or a status.

    Arguments:
        account, token: what it lets in.
        stopped: numbers that have sent STOP.
    """

    def __init__(
        self,
        port: int = 0,
        record: Path | None = None,
        faults: Faults | None = None,
        *,
        account: str = "AC" + "0" * 32,
        token: str = "secret",
        stopped: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(port, record, faults)
        self.account = account
        self.token = token
        self.stopped = set(stopped)

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        login = base64.b64encode(f"{self.account}:{self.token}".encode()).decode()
        if headers.get("authorization") != f"Basic {login}":
            self.unverified += 1
            return self._refusal("20003")
        if path != f"/2010-04-01/Accounts/{self.account}/Messages.json":
            return self._refusal("20404")
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        to, text = form.get("To", ""), form.get("Body", "")
        if not _E164.fullmatch(to):
            return self._refusal("21211")
        if not text:
            return self._refusal("21602")
        if len(text) > _MOST_CHARACTERS:
            return self._refusal("21617")
        if not form.get("From") and not form.get("MessagingServiceSid"):
            return self._refusal("21603")
        if to in self.stopped:
            return self._refusal("21610")
        sid = f"SM{len(self.records.items):032x}"
        callback = form.get("StatusCallback", "")
        key = parse_qs(urlsplit(callback).query).get("key", [""])[0]
        self.records.take([key or to], sid=sid, form=form, callback=callback)
        return 201, {"sid": sid, "status": "queued", "to": to, "body": text, "error_code": None}

    def _refusal(self, reply: str) -> Reply:
        code = int(reply)
        if code not in _MESSAGES:
            return super()._refusal(reply)
        status, message = _MESSAGES[code]
        more = f"https://www.twilio.com/docs/errors/{code}"
        return status, {"code": code, "message": message, "more_info": more, "status": status}

    async def report(self, sid: str, status: str, *, error: int = 0) -> int:
        """Tell a message's status callback what became of it; the answer's status.

        Arguments:
            status: such as `delivered` or `undelivered`.
            error: Twilio's code, 0 for none.
        """
        taken = next(item for item in self.records.items if item["sid"] == sid)
        form = {"MessageSid": sid, "MessageStatus": status, "To": taken["form"]["To"], "AccountSid": self.account}
        return await self.call_back(taken["callback"], {**form, **({"ErrorCode": str(error)} if error else {})})

    async def reply(self, url: str, number: str, text: str) -> int:
        """Forward a text message of a user, as a number's webhook gets it; the answer's status."""
        form = {"MessageSid": "SM" + "f" * 32, "From": number, "To": "+14155550100", "Body": text}
        if text.strip().upper() in ("STOP", "START", "HELP"):
            form["OptOutType"] = text.strip().upper()
        return await self.call_back(url, form)

    async def call_back(self, url: str, form: dict[str, str], *, signature: str | None = None) -> int:
        """POST a signed form to a URL of the worker's; the answer's status. `signature` replaces the right one."""
        signed = signature_of(url, form, self.token) if signature is None else signature
        async with httpx.AsyncClient(trust_env=False) as client:
            answer: Any = await client.post(url, data=form, headers={"x-twilio-signature": signed})
        return int(answer.status_code)
