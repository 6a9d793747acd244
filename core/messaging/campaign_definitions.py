"""What a campaign is: who enters it, its messages in their order, what they share, and its place in life."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from core.codec import encode, record
from core.errors import InvalidInput
from core.messaging.definitions import State, check_key

JOURNEY_ENTERED: Final = "$journey_entered"
"""The event that a user has of entering a campaign; its property `campaign_id` is the campaign's key."""
MOST_MESSAGES: Final = 200
CAMPAIGN: Final = "campaign"
"""Why a message pauses whose campaign does; the campaign's resume resumes it."""


@record("campaign")
@dataclass(frozen=True, slots=True)
class CampaignDefinition:
    """One campaign. Times are micros; `revision` counts changes and is the etag's ground.

    Arguments:
        entry: CEL; whoever comes to match enters, once.
        messages: keys, the first before the others where several would go to a user at once.
        exit: CEL; who matches gets no further message. "": nobody.
    """

    key: str
    title: str
    entry: str
    messages: list[str]
    exit: str = ""
    state: State = "draft"
    pause_reason: str = ""
    created_at: int = 0
    launched_at: int = 0
    paused_at: int = 0
    revision: int = 0

    @property
    def etag(self) -> str:
        """Changes whenever the campaign does."""
        return hashlib.blake2b(encode(self), digest_size=8).hexdigest()


@record("campaign_defined")
@dataclass(frozen=True, slots=True)
class CampaignDefined:
    """Step of the log: a campaign is created or changed, its state included."""

    definition: CampaignDefinition


@record("campaign_entered")
@dataclass(frozen=True, slots=True)
class CampaignEntered:
    """Step of the log: users enter a campaign, each at an instant, and have the event of it; or are left out for good.

    ordinals: uint32[n]; instants: int64[n] in micros, of the same order. `left_out` is the reason why they do not enter.
    """

    campaign: str
    ordinals: npt.NDArray[np.uint32]
    instants: npt.NDArray[np.int64]
    left_out: str = ""


CampaignStep = CampaignDefined | CampaignEntered


def entry_insert_id(key: str) -> str:
    """The insert id of the event of entering a campaign; it never changes, as stored events have it."""
    return f"{key}.entered"


EDITABLE: Final = {
    "draft": frozenset({"title", "entry", "exit", "messages"}),
    "paused": frozenset({"title", "exit", "messages"}),
    "live": frozenset({"title"}),
    "ended": frozenset({"title"}),
}
"""What may be changed in each state. Who enters is settled by the launch."""


def check_campaign(definition: CampaignDefinition) -> None:
    """Refuse a campaign whose plain fields are wrong; expressions are checked where they compile.

    Raises:
        InvalidInput: with the field.
    """
    check_key(definition.key, "campaign.key")
    if not definition.entry.strip():
        raise InvalidInput(
            "nobody is said to enter",
            field="campaign.entry",
            mend="write CEL, or `true` for everybody",
            code="NO_ENTRY",
        )
    if len(definition.messages) > MOST_MESSAGES:
        raise InvalidInput(
            f"{len(definition.messages)} messages",
            field="campaign.messages",
            mend=f"at most {MOST_MESSAGES}",
            code="TOO_MANY_MESSAGES",
        )
    for index, key in enumerate(definition.messages):
        if key in definition.messages[:index]:
            raise InvalidInput(
                f"{key!r} is named twice",
                field=f"campaign.messages[{index}]",
                mend="name each message once, where its priority is",
                code="MESSAGE_TWICE",
            )


def changed(definition: CampaignDefinition, changes: dict[str, object]) -> CampaignDefinition:
    """The definition with changes a client asked for.

    Raises:
        InvalidInput: UNKNOWN_FIELD, or NOT_EDITABLE for what the state has settled.
    """
    known = {item.name for item in fields(CampaignDefinition)}
    for name in changes:
        if name not in known or name == "key":
            raise InvalidInput(
                f"{name!r} cannot be updated",
                field="update_mask",
                mend="one of " + ", ".join(sorted(EDITABLE["draft"])),
                code="UNKNOWN_FIELD",
            )
        if name not in EDITABLE[definition.state]:
            raise InvalidInput(
                f"{name} cannot change while the campaign is {definition.state}",
                field=f"campaign.{name}",
                mend="pause the campaign first" if name in EDITABLE["paused"] else "end it and make a new campaign",
                code="NOT_EDITABLE",
            )
    fresh = replace(definition, **changes, revision=definition.revision + 1)  # type: ignore[arg-type]
    check_campaign(fresh)
    return fresh
