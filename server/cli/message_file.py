"""A message as a TOML file: read with every mistake named by its place, and commented examples to begin with."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final

from core.errors import InvalidInput
from server.cli.arguments import instant_of, length_of
from server.cli.context import read_text
from server.cli.schedules import schedule_of
from server.cli.timing import QUIET, RAMP, WINDOW
from server.names import nearest

KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")

_TOP: Final[dict[str, type]] = {
    "key": str,
    "title": str,
    "targeting": str,
    "schedule": str,
    "max_recipients": int,
    "expires_after": str,
    "control_percent": float,
    "topic": str,
    "once_per_address": bool,
    "goal": dict,
    "most_per_user": int,
    "utm": dict,
    "grace": str,
    "send_window": dict,
    "quiet_hours": dict,
    "variants": list,
    "throughput_per_second": int,
    "ramp": dict,
    "email": dict,
    "webhook": dict,
    "sms": dict,
    "push": dict,
    "in_app": dict,
}
_PLAIN: Final = (
    "title",
    "targeting",
    "max_recipients",
    "control_percent",
    "throughput_per_second",
    "topic",
    "once_per_address",
    "most_per_user",
    "utm",
)
"""Fields that are given on as they stand in the file."""
_EMAIL: Final[dict[str, type]] = {
    "from": str,
    "reply_to": str,
    "subject": str,
    "preheader": str,
    "html": str,
    "text": str,
    "html_file": str,
    "text_file": str,
    "translations": dict,
    "layout": str,
}
_WEBHOOK: Final[dict[str, type]] = {
    "url": str,
    "headers": dict,
    "body": str,
    "body_file": str,
    "properties": list,
    "batch_size": int,
    "idempotent": bool,
}
_SMS: Final[dict[str, type]] = {
    "text": str,
    "text_file": str,
    "from": str,
    "max_segments": int,
    "translations": dict,
}
_PUSH: Final[dict[str, type]] = {
    "title": str,
    "body": str,
    "body_file": str,
    "image": str,
    "buttons": list,
    "deep_link": str,
    "silent": bool,
    "ttl": str,
    "collapse_key": str,
    "data": dict,
    "badge": int,
    "sound": str,
    "translations": dict,
}
_IN_APP: Final[dict[str, type]] = {
    "kind": str,
    "title": str,
    "body": str,
    "body_file": str,
    "image": str,
    "buttons": list,
    "link": str,
    "background_color": str,
    "title_color": str,
    "body_color": str,
    "close_color": str,
    "border_color": str,
    "image_tint_color": str,
    "fade_image": bool,
    "data": dict,
    "triggers": list,
    "translations": dict,
}
_TABLES: Final[dict[tuple[str, str], tuple[dict[str, type], str]]] = {
    ("", "variants"): (
        {"key": str, "percent": float, "email": dict, "webhook": dict, "sms": dict, "push": dict, "in_app": dict},
        '[[variants]], below it key = "b", percent = 50 and [variants.email]',
    ),
    ("push.", "buttons"): ({"text": str, "link": str}, '{ text = "Open", link = "https://…" }'),
    ("in_app.", "buttons"): (
        dict.fromkeys(("text", "link", "text_color", "background_color", "border_color"), str),
        '{ text = "Open", link = "https://…" }',
    ),
    ("in_app.", "triggers"): (
        {"event": str, "condition": str},
        '{ event = "Purchase", condition = "e.amount > 50.0" }',
    ),
}
"""Lists of tables, by where they stand: the fields of each table, and one for show."""
_UTM: Final[dict[str, type]] = dict.fromkeys(("source", "medium", "campaign", "term", "content"), str)
_GOAL: Final[dict[str, type]] = {
    "event": str,
    "condition": str,
    "window": str,
    "value": str,
}
_TRANSLATIONS: Final[dict[str, dict[str, type]]] = {
    "email": {
        "subject": str,
        "preheader": str,
        "html": str,
        "text": str,
        "html_file": str,
        "text_file": str,
    },
    "sms": {"text": str, "text_file": str},
    "push": {"title": str, "body": str, "body_file": str},
    "in_app": {"title": str, "body": str, "body_file": str},
}
"""By channel, the fields of the table of a language."""
_CONTENTS: Final = {"email": _EMAIL, "webhook": _WEBHOOK, "sms": _SMS, "push": _PUSH, "in_app": _IN_APP}
"""By channel, the fields of its table."""
_WORDS: Final = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list of texts",
    dict: "a table",
}


@dataclass(frozen=True, slots=True)
class MessageFile:
    """A message as the client's `create` and `update` take it: the key, and the other arguments by name."""

    key: str
    fields: Mapping[str, Any]


