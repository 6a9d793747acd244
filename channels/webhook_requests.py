"""What a webhook sends: one request a user, or one for a batch of users, each with a key of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from channels.provider import Batch, Outcome, Recipient, Result

# These frame the request or carry its proof; a message's own headers must not touch them.
RESERVED_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "idempotency-key",
        "transfer-encoding",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One HTTP request and the recipients it is for.

    Arguments:
        url: absolute, http or https.
        headers: the message's own.
        body: JSON text.
        key: idempotency key of the whole request.
        recipient_keys: idempotency keys of the recipients; each shares the request's outcome.
    """

    url: str
    headers: Mapping[str, str]
    body: str
    key: str
    recipient_keys: Sequence[str]


def key_of(recipient_keys: Sequence[str]) -> str:
    """The idempotency key of a request for several recipients: the same for the same set in any order."""
    digest = hashlib.sha256()
    for key in sorted(recipient_keys):
        name = key.encode()
        digest.update(len(name).to_bytes(4, "big") + name)
    return f"batch-{digest.hexdigest()}"


def requests_of(batch: Batch, recipients: Sequence[Recipient]) -> Iterator[WebhookRequest | Result]:
    """The requests that reach `recipients`, made one by one as they are asked for.

    With `batch.batch_size` 0 each recipient has a request with its own url, headers and body. Otherwise up to that
    many share one to `batch.url` whose body is `{"message": key, "users": [{"distinct_id", "idempotency_key", and
    the members of the recipient's body}]}`. A recipient whose body is no JSON object FAILS alone.
    """
    if not batch.batch_size:
        for recipient in recipients:
            rendered, key = recipient.rendered, recipient.idempotency_key
            yield WebhookRequest(rendered.url, rendered.headers, rendered.body, key, [key])
        return
    users: list[dict[str, Any]] = []
    for recipient in recipients:
        user = _user_of(recipient)
        if isinstance(user, Result):
            yield user
            continue
        users.append(user)
        if len(users) == batch.batch_size:
            yield _batch_request(batch, users)
            users = []
    if users:
        yield _batch_request(batch, users)


def _user_of(recipient: Recipient) -> dict[str, Any] | Result:
    try:
        members = json.loads(recipient.rendered.body or "{}")
    except ValueError as error:
        return Result(recipient.idempotency_key, Outcome.FAILED, f"the rendered body is no JSON: {error}")
    if not isinstance(members, dict):
        return Result(recipient.idempotency_key, Outcome.FAILED, "the rendered body is no JSON object")
    # The two names come first and are ours: a property of the same name cannot pass for another user.
    names = {"distinct_id": recipient.distinct_id, "idempotency_key": recipient.idempotency_key}
    return names | members | names


def _batch_request(batch: Batch, users: Sequence[Mapping[str, Any]]) -> WebhookRequest:
    keys = [user["idempotency_key"] for user in users]
    body = json.dumps({"message": batch.message_key, "users": users}, ensure_ascii=False, separators=(",", ":"))
    return WebhookRequest(batch.url, batch.headers, body, key_of(keys), keys)
