"""What providers say of hand-offs after they took them: events of the users, and what follows from some of them.

Feedback names a hand-off by its idempotency key, or an address alone (a reply). It settles a hand-off that was
ambiguous, for the provider took it; it changes no state otherwise: *sent* means that the provider took the message,
and what became of it later is what the events say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from core.bitmaps.event_identity import identities_of
from core.commands import Ack, Feedback, FeedbackKind, FeedbackTaken, TakeFeedback
from core.errors import InvalidInput
from core.messaging.address_index import PROPERTY_OF, AddressKind, address_kind
from core.messaging.consent import keys_of, release_keys, suppress_keys
from core.messaging.devices import TOKENS
from core.messaging.effects import Noted
from core.messaging.keys import read_key
from core.messaging.outcomes import Word, properties_of
from core.messaging.suppressions import Why
from core.messaging.work import View, Work
from core.profiles.batch import ChangeBatch
from core.profiles.identity import NOBODY
from core.profiles.records import MAX_BATCH, MAX_ID_BYTES, Operation, ProfileChange, RecordError
from core.profiles.steps import ProfilesChanged
from core.values import MAX_MICROS, MICROS_PER_DAY, MIN_MICROS, Value, utf8_length

EVENTS: Final[dict[FeedbackKind, str]] = {
    "delivered": "$campaign_delivered",
    "opened": "$campaign_open",
    "clicked": "$campaign_click",
    "bounced": "$campaign_bounced",
    "complained": "$campaign_marked_spam",
    "unsubscribed": "$unsubscribe",
    "replied": "$campaign_reply",
    "suppressed": "$message_suppressed",
    "token_removed": "$token_removed",
    "resubscribed": "$resubscribe",
    "dismissed": "$campaign_dismissed",
}
"""The event that each kind of feedback is, by kind."""

_REPEATED_WITHIN: Final = 31 * MICROS_PER_DAY
"""A provider that repeats itself does so within this time of what it tells of; most give up after three days."""
_LONGEST_TEXT: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Heard:
    """Feedback of one user: of a hand-off (`key` not ""), or of an address that the user has.

    `at` is micros, `insert_id` names it among the user's events. NOBODY has an address that is nobody's.
    """

    said: Feedback
    key: str
    occurrence: int
    ordinal: int
    at: int
    insert_id: str


def take(work: Work, command: TakeFeedback) -> FeedbackTaken:
    """Take the good feedback of a batch, name the bad one. What was taken before changes nothing.

    Raises:
        InvalidInput: BATCH_TOO_LARGE.
    """
    if len(command.feedback) > MAX_BATCH:
        raise InvalidInput(
            f"{len(command.feedback)} records in one batch",
            field="feedback",
            mend=f"send at most {MAX_BATCH} at once",
            code="BATCH_TOO_LARGE",
        )
    heard: list[_Heard] = []
    errors: list[RecordError] = []
    unknown = 0
    for index, one in enumerate(command.feedback):
        if isinstance(one, RecordError):
            errors.append(replace(one, index=index))
            continue
        try:
            check(one)
        except InvalidInput as error:
            errors.append(RecordError(index, error.code, error.field, error.message, error.mend))
            continue
        found = _of_hand_off(work, one) if one.idempotency_key else _of_address(work, one)
        unknown += not found
        heard += found
    fresh = _fresh(work, heard)
    _settle(work, heard)  # also what was heard before: since then the hand-off may have begun again, and been lost
    _note(work, fresh)
    _remove_tokens(work, fresh)
    _heed(work, fresh)
    accepted = len({id(one.said) for one in fresh})
    return FeedbackTaken(accepted, len(command.feedback) - accepted - unknown - len(errors), unknown, errors)


def check(feedback: Feedback) -> None:
    """Refuse feedback that says nothing, or of nobody.

    Raises:
        InvalidInput: FEEDBACK_KIND, FEEDBACK_OF_NOBODY, EVENT_ID_MISSING, ID_TOO_LONG, TEXT_TOO_LONG, TIME_OUT_OF_RANGE,
            VALUE_NOT_UNICODE.
    """
    if feedback.kind not in EVENTS:
        raise InvalidInput("no kind is given", field="kind", mend=", ".join(EVENTS), code="FEEDBACK_KIND")
    for field in ("idempotency_key", "event_id"):
        if utf8_length(getattr(feedback, field), field) > MAX_ID_BYTES:
            raise InvalidInput(
                f"over {MAX_ID_BYTES} bytes", field=field, mend=f"at most {MAX_ID_BYTES} bytes", code="ID_TOO_LONG"
            )
    for field in ("address", "detail", "url"):
        if utf8_length(getattr(feedback, field), field) > _LONGEST_TEXT:
            raise InvalidInput(
                f"over {_LONGEST_TEXT} bytes", field=field, mend="the beginning will do", code="TEXT_TOO_LONG"
            )
    if not feedback.idempotency_key:
        if address_kind(feedback.channel) is None or not feedback.address:
            raise InvalidInput(
                "neither a hand-off nor an address is named",
                field="idempotency_key",
                mend="the hand-off's idempotency key, or a channel with an address: " + ", ".join(PROPERTY_OF),
                code="FEEDBACK_OF_NOBODY",
            )
        if not feedback.event_id:
            raise InvalidInput(
                "word about an address has no id",
                field="event_id",
                mend="the provider's id of it, so that a repeated one is known",
                code="EVENT_ID_MISSING",
            )
    if feedback.time is not None and not MIN_MICROS <= feedback.time <= MAX_MICROS:
        raise InvalidInput(
            "the time is out of range", field="time", mend="years 0001 to 9999, UTC", code="TIME_OUT_OF_RANGE"
        )


def _time_of(view: View, feedback: Feedback) -> int:
    """When it happened: never after the present, and by the project's clock where that is one of its own."""
    if feedback.time is None or view.settings.clock == "manual":
        return view.now
    return min(feedback.time, view.now)


