"""A campaign as a TOML file: read with every mistake named by its place, and a commented example to begin with."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.errors import InvalidInput
from server.cli.arguments import length_of
from server.cli.context import read_text
from server.cli.message_file import KEY, goal_of
from server.names import nearest

_FIELDS: Final[dict[str, type]] = {
    "key": str,
    "title": str,
    "entry": str,
    "messages": list,
    "exit": str,
    "control_percent": float,
    "rate_limit": str,
    "goal": dict,
}
_WORDS: Final[dict[type, str]] = {str: "a text", list: "a list of texts", float: "a number", dict: "a table"}


@dataclass(frozen=True, slots=True)
class CampaignFile:
    """A campaign as the client's `create` and `update` take it: the key, and the other arguments by name."""

    key: str
    fields: Mapping[str, Any]


def read_campaign(path: str) -> CampaignFile:
    """A campaign from a file; "-" is standard input.

    Raises:
        InvalidInput: FILE_UNREADABLE, CAMPAIGN_FILE.
    """
    try:
        table = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise _refusal(path, "", f"not TOML: {error}", "see `muster campaign new`") from error
    for name, value in table.items():
        kind = _FIELDS.get(name)
        if kind is None:
            near = nearest(name, _FIELDS)
            mend = f"did you mean {near!r}?" if near else f"one of {', '.join(_FIELDS)}"
            raise _refusal(path, name, "a campaign has no such field", mend)
        if not _fits(value, kind):
            raise _refusal(path, name, "a value of the wrong kind", _WORDS[kind])
    if "key" not in table:
        raise _refusal(path, "key", "there is no key", 'name the campaign: key = "win-back"')
    fields = {name: value for name, value in table.items() if name != "key"}
    if "rate_limit" in fields:
        fields["rate_limit"] = length_of(fields["rate_limit"], "rate_limit")
    if "goal" in fields:
        fields["goal"] = goal_of(path, fields["goal"])
    return CampaignFile(table["key"], fields)


def _fits(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    texts = all(isinstance(item, str) for item in value) if isinstance(value, list) else True
    return isinstance(value, kind) and texts


def _refusal(path: str, place: str, what: str, mend: str) -> InvalidInput:
    return InvalidInput(f"{place}: {what}" if place else what, field=path, mend=mend, code="CAMPAIGN_FILE")


EXAMPLE: Final = """\
# A campaign: messages to whoever enters. `muster campaign create FILE` makes a draft of it; `muster campaign launch KEY`
# makes that live, with its messages.

# Names the campaign: small letters, digits, - and _. It cannot be changed later.
key = "@KEY@"
# For people.
title = "Win them back"

# Who enters, in CEL: whoever comes to match, by what they do or by time alone, once. Or a saved audience:
# entry = 'audiences["lapsed"]'
entry = '''
user.plan == "free" && user["Last login"] < now - duration("336h")
'''

# Keys of its messages, which are drafts: `muster message create FILE` makes them. The targeting of each says who of those
# who entered get it, and may read what happened since:
#   true                                                                                            at once
#   events["$journey_entered"].exists(e, e.campaign_id == "@KEY@" && e.time < now - duration("48h"))      two days later
#   events["$campaign_delivery"].exists(e, e.message_id == "we-miss-you" && e.time < now - duration("48h"))
# Where several would go to a user at the same time, the first comes first.
messages = ["we-miss-you", "last-offer"]

# For whom this is true, nothing of the campaign is sent any more. Without it nobody leaves.
exit = '''
events["Purchase"].exists(e, e.time > now - duration("336h"))
'''

# Percent of those who enter who are held out of all messages, to compare with.
# control_percent = 10
# The least time between any two of its messages to a user: who would get one sooner waits.
# rate_limit = "24h"

# What results count as a conversion, for messages that have no goal of their own.
# [goal]
# event = "Purchase"
# window = "336h"
# value = "amount"
"""
"""A commented file to begin with; `@KEY@` stands where the key goes."""


def example(path: str) -> str:
    """A commented example; the file's name is its key, where it can be one."""
    stem = Path(path).stem.lower().replace(" ", "-")
    return EXAMPLE.replace("@KEY@", stem if path != "-" and KEY.match(stem) else "win-back")
