"""Answers the commands about consent: topics, suppressions, unsubscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from core import commands
from core.errors import FailedPrecondition, InvalidInput
from core.messaging.address_index import PROPERTY_OF, AddressKind, Keys, address_kind
from core.messaging.addresses import normalise_email, normalise_phone
from core.messaging.consent import OPTED_OUT, keys_of, opted_out, release_keys, suppress_keys
from core.messaging.consent_book import Topic, TopicDeleted, TopicSaved
from core.messaging.definitions import check_key
from core.messaging.effects import Noted
from core.messaging.keys import read_key
from core.messaging.outcomes import properties_of
from core.messaging.suppressions import WHYS, Why
from core.messaging.work import View, Work
from core.profiles import handlers as profiles
from core.profiles.reading import find
from core.profiles.records import Operation, ProfileChange
from core.values import Value

UNSUBSCRIBE: Final = "$unsubscribe"
"""The event of a user who unsubscribed."""

MAX_TITLE: Final = 200
MAX_ADDRESSES: Final = 10_000
"""Most addresses of one command."""

_NORMALISE: Final = {"email": normalise_email, "sms": normalise_phone}
_EXAMPLES: Final = {"email": "ann@example.com", "sms": "a number with its country's code, +4915112345678"}


def save_topic(work: Work, command: commands.SaveTopic) -> Topic:
    """Make a topic, or name it anew.

    Raises:
        InvalidInput: INVALID_KEY, TITLE_TOO_LONG.
    """
    check_key(command.key, "topic.key")
    if len(command.title) > MAX_TITLE:
        raise InvalidInput(
            f"a title of {len(command.title)} characters",
            field="topic.title",
            mend=f"at most {MAX_TITLE}",
            code="TITLE_TOO_LONG",
        )
    created_at = work.consent.topic(command.key).created_at if command.key in work.consent else work.now
    topic = Topic(command.key, command.title, created_at)
    work.do(TopicSaved(topic))
    return topic


def delete_topic(work: Work, command: commands.DeleteTopic) -> None:
    """Delete a topic, and with it who unsubscribed from it.

    Raises:
        NotFound: TOPIC_NOT_FOUND; FailedPrecondition: TOPIC_IN_USE.
    """
    work.consent.topic(command.key)
    users = [m.key for m in work.messages.all() if m.topic == command.key and m.state != "ended"]
    if users:
        raise FailedPrecondition(
            f"the message {users[0]!r} is of this topic",
            field="key",
            mend="end the message or give it another topic",
            code="TOPIC_IN_USE",
        )
    work.do(TopicDeleted(command.key))


def suppress(work: Work, command: commands.Suppress) -> commands.SuppressAnswer:
    """Keep addresses from being sent to; those that are no addresses are named and left out.

    Raises:
        InvalidInput: CHANNEL_REQUIRED, WHY_UNKNOWN, TOO_MANY_ADDRESSES; NotFound: TOPIC_NOT_FOUND.
    """
    _check(work, command.channel, command.topic, command.addresses)
    if command.why not in WHYS:
        raise InvalidInput(f"{command.why!r} is no reason", field="why", mend=", ".join(WHYS), code="WHY_UNKNOWN")
    normalise = _NORMALISE[command.channel]
    good, refused = [], []
    for index, address in enumerate(command.addresses):
        if normalise(address) is None:
            refused.append(commands.RefusedAddress(index, f"no address, such as {_EXAMPLES[command.channel]}"))
        else:
            good.append(address)
    added = suppress_keys(work, command.channel, keys_of(work, command.channel, good), command.why, command.topic)
    return commands.SuppressAnswer(added, len(good) - added, refused)


def unsuppress(work: Work, command: commands.Unsuppress) -> int:
    """Let addresses be sent to again.

    Raises:
        InvalidInput: CHANNEL_REQUIRED, TOO_MANY_ADDRESSES; NotFound: TOPIC_NOT_FOUND.
    """
    _check(work, command.channel, command.topic, command.addresses)
    keys = keys_of(work, command.channel, command.addresses)
    return release_keys(work, command.channel, keys, WHYS if command.why is None else (command.why,), command.topic)


def _check(view: View, channel: str, topic: str, addresses: Sequence[str]) -> None:
    _channel(channel)
    if len(addresses) > MAX_ADDRESSES:
        raise InvalidInput(
            f"{len(addresses):,} addresses",
            field="addresses",
            mend=f"at most {MAX_ADDRESSES:,} at once",
            code="TOO_MANY_ADDRESSES",
        )
    if topic:
        view.consent.topic(topic, "topic")


def _channel(channel: str | None) -> AddressKind:
    kind = address_kind(channel)
    if kind is None:
        raise InvalidInput(
            f"users have no address on {channel}" if channel else "the channel is not said",
            field="channel",
            mend=" or ".join(PROPERTY_OF),
            code="CHANNEL_REQUIRED",
        )
    return kind


def unsubscribe(work: Work, command: commands.Unsubscribe) -> int:
    """Take a person's word to hear no more: suppress the addresses, and note it as an event of their users.

    Raises:
        InvalidInput: PERSON_REQUIRED, CHANNEL_REQUIRED, INVALID_ADDRESS; NotFound: USER_NOT_FOUND, TOPIC_NOT_FOUND;
            FailedPrecondition: NO_ADDRESS.
    """
    count = 0
    for channel, keys, users in _people(work, command):
        added = suppress_keys(work, channel, keys, "unsubscribed", command.topic)
        count += added
        if added:
            _note(work, channel, users, command)
    return count


def resubscribe(work: Work, command: commands.Resubscribe) -> int:
    """Take an unsubscription back, a STOP by text message and `$unsubscribed` with it; other suppressions stay.

    Raises:
        InvalidInput, NotFound, FailedPrecondition: as `unsubscribe`.
    """
    count = 0
    whys: tuple[Why, ...] = ("unsubscribed", "stop")
    for channel, keys, users in _people(work, command):
        released = release_keys(work, channel, keys, whys, command.topic)
        out = opted_out(work.population, users) if channel == "email" and not command.topic else BitMap()
        for ordinal in out:
            _clear(work, ordinal)
        count += released or bool(out)
    return count


def _clear(work: Any, ordinal: int) -> None:
    distinct_id = work.users.names(np.array([ordinal], np.uint32))[0]
    profiles.ingest(work, commands.Ingest([], [ProfileChange(distinct_id, Operation.UNSET, {}, [OPTED_OUT])]))


def _people(work: Work, command: commands.Unsubscribe | commands.Resubscribe) -> list[tuple[AddressKind, Keys, BitMap]]:
    """Whom a command means: by channel the keys of their addresses (uint64[n]), and all users who have those."""
    if command.topic:
        work.consent.topic(command.topic, "topic")
    if sum(map(bool, (command.distinct_id, command.address, command.address_key))) != 1:
        raise InvalidInput(
            "it is not said who", field="distinct_id", mend="a distinct id, or an address and its channel",
            code="PERSON_REQUIRED",
        )  # fmt: skip
    if command.address_key:
        known = np.array([command.address_key], np.uint64)
        return [(of := _channel(command.channel), known, _having(work, of, known))]
    if command.address:
        channel = _channel(command.channel)
        if _NORMALISE[channel](command.address) is None:
            raise InvalidInput(
                f"{command.address!r} is no address",
                field="address",
                mend=_EXAMPLES[channel],
                code="INVALID_ADDRESS",
            )
        keys = keys_of(work, channel, [command.address])
        return [(channel, keys, _having(work, channel, keys))]
    ordinal = find(work, command.distinct_id)
    if command.channel is not None:
        _channel(command.channel)
    found = [
        (channel, keys, _having(work, channel, keys))
        for channel, index in work.consent.addresses.items()
        if command.channel in (None, channel)
        if (keys := index.keys(work.settings.uid, work.population, np.array([ordinal], np.uint32)))[0]
    ]
    if not found:
        raise FailedPrecondition(
            f"the user has no {' or '.join(PROPERTY_OF[c] for c in PROPERTY_OF if command.channel in (None, c))}",
            field="distinct_id",
            mend="set the address first, or name an address",
            code="NO_ADDRESS",
        )
    return found


def _having(view: View, channel: AddressKind, keys: Keys) -> BitMap:
    return BitMap(view.consent.addresses[channel].having(view.settings.uid, view.population, keys)[1])


def _note(work: Work, channel: AddressKind, users: BitMap, command: commands.Unsubscribe) -> None:
    """Let it be an event of everybody who has the address, and of whom the hand-off was to that led to it."""
    about: dict[str, Value] = {"message_type": channel}
    hand_off = read_key(command.hand_off, work.settings.uid)
    if hand_off is not None and hand_off[0] in work.messages:
        key, occurrence, ordinal = hand_off
        about = properties_of(work, key, occurrence)
        users = (users | BitMap([work.users.survivor(ordinal)])) & work.population.live
    if command.topic:
        about["topic"] = command.topic
    if not users:
        return
    ordinals = np.array(users.to_array(), np.uint32)
    uid = work.settings.uid
    ids = [f"{uid}.unsubscribe.{channel}.{command.topic}.{ordinal}.{work.now}" for ordinal in users]
    work.do(Noted(UNSUBSCRIBE, ordinals, work.now, ids, [about] * len(ids)))