def _of_hand_off(work: Work, feedback: Feedback) -> list[_Heard]:
    """Feedback on a hand-off that was decided, for whoever its user is by now; of nobody else there is none."""
    found = read_key(feedback.idempotency_key, work.settings.uid)
    if found is None or found[0] not in work.messages:
        return []
    key, occurrence, named_as = found
    ordinal = work.users.survivor(named_as)
    if work.messages.ledger(key, occurrence).place(ordinal) is None:
        return []
    how = ("hard" if feedback.permanent else "soft") if feedback.kind == "bounced" else ""
    insert_id = f"{feedback.idempotency_key}#{how}#{feedback.event_id}"
    return [_Heard(feedback, key, occurrence, ordinal, _time_of(work, feedback), insert_id)]


def _of_address(work: Work, feedback: Feedback) -> list[_Heard]:
    """Feedback on an address, for everybody who has it, however it is spelt."""
    channel = address_kind(feedback.channel)
    assert channel is not None, "it was checked"
    keys = keys_of(work, channel, [feedback.address])
    _, users = work.consent.addresses[channel].having(work.settings.uid, work.population, keys)
    insert_id = f"{feedback.channel}#{feedback.event_id}"
    at = _time_of(work, feedback)
    found = sorted(users.tolist()) or ([NOBODY] if _wish_of(feedback, channel) else [])
    return [_Heard(feedback, "", 0, ordinal, at, insert_id) for ordinal in found]


def _fresh(work: Work, heard: Sequence[_Heard]) -> list[_Heard]:
    """What was not heard before, in order, and of what is heard twice now the first."""
    by_name: dict[str, list[_Heard]] = {}
    first: dict[tuple[str, int, str], _Heard] = {}
    for one in heard:
        named = (one.said.kind, one.ordinal, one.insert_id)
        if first.setdefault(named, one) is one and one.ordinal != NOBODY:
            by_name.setdefault(EVENTS[one.said.kind], []).append(one)
    known: set[int] = set()
    for name, some in by_name.items():
        table = work.population.events(name)
        if table is not None:
            ordinals = np.array([one.ordinal for one in some], np.uint32)
            identities = identities_of([""] * len(some), [one.insert_id for one in some])
            before = table.known(ordinals, identities, work.now - _REPEATED_WITHIN, work.now)
            known.update(id(one) for one, was in zip(some, before, strict=True) if was)
    return [one for one in first.values() if id(one) not in known]


