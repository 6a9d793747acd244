"""On which side of a message's splits users are who are let through: held out by the project, or by its control group."""

from __future__ import annotations

from pyroaring import BitMap

from core.messaging.definitions import MessageDefinition
from core.messaging.groups import CONTROL, HOLDOUT, below
from core.messaging.work import View


def sides(view: View, definition: MessageDefinition, users: BitMap) -> dict[str, BitMap]:
    """Of users, those whom the project's holdout or a control group keeps from being sent to, by group.

    Who is in both is in the holdout. The control group of a campaign was settled as its members entered.
    """
    settings = view.settings
    holdout = below(settings.uid, HOLDOUT, settings.holdout_percent, users)
    rest = users - holdout
    if definition.campaign:
        return {HOLDOUT: holdout, CONTROL: rest & view.campaigns.membership(definition.campaign).control}
    salt = f"{CONTROL}:{definition.key}"
    return {HOLDOUT: holdout, CONTROL: below(settings.uid, salt, definition.control_percent, rest)}


def control_percent_of(view: View, definition: MessageDefinition) -> float:
    """The share that is held out of those let through from now on: a message's own, or its campaign's."""
    return (
        view.campaigns.get(definition.campaign).control_percent if definition.campaign else definition.control_percent
    )