def read_message(path: str) -> MessageFile:
    """A message from a file; "-" is standard input. Files it names lie beside it.

    Raises:
        InvalidInput: FILE_UNREADABLE, MESSAGE_FILE.
    """
    try:
        table = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise _refusal(path, "", f"not TOML: {error}", "see `muster message new email`") from error
    _check(path, "", table, _TOP)
    if "key" not in table:
        raise _refusal(path, "key", "there is no key", 'name the message: key = "welcome"')
    if "utm" in table:
        _check(path, "utm.", table["utm"], _UTM)
    folder = Path() if path == "-" else Path(path).parent
    fields: dict[str, Any] = {}
    for name in _PLAIN:
        if name in table:
            fields[name] = table[name]
    if "schedule" in table:
        fields["schedule"] = _schedule(path, table["schedule"])
    for name in ("expires_after", "grace"):
        if name in table:
            fields[name] = length_of(table[name], name)
    if "goal" in table:
        fields["goal"] = goal_of(path, table["goal"])
    for name, known in (("send_window", WINDOW), ("quiet_hours", QUIET), ("ramp", RAMP)):
        if name in table:
            _check(path, f"{name}.", table[name], known)
            fields[name] = table[name]
    fields |= _contents(path, "", table, folder)
    if "variants" in table:
        fields["variants"] = [
            {**one, **_contents(path, f"variants[{number}].", one, folder)}
            for number, one in enumerate(table["variants"])
        ]
    return MessageFile(table["key"], fields)


