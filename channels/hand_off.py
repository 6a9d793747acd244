"""How a mail names its hand-off to a provider, so that what the provider says of it later names it, too.

Each provider has a header that it takes out of a mail and repeats in its events. Providers without one are known by
the idempotency key's own header, which bounces carry back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, Literal

EmailProviderName = Literal["", "ses", "sendgrid", "postmark", "mailgun"]

KEY_HEADER: Final = "X-Muster-Idempotency-Key"
SENDGRID_ARGUMENT: Final = "muster_key"
MAILGUN_VARIABLE: Final = "muster_key"
POSTMARK_FIELD: Final = "muster-key"
_POSTMARK_VALUE: Final = 80
"""Characters that Postmark takes in one metadata field."""


def headers_for(provider: EmailProviderName, key: str) -> dict[str, str]:
    """Headers by which a provider knows a hand-off by its idempotency key."""
    if provider == "sendgrid":
        return {"X-SMTPAPI": json.dumps({"unique_args": {SENDGRID_ARGUMENT: key}})}
    if provider == "mailgun":
        return {"X-Mailgun-Variables": json.dumps({MAILGUN_VARIABLE: key})}
    if provider == "postmark":
        parts = [key[start : start + _POSTMARK_VALUE] for start in range(0, len(key), _POSTMARK_VALUE)]
        return {f"X-PM-Metadata-{_field(number)}": part for number, part in enumerate(parts)}
    return {}


def postmark_key(metadata: Mapping[str, object]) -> str:
    """The idempotency key in the metadata that Postmark repeats; "" where there is none."""
    parts: list[str] = []
    while isinstance(part := metadata.get(_field(len(parts))), str):
        parts.append(part)
    return "".join(parts)


def _field(number: int) -> str:
    return POSTMARK_FIELD if number == 0 else f"{POSTMARK_FIELD}-{number + 1}"
