"""On which side of a message's splits users are who are let through: held out, by the project or a control group, or
sent one of the message's variants."""

from __future__ import annotations

from pyroaring import BitMap

from core.messaging.definitions import MAIN, MessageDefinition
from core.messaging.groups import CONTROL, HOLDOUT, VARIANT, below, part
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


def by_variant(view: View, definition: MessageDefinition, occurrence: int, users: BitMap) -> list[tuple[str, BitMap]]:
    """Users of an occurrence by the variant they are sent, or would be, those without any left out.

    Who was let through keeps the variant of then; of anybody else the hash decides, by the percentages of now. A message
    without variants has one, "".
    """
    if not definition.variants:
        return [("", users)] if users else []
    ledger = view.messages.ledger(definition.key, occurrence)
    placed = ledger.groups()
    found = {key: users & placed.get(VARIANT + key, BitMap()) for key in (*(v.key for v in definition.variants), MAIN)}
    rest = users - BitMap.union(*found.values())
    decided = ledger.selected - (ledger.state("skipped") - ledger.let_through)
    salt, shares = f"{VARIANT}{definition.key}", [(variant.key, variant.percent) for variant in definition.variants]
    for key, chosen in part(view.settings.uid, salt, shares, rest - decided).items():
        found[key] |= chosen
        rest -= chosen
    found[MAIN] |= rest
    return [(key, chosen) for key, chosen in found.items() if chosen]


def control_percent_of(view: View, definition: MessageDefinition) -> float:
    """The share that is held out of those let through from now on: a message's own, or its campaign's."""
    return (
        view.campaigns.get(definition.campaign).control_percent if definition.campaign else definition.control_percent
    )