def _contents(path: str, place: str, table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The contents in a table, by channel."""
    found = {}
    for channel, known in _CONTENTS.items():
        if channel in table:
            _check(path, f"{place}{channel}.", table[channel], known)
            found[channel] = _content(path, f"{place}{channel}", table[channel], folder)
    return found


def goal_of(path: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """A goal as the client takes it, from its table in a file.

    Raises:
        InvalidInput: MESSAGE_FILE, DURATION_INVALID.
    """
    _check(path, "goal.", table, _GOAL)
    goal = dict(table)
    if "window" in goal:
        goal["window"] = length_of(goal["window"], "goal.window")
    return goal


def _check(path: str, place: str, table: Mapping[str, Any], known: Mapping[str, type]) -> None:
    for name, value in table.items():
        if name not in known:
            near = nearest(name, known)
            mend = f"did you mean {near!r}?" if near else f"one of {', '.join(known)}"
            raise _refusal(path, place + name, "a message has no such field", mend)
        kind = known[name]
        if name == "schedule" and isinstance(value, datetime | date | dict):
            continue
        fits = isinstance(value, (int, float) if kind is float else kind)
        fits = fits and (kind is bool or not isinstance(value, bool))
        if not fits:
            raise _refusal(path, place + name, "a value of the wrong kind", _WORDS[kind])
        if (_within(place), name) in _TABLES:
            _check_tables(path, place, name, value)
        elif kind is list and not all(isinstance(item, str) for item in value):
            raise _refusal(path, place + name, "not all are texts", _WORDS[kind])
        if name in ("headers", "data") and not all(isinstance(item, str) for item in value.values()):
            raise _refusal(path, place + name, "not all are texts", 'Authorization = "…"')


def _within(place: str) -> str:
    """A place in a variant's content as that in the message's own."""
    return re.sub(r"^variants\[\d+\]\.", "", place)


def _check_tables(path: str, place: str, name: str, tables: list[Any]) -> None:
    known, shown = _TABLES[_within(place), name]
    for number, table in enumerate(tables):
        if not isinstance(table, dict):
            raise _refusal(path, f"{place}{name}[{number}]", "no table", shown)
        _check(path, f"{place}{name}[{number}].", table, known)


def _schedule(path: str, value: Any) -> Any:
    if isinstance(value, dict):
        return schedule_of(path, value)
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    return value if value in ("asap", "on_send") else instant_of(value, "schedule")


def _content(path: str, channel: str, table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The content, with the texts of the files that it names."""
    content = _with_files(path, f"{channel}.", table, folder)
    languages = {}
    for tag, texts in content.get("translations", {}).items():
        place = f"{channel}.translations.{tag}"
        if not isinstance(texts, dict):
            raise _refusal(path, place, "no table", f"[{place}], and below it the texts")
        _check(path, f"{place}.", texts, _TRANSLATIONS[channel])
        languages[tag] = _with_files(path, f"{place}.", texts, folder)
    if languages:
        content["translations"] = languages
    if "ttl" in content:
        content["ttl"] = length_of(content["ttl"], f"{channel}.ttl")
    return content


def _with_files(path: str, place: str, table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A table with the texts of the files that it names."""
    content = dict(table)
    for name in [name for name in content if name.endswith("_file")]:
        field = name.removesuffix("_file")
        if field in content:
            raise _refusal(path, place + name, f"there is {field!r} too", "give one of the two")
        content[field] = read_text(str(folder / content.pop(name)))
    return content


def _refusal(path: str, place: str, what: str, mend: str) -> InvalidInput:
    return InvalidInput(f"{place}: {what}" if place else what, field=path, mend=mend, code="MESSAGE_FILE")


EXAMPLES: Final[dict[str, str]] = {
    "email": """\
# A message by email. `muster message create FILE` makes a draft of it; `muster message launch KEY` makes that live.

# Names the message: small letters, digits, - and _. It cannot be changed later.
key = "@KEY@"
# For people.
title = "We miss you"

# Whom it is for, in CEL. `user` is the profile, `events` has lists of the user's events by name, `now` is the present.
# Try it first: muster audience count '…'
targeting = '''
user.plan == "free" && user["Last login"] < now - duration("336h")
'''

# "asap": as soon as someone comes to match, by what they do or by time alone; once ever.
# Or an instant, at which it is sent to everybody who matches: schedule = 2026-01-31T09:00:00Z
schedule = "asap"
# At nine in each user's own zone: schedule = { local_time = "2026-01-31T09:00", zone = "user", past = "skip" }
# Each time someone comes to match: schedule = { each_time = true, least_gap = "7d" }
# Every Monday: schedule = { start = "2026-01-31T09:00", rule = "FREQ=WEEKLY;BYDAY=MO", zone = "Europe/Berlin" }

# A message about to select more users than this pauses instead. 0: no limit.
max_recipients = 10000
# Who waits longer than this, for its time or in the queue, is skipped.
# expires_after = "72h"
# So many of a hundred are held out, by chance, to compare with: they pass every gate and are sent nothing. 0: nobody.
# control_percent = 5
# A topic that people may unsubscribe from on its own; `muster consent topic list` lists them.
# topic = "news"
# Of users who share an address, only one gets it.
# once_per_address = true
# When it may go out, by the wall clock where each user lives ($timezone, or else the project's zone). Who comes to match
# at another time waits, and is judged again as the window opens. Without days, every day.
# send_window = { from = "09:00", to = "20:00", days = ["monday", "tuesday", "wednesday", "thursday", "friday"] }
# The same the other way round: when it may not.
# quiet_hours = { from = "22:00", to = "08:00" }
# At most so many begin in any second; with a ramp fewer in the first days, each day so many times those of the day before.
# throughput_per_second = 100
# ramp = { start = 5, factor = 2.0 }

[email]
from = "The shop <hello@example.com>"
# reply_to = "help@example.com"

# Subject, preheader, html and text are templates. {{ ${First name} }} is the property "First name"; someone who has
# none is skipped, and told apart in the report, unless there is a default.
subject = 'We miss you, {{ ${First name} | default("friend") }}'
preheader = "Your favourites have new neighbours"

# A snippet that the html stands in, with {{ content }} where; `muster snippet list` has them.
# layout = "page"

# At least one of html and text. A long one may lie in a file beside this one: html_file = "welcome.html"
text = '''
Dear {{ ${First name} | default("friend") }},

it has been a while. Come and have a look: https://example.com/new
'''
html = '''
<html><body>
<h1>We miss you, {{ ${First name} | default("friend") }}</h1>
<p>It has been a while. <a href="https://example.com/new">Come and have a look.</a></p>
</body></html>
'''

# For readers of other languages, told by $locale; what is left out here is as above.
# [email.translations.de]
# subject = 'Wir vermissen dich, {{ ${First name} | default("du") }}'
# html_file = "we-miss-you.de.html"

# Parameters for the links that lack them, for your site's own analytics; without a campaign it is the message's key.
# [utm]
# source = "newsletter"
# medium = "email"

# What reports count as a conversion: an event within `window` of the message. It may change at any time.
# [goal]
# event = "Purchase"
# condition = "e.amount > 50.0"
# window = "7d"
# value = "amount"

# Other contents, each for a share of the users; the rest get the one above. Once live, only percentages change.
# [[variants]]
# key = "short"
# percent = 50
# [variants.email]
# from = "The shop <hello@example.com>"
# subject = "Come back"
# text = "We miss you: https://example.com/new"
""",
    "webhook": """\
# A message by webhook. `muster message create FILE` makes a draft of it; `muster message launch KEY` makes that live.

# Names the message: small letters, digits, - and _. It cannot be changed later.
key = "@KEY@"
# For people.
title = "Tell the warehouse who our best customers are"

# Whom it is about, in CEL. `user` is the profile, `events` has lists of the user's events by name, `now` is the present.
# Try it first: muster audience count '…'
targeting = '''
events["Purchase"].map(e, e.amount).sum() > 200.0
'''

# "asap": as soon as someone comes to match, by what they do or by time alone; once ever.
# Or an instant, at which it is sent about everybody who matches: schedule = 2026-01-31T09:00:00Z
schedule = "asap"
# At nine in each user's own zone: schedule = { local_time = "2026-01-31T09:00", zone = "user", past = "skip" }
# Each time someone comes to match: schedule = { each_time = true, least_gap = "7d" }
# Every Monday: schedule = { start = "2026-01-31T09:00", rule = "FREQ=WEEKLY;BYDAY=MO", zone = "Europe/Berlin" }

# A message about to select more users than this pauses instead. 0: no limit.
max_recipients = 10000
# Who waits longer than this, for its time or in the queue, is skipped.
# expires_after = "72h"
# So many of a hundred are held out, by chance, to compare with: they pass every gate and are sent nothing. 0: nobody.
# control_percent = 5
# When it may go out, by the wall clock where each user lives ($timezone, or else the project's zone). Who comes to match
# at another time waits, and is judged again as the window opens. Without days, every day.
# send_window = { from = "09:00", to = "20:00", days = ["monday", "tuesday", "wednesday", "thursday", "friday"] }
# The same the other way round: when it may not.
# quiet_hours = { from = "22:00", to = "08:00" }
# At most so many begin in any second; with a ramp fewer in the first days, each day so many times those of the day before.
# throughput_per_second = 100
# ramp = { start = 5, factor = 2.0 }

[webhook]
# Scheme and host are fixed; path and query may be templates. Requests are signed by the Standard Webhooks scheme.
url = "https://example.com/hooks/best-customers"
# headers = { X-Source = "muster" }

# Batches of users with these of their properties:
properties = ["First name", "$email"]
# at most so many users a request; 0: 500.
batch_size = 100

# Instead of batches, one request a user with a body of your own, a template of JSON:
# body = '''{"id": {{ distinct_id }}, "name": {{ ${First name} | default("friend") }} }'''

# The receiver drops a repeated Idempotency-Key: what is ambiguous may be offered again by itself.
idempotent = false

# What reports count as a conversion: an event within `window` of the message. It may change at any time.
# [goal]
# event = "Purchase"
# condition = "e.amount > 50.0"
# window = "7d"
# value = "amount"
""",
    "sms": """\
# A text message. `muster message create FILE` makes a draft of it; `muster message launch KEY` makes that live.

# Names the message: small letters, digits, - and _. It cannot be changed later.
key = "@KEY@"
# For people.
title = "Your order is on its way"

# Whom it is for, in CEL. `user` is the profile, `events` has lists of the user's events by name, `now` is the present.
# Only users whose $phone is a number with its country's code, such as +4915112345678, can be reached.
targeting = '''
events["Order shipped"].exists(e, e.time > now - duration("24h"))
'''

# "asap": as soon as someone comes to match, by what they do or by time alone; once ever.
# Or an instant, at which it is sent to everybody who matches: schedule = 2026-01-31T09:00:00Z
schedule = "asap"
# At nine in each user's own zone: schedule = { local_time = "2026-01-31T09:00", zone = "user", past = "skip" }
# Each time someone comes to match: schedule = { each_time = true, least_gap = "7d" }
# Every Monday: schedule = { start = "2026-01-31T09:00", rule = "FREQ=WEEKLY;BYDAY=MO", zone = "Europe/Berlin" }

# A message about to select more users than this pauses instead. 0: no limit.
max_recipients = 10000
# Who waits longer than this, for its time or in the queue, is skipped.
# expires_after = "4h"
# A topic that people may unsubscribe from on its own; `muster consent topic list` lists them.
# topic = "news"
# Of users who share a number, only one gets it.
# once_per_address = true

[sms]
# A number, short code, name of at most 11 letters and digits, or a messaging service; without it the worker's own.
# from = "+14155550100"

# A template. 160 characters of GSM-7 are one segment, or 153 in each of several; with any other character, such as an
# emoji, it is 70 or 67. `muster message preview` tells how many segments a user's text takes.
text = '''
Hi {{ ${First name} | default("there") }}, your order is on its way. Reply STOP to hear no more of us.
'''
# Whose text would take more segments is skipped. 0: 10.
max_segments = 2

# For readers of other languages, told by $locale.
# [sms.translations.de]
# text = "Deine Bestellung ist unterwegs."

# What reports count as a conversion: an event within `window` of the message. It may change at any time.
# [goal]
# event = "Purchase"
# condition = "e.amount > 50.0"
# window = "7d"
# value = "amount"
""",
    "push": """\
# A push notification. `muster message create FILE` makes a draft of it; `muster message launch KEY` makes that live.

# Names the message: small letters, digits, - and _. It cannot be changed later.
key = "@KEY@"
# For people.
title = "Something is left in the basket"

# Whom it is for, in CEL. `user` is the profile, `events` has lists of the user's events by name, `now` is the present.
# Only users with a device in $android_devices or $ios_devices can be reached; all of a user's devices get it.
targeting = '''
events["Add to cart"].exists(e, e.time < now - duration("2h") && e.time > now - duration("24h"))
  && !events["Purchase"].exists(e, e.time > now - duration("24h"))
'''

# "asap": as soon as someone comes to match, by what they do or by time alone; once ever.
# Or an instant, at which it is sent to everybody who matches: schedule = 2026-01-31T09:00:00Z
schedule = "asap"

# A message about to select more users than this pauses instead. 0: no limit.
max_recipients = 10000
# Who waits longer than this, for its time or in the queue, is skipped.
# expires_after = "4h"

[push]
# Title, body, links, the collapse key and data are templates. One of title and body is needed.
title = 'Still thinking, {{ ${First name} | default("friend") }}?'
body = "Your basket is waiting for you."
# image = "https://example.com/basket.png"

# What a tap opens: a URL of any scheme that the app knows.
deep_link = "shop://basket"
# At most three. One without a link opens what a tap opens.
buttons = [
  { text = "To the basket", link = "shop://checkout" },
]

# How long it is kept for a device that cannot be reached; without it as is usual at the provider.
ttl = "6h"
# Of several with one key a device shows the last.
collapse_key = "basket"
# sound = "default"
# badge = 1

# Shows nothing, and wakes the app with its data:
# silent = true

# Further values for the app, each a text.
# [push.data]
# screen = "basket"

# For readers of other languages, told by $locale; what is left out here is as above.
# [push.translations.de]
# title = "Noch am Überlegen?"

# What reports count as a conversion: an event within `window` of the message. It may change at any time.
# [goal]
# event = "Purchase"
# condition = "e.amount > 50.0"
# window = "7d"
# value = "amount"
""",
    "in_app": """\
# A message inside the app. `muster message create FILE` makes a draft of it; `muster message launch KEY` makes that live.

# Names the message: small letters, digits, - and _. It cannot be changed later.
key = "@KEY@"
# For people.
title = "The new season is here"

# Whom it is for, in CEL. `user` is the profile, `events` has lists of the user's events by name, `now` is the present.
# Everybody can be reached: it waits until the user opens the app.
targeting = '''
user.plan == "free"
'''

# "asap": as soon as someone comes to match, by what they do or by time alone; once ever.
# Or an instant, at which it begins to wait for everybody who matches: schedule = 2026-01-31T09:00:00Z
schedule = "asap"

# A message about to select more users than this pauses instead. 0: no limit.
max_recipients = 10000
# It waits for a user no longer than this; without it 30 days.
expires_after = "14d"

[in_app]
# "takeover" fills the screen; "mini" lies at its edge, with neither title nor buttons.
kind = "takeover"

# Title, body, links and data are templates. One of title, body and image is needed.
title = 'New for you, {{ ${First name} | default("friend") }}'
body = "The new season is here."
# image = "https://example.com/season.png"

# What a tap opens: a URL of any scheme that the app knows.
link = "shop://season"
# At most three. One without a link opens what a tap opens.
buttons = [
  { text = "Have a look", link = "shop://season/new", text_color = "#FFFFFF", background_color = "#115577" },
]

# Colours are #RRGGBB or #AARRGGBB; without them the app's own.
background_color = "#FFFFFF"
# title_color = "#222222"
# body_color = "#222222"
# close_color = "#888888"

# Without triggers it is shown when the app starts; with some, when the user has such an event. In a condition `e` is it.
# triggers = [
#   { event = "View item", condition = 'e.category == "shoes"' },
# ]

# Further values for the app, each a text.
# [in_app.data]
# screen = "season"

# What reports count as a conversion: an event within `window` of the message being shown; as revenue they add `value` up.
# [goal]
# event = "Purchase"
# window = "7d"
""",
}
"""By channel, a commented file to begin with; `@KEY@` stands where the key goes."""

_KEYS: Final = {
    "email": "we-miss-you",
    "webhook": "best-customers",
    "sms": "order-shipped",
    "push": "left-in-basket",
    "in_app": "new-season",
}


def example(channel: str, path: str) -> str:
    """A commented example; the file's name is its key, where it can be one."""
    stem = Path(path).stem.lower().replace(" ", "-")
    key = stem if path != "-" and KEY.match(stem) else _KEYS[channel]
    return EXAMPLES[channel].replace("@KEY@", key)
