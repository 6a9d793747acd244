"""What a campaign is: who enters it, its messages in their order, what they share, and its place in life."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from core.codec import encode, record
from core.errors import InvalidInput
from core.limits import check_percent
from core.messaging.definitions import MessageDefinition, State, check_key
from core.messaging.goal import Goal, check_goal
from core.messaging.schedules import OnSend

JOURNEY_ENTERED: Final = "$journey_entered"
"""The event that a user has of entering a campaign; its property `campaign_id` is the campaign's key."""
MOST_MESSAGES: Final = 200
_CHANNELS: Final = frozenset({"email", "push", "sms", "webhook"})
"""Of messages in campaigns."""
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
        control_percent: of those who enter from now on, the share that is held out to compare with.
        divided_at: the instant at which that share was last changed after the launch, 0 for never.
        rate_limit: micros; the least time between any two of its messages to a user, 0 for none.
        goal: what results of its messages count as a conversion, where a message has none of its own.
    """

    key: str
    title: str
    entry: str
    messages: list[str]
    exit: str = ""
    control_percent: float = 0.0
    goal: Goal | None = None
    state: State = "draft"
    pause_reason: str = ""
    created_at: int = 0
    launched_at: int = 0
    paused_at: int = 0
    revision: int = 0
    divided_at: int = 0
    rate_limit: int = 0

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

    ordinals: uint32[n]; instants: int64[n] in micros, of the same order. `left_out` is the reason why they do not enter,
    `control` are those of them who are held out of all its messages.
    """

    campaign: str
    ordinals: npt.NDArray[np.uint32]
    instants: npt.NDArray[np.int64]
    left_out: str = ""
    control: BitMap = field(default_factory=BitMap)


CampaignStep = CampaignDefined | CampaignEntered


def entry_insert_id(key: str) -> str:
    """The insert id of the event of entering a campaign; it never changes, as stored events have it."""
    return f"{key}.entered"


EDITABLE: Final = {
    "draft": frozenset({"title", "entry", "exit", "messages", "control_percent", "rate_limit", "goal"}),
    "paused": frozenset({"title", "exit", "messages", "control_percent", "rate_limit", "goal"}),
    "live": frozenset({"title", "control_percent", "rate_limit", "goal"}),
    "ended": frozenset({"title", "goal"}),
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
    check_percent(definition.control_percent, "campaign.control_percent")
    if definition.rate_limit < 0:
        raise InvalidInput(
            "a negative duration", field="campaign.rate_limit", mend="a positive duration", code="INVALID_DURATION"
        )
    if definition.goal is not None:
        check_goal(definition.goal, "campaign.goal")
    for index, key in enumerate(definition.messages):
        if key in definition.messages[:index]:
            raise InvalidInput(
                f"{key!r} is named twice",
                field=f"campaign.messages[{index}]",
                mend="name each message once, where its priority is",
                code="MESSAGE_TWICE",
            )


def check_message_of_campaign(message: MessageDefinition, field: str) -> None:
    """Refuse what a message cannot have in a campaign.

    Arguments:
        field: where the campaign names it, or "message".

    Raises:
        InvalidInput: NOT_IN_CAMPAIGNS, CONTROL_OF_CAMPAIGN.
    """
    what = ""
    if message.channel not in _CHANNELS:
        what = f"a message by {message.channel}"
    elif isinstance(message.schedule, OnSend):
        what = "a message that is sent on a call"
    if what:
        raise InvalidInput(
            f"{what} cannot be in a campaign",
            field=field,
            mend="launch it on its own",
            code="NOT_IN_CAMPAIGNS",
        )
    if message.control_percent:
        raise InvalidInput(
            f"the message {message.key!r} has a control group of its own",
            field=field if field != "message" else "message.control_percent",
            mend="0: the control group of a campaign is that of all its messages",
            code="CONTROL_OF_CAMPAIGN",
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