def _settle(work: Work, heard: Sequence[_Heard]) -> None:
    """Whoever a provider tells of, it took: what was ambiguous is sent. That a device is gone says nothing of the kind."""
    word = Word(work)
    for one in heard:
        if one.key and one.said.kind != "token_removed":
            place = work.messages.ledger(one.key, one.occurrence).place(one.ordinal)
            if place is not None and place[0] == "ambiguous":
                word.take(Ack(one.said.idempotency_key, "sent"))
    word.record()


def _note(work: Work, heard: Sequence[_Heard]) -> None:
    """Let it be an event of each user who is not deleted; one step for each message and kind."""
    steps: dict[tuple[str, str], list[_Heard]] = {}
    for one in heard:
        if one.ordinal != NOBODY and one.ordinal in work.population.live:
            steps.setdefault((EVENTS[one.said.kind], one.key), []).append(one)
    for (name, _), some in steps.items():
        work.do(
            Noted(
                name,
                np.array([one.ordinal for one in some], np.uint32),
                work.now,
                [one.insert_id for one in some],
                [_properties(work, one) for one in some],
                np.array([one.at for one in some], np.int64),
            )
        )


def _properties(work: Work, heard: _Heard) -> dict[str, Value]:
    said = heard.said
    about: dict[str, Value] = {"message_type": said.channel}
    if heard.key:
        about = properties_of(work, heard.key, heard.occurrence, heard.ordinal)
    if said.kind == "token_removed" and said.address:
        about["token"] = said.address  # so that what was removed by mistake can be had back
    if said.kind == "bounced":
        about["bounce"] = "hard" if said.permanent else "soft"
    told = {"detail": said.detail, "url": said.url}
    return {**about, **{name: text for name, text in told.items() if text}}


def _remove_tokens(work: Work, heard: Sequence[_Heard]) -> None:
    """Take device tokens that providers know no more out of their users' lists."""
    changes = [
        ProfileChange(work.users.name(one.ordinal), Operation.REMOVE, dict.fromkeys(TOKENS.values(), one.said.address))
        for one in heard
        if one.said.kind == "token_removed" and one.said.address and one.ordinal in work.population.live
    ]
    if changes:
        work.do(ProfilesChanged(ChangeBatch.of(changes), np.arange(len(changes), dtype=np.uint32), imported=False))


def _wish_of(feedback: Feedback, channel: AddressKind) -> tuple[Why, ...]:
    """Why an address is to be sent to no more, or, where somebody subscribes again, why it was not; empty: neither."""
    own: tuple[Why, ...] = ("stop",) if channel == "sms" else ("unsubscribed",)
    if feedback.kind == "bounced":
        return ("bounced",) if feedback.permanent else ()
    if feedback.kind == "complained":
        return ("complained",)
    if feedback.kind == "unsubscribed":
        return own
    return ("stop", "unsubscribed") if feedback.kind == "resubscribed" else ()


def _heed(work: Work, heard: Sequence[_Heard]) -> None:
    """Suppress addresses, or let them be sent to again, where feedback says so; the later word on one counts."""
    runs: list[tuple[tuple[bool, AddressKind, Why], list[str]]] = []  # of what is to be done alike, in order
    for one in heard:
        said = one.said
        channel = address_kind(said.channel or (work.messages.get(one.key).channel if one.key else ""))
        whys = () if channel is None else _wish_of(said, channel)
        if channel is None or not whys:
            continue
        address = said.address or _present_address(work, channel, one.ordinal)
        for why in whys if address else ():
            deed = said.kind == "resubscribed", channel, why
            if not runs or runs[-1][0] != deed:
                runs.append((deed, []))
            runs[-1][1].append(address)
    for (back, channel, why), addresses in runs:
        keys = keys_of(work, channel, addresses)
        if back:
            release_keys(work, channel, keys, [why])
        else:
            suppress_keys(work, channel, keys, why)


def _present_address(view: View, channel: AddressKind, ordinal: int) -> str:
    """The address that a user has now, "" for none."""
    column = view.population.column(PROPERTY_OF[channel])
    present = None if column is None or ordinal == NOBODY else column.get(ordinal)
    return present if isinstance(present, str) else ""
