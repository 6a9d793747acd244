"""Once per address: of users who share an address, a message goes to one, whichever occurrence it is.

The address belongs to the first of them who is selected for sending and stays so: to others it is *in use* while that
hand-off is to be made, and *taken* once it was. Present addresses count: who takes on another address has had nothing
at it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from pyroaring import BitMap

from core.messaging.address_index import address_kind
from core.messaging.definitions import MessageDefinition
from core.messaging.effects import DeliveryState
from core.messaging.ledger import Ledger
from core.messaging.rows import Pairs, array_of
from core.messaging.work import View

ADDRESS_IN_USE: Final = "address_in_use"
"""Open: another user of the address is yet to be sent to."""

ADDRESS_TAKEN: Final = "address_taken"
"""Final: another user of the address has been sent to."""


_AHEAD: Final[tuple[DeliveryState, ...]] = ("begun", "sent", "ambiguous")
_BEFORE: Final[tuple[DeliveryState, ...]] = ("held_out", "deferred", "queued")


def is_on(definition: MessageDefinition) -> bool:
    """Whether a message goes to each address once: as it says, else on every channel whose users can share one.

    A call that sends to two users of one address means both.
    """
    return (
        address_kind(definition.channel) is not None
        and definition.once_per_address is not False
        and not definition.on_send
    )


def make_ready(view: View, key: str) -> None:
    """Make the index that a launch looks users up in, where there is none yet: apart from the launch, which commits wait for."""
    if key not in view.messages:
        return
    definition = view.messages.get(key)
    channel = address_kind(definition.channel)
    if channel is not None and is_on(definition):
        view.consent.addresses[channel].sharing(view.settings.uid, view.population)


def stops(
    view: View, definition: MessageDefinition, users: BitMap, pairs: Callable[[BitMap], Pairs], *, leaving: bool
) -> list[tuple[str, BitMap]]:
    """Of some users, those whose address is another's, by reason.

    Arguments:
        pairs: gives some of them with the instants at which they are asked about, in any order.
        leaving: whether they are in the queue themselves and ask to be handed off to: who is ahead of them has begun.
    """
    channel = address_kind(definition.channel)
    if channel is None or not is_on(definition):
        return []
    index = view.consent.addresses[channel]
    suspects = users & index.sharing(view.settings.uid, view.population)
    if not suspects:
        return []
    ordinals, instants = pairs(suspects)
    order = np.lexsort((ordinals, instants))
    ordinals = ordinals[order]
    keys = index.keys(view.settings.uid, view.population, ordinals)
    addresses, first = np.unique(keys, return_index=True)
    theirs, sharers = index.having(view.settings.uid, view.population, addresses)
    holding, sent = _holding(view, definition, BitMap(sharers), leaving)

    holder = ordinals[first]  # the first who asks, unless somebody has it
    held = np.isin(sharers, array_of(holding))
    of_held, lowest = np.unique(theirs[held], return_index=True)  # pairs are by address, then by user
    places = np.searchsorted(addresses, of_held)
    holder[places] = sharers[held][lowest]
    taken = np.zeros(len(addresses), bool)
    taken[np.searchsorted(addresses, theirs[np.isin(sharers, array_of(sent))])] = True

    place = np.searchsorted(addresses, keys)
    stopped = (holder[place] != ordinals) & (keys != 0)
    return [
        (reason, BitMap(ordinals[stopped & which]))
        for reason, which in ((ADDRESS_TAKEN, taken[place]), (ADDRESS_IN_USE, ~taken[place]))
        if (stopped & which).any()
    ]


def _holding(view: View, definition: MessageDefinition, among: BitMap, leaving: bool) -> tuple[BitMap, BitMap]:
    """Of some users, those who hold their address in any occurrence, and those of them who were surely sent to.

    Arguments:
        leaving: whether only a hand-off that began counts.
    """
    holding, sent = BitMap(), BitMap()
    for _, ledger in view.messages.occurrences(definition.key).all():
        here = among & ledger.selected
        if here:
            holding |= _held(ledger, here, leaving)
            sent |= here & ledger.state("sent")
    return holding, sent


def _held(ledger: Ledger, among: BitMap, leaving: bool) -> BitMap:
    found = among & (ledger.doubtful | ledger.contested)
    for state in _AHEAD if leaving else (*_AHEAD, *_BEFORE):
        found |= among & ledger.state(state)
    return found
