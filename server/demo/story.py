"""What the demo tells Muster: its project, its customers and purchases, its two messages, its audience, its months."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from muster.messages import Email, Webhook

from server.demo.cdnow import END, START, Person, Purchase

PROJECT: Final = "cdnow"
WINBACK: Final = "we-miss-you"
BEST: Final = "best-customers"
KEYS: Final = (WINBACK, BEST)

LAPSED: Final = 'events["Purchase"].size() >= 2 && !events["Purchase"].exists(e, e.time > now - duration("2160h"))'
SPENDERS: Final = 'events["Purchase"].map(e, e.amount).sum() > 200.0'
LOYAL: Final = 'events["Purchase"].filter(e, e.time > now - duration("4320h") && e.amount > 30.0).size() >= 3'
"""At least three purchases over $30 in the last 180 days; `truth.loyal` asks the same in SQL."""

Step = Literal["day", "week", "month", "once"]

_HTML: Final = """\
<html><body style="font-family: Georgia, serif; max-width: 32em; margin: 2em auto; color: #222">
<h1 style="font-size: 1.4em">We miss you, {{ ${First name} }}</h1>
<p>It has been three months since your last record. Your favourites have new neighbours on the shelf.</p>
<p><a href="https://shop.example.com/new" style="color: #b3412e">Have a look</a></p>
</body></html>
"""
_TEXT: Final = """\
Dear {{ ${First name} }},

it has been three months since your last record. Your favourites have new neighbours on the shelf:

    https://shop.example.com/new
"""


EMAIL: Final[Email] = {
    "from": "The record shop <hello@shop.example.com>",
    "subject": "We miss you, {{ ${First name} }}",
    "preheader": "New neighbours on your shelf",
    "html": _HTML,
    "text": _TEXT,
}
"""The mail to customers who bought twice and then not for 90 days."""


def webhook(url: str) -> Webhook:
    """What is told of the best customers, in batches.

    Arguments:
        url: where the receiver listens.
    """
    return {"url": url, "properties": ["First name", "$email"], "batch_size": 50}


def profile(person: Person) -> dict[str, str]:
    """A customer's properties; what is missing is left out."""
    found = {"First name": person.first_name, "$email": person.email}
    return {name: value for name, value in found.items() if value is not None}


def properties(purchase: Purchase) -> dict[str, Any]:
    """A purchase's properties: dollars and discs."""
    return {"amount": purchase.dollars, "discs": purchase.discs}


def instants(step: Step) -> Iterator[datetime]:
    """Where the clock stands after each move; the last one is the end of the play."""
    moment = START
    while moment < END:
        if step == "once":
            moment = END
        elif step == "month":
            moment = datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=moment.tzinfo)
        else:
            moment = min(END, moment + timedelta(days=1 if step == "day" else 7))
        yield moment
