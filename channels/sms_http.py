"""Text messages by any provider that takes an HTTP POST: URL and body are written out with places for the message.

`{to}`, `{from}`, `{text}` and `{key}` (the idempotency key) stand for the message's parts, escaped for where they
stand: percent-encoded in the URL and in a form, as the inside of a string in JSON. Outcomes are those of
`channels.carrier.refusal_of`; any 2xx is SENT.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, quote_plus

from channels.carrier import refusal_of
from channels.http_calls import HttpCalls, HttpConfig, NeverLeft, Uncertain, Unwritable
from channels.provider import Outcome, Recipient, sender_of
from channels.retry import Attempt

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
DEFAULT_BODY: Final = '{"to":"{to}","from":"{from}","text":"{text}","key":"{key}"}'
_PLACE: Final = re.compile(r"\{(to|from|text|key)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsHttpConfig:
    """How the provider is called.

    Arguments:
        url: where to POST.
        body: of each request.
        content_type: of the body; JSON or FORM.
        authorization: the value of the Authorization header; empty: none is sent.
        sender: for messages that name none.
        idempotent: the provider drops a repeated Idempotency-Key, so that what is uncertain may be tried again.
        http: connections, time-outs and proxy.
    """

    url: str
    body: str = DEFAULT_BODY
    content_type: str = JSON
    authorization: str = field(default="", repr=False)
    sender: str = ""
    idempotent: bool = False
    http: HttpConfig = field(default_factory=HttpConfig)

    def __post_init__(self) -> None:
        if self.content_type not in (JSON, FORM):
            raise ValueError(f"content_type: {JSON} or {FORM}")
        if not {"to", "text"} <= set(_PLACE.findall(self.url + self.body)):
            raise ValueError("body: it or the URL has to have {to} and {text} in it")


class SmsHttp:
    """A carrier of text messages."""

    def __init__(self, config: SmsHttpConfig) -> None:
        self._config = config
        self._http = HttpCalls(config.http)

    async def attempt(self, recipient: Recipient) -> Attempt:
        """Hand one text message over, once."""
        config = self._config
        parts = {
            "to": recipient.rendered.to,
            "from": sender_of(recipient.rendered) or config.sender,
            "text": recipient.rendered.text,
            "key": recipient.idempotency_key,
        }
        headers = {
            "content-type": config.content_type,
            "idempotency-key": recipient.idempotency_key,
            "user-agent": "muster",
            **({"authorization": config.authorization} if config.authorization else {}),
        }
        url = _filled(config.url, parts, lambda value: quote(value, safe=""))
        body = _filled(config.body, parts, quote_plus if config.content_type == FORM else _inside_json)
        try:
            answer = await self._http.post(url, headers, body.encode())
        except (NeverLeft, Unwritable) as error:
            return Attempt(Outcome.NOT_SENT, str(error))
        except Uncertain as error:
            return Attempt(Outcome.AMBIGUOUS, str(error), again=config.idempotent)
        if answer.is_success:
            return Attempt(Outcome.SENT, answer.words, answer.headers.get("x-request-id", ""))
        return refusal_of(answer, answer.words, idempotent=config.idempotent)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _filled(template: str, parts: Mapping[str, str], escape: Callable[[str], str]) -> str:
    return _PLACE.sub(lambda place: escape(parts[place[1]]), template)


def _inside_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
