"""What providers say of messages after they took them, told to the server."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from muster import values
from muster.errors import InvalidInput
from muster.flow import Flow, Rpc
from muster.records import MOST_RECORDS
from muster.results import Reported
from muster.service import Service, Way, answered, new_request_id
from muster.v1 import feedback_pb2
from muster.worker import CHANNELS, Channel

FeedbackKind: TypeAlias = Literal[
    "delivered",
    "opened",
    "clicked",
    "bounced",
    "complained",
    "unsubscribed",
    "replied",
    "suppressed",
    "token_removed",
    "resubscribed",
    "dismissed",
]

_REPORT: Final = Rpc("/muster.v1.FeedbackService/ReportFeedback", feedback_pb2.ReportFeedbackResponse)
_KINDS: Final[dict[str, Any]] = {
    name.removeprefix("FEEDBACK_KIND_").lower(): number
    for name, number in feedback_pb2.FeedbackKind.items()
    if number != feedback_pb2.FEEDBACK_KIND_UNSPECIFIED
}


def feedback(
    kind: FeedbackKind,
    idempotency_key: str = "",
    *,
    event_id: str = "",
    time: datetime | None = None,
    channel: Channel | None = None,
    address: str = "",
    permanent: bool = False,
    detail: str = "",
    url: str = "",
) -> feedback_pb2.Feedback:
    """What a provider says of a hand-off it took, or of an address.

    Arguments:
        kind: what happened.
        idempotency_key: of the hand-off, as it was offered; "": word about an address, which needs `channel`,
            `address` and `event_id`.
        event_id: the provider's id of this very feedback: a repeated one changes nothing. "": there is one of a kind
            at most for a hand-off.
        time: when it happened, aware; None: the project's clock when it arrives there.
        channel: of the address.
        address: the email address, telephone number or device token; "": the user's present one.
        permanent: of a bounce: the address takes nothing at all.
        detail: the provider's words, for people; cut at 2,000 bytes.
        url: of a click: where it led; cut likewise.

    Raises:
        InvalidInput: CHOICE, for a kind or channel that there is not; VALUE_TYPE.

    Example::

        >>> feedback("bounced", "5eed.hi.0.7", permanent=True, detail="5.1.1 no such user").permanent
        True
    """
    if kind not in _KINDS:
        raise InvalidInput(f"the kind {kind!r}", field="kind", mend=", ".join(_KINDS), code="CHOICE")
    if channel is not None and channel not in CHANNELS:
        raise InvalidInput(f"the channel {channel!r}", field="channel", mend=" or ".join(CHANNELS), code="CHOICE")
    try:
        made = feedback_pb2.Feedback(
            kind=_KINDS[kind],
            idempotency_key=idempotency_key,
            event_id=event_id,
            channel=None if channel is None else CHANNELS[channel],
            address=address,
            permanent=permanent,
            detail=_cut(detail),
            url=_cut(url),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(str(error), mend="texts are str", code="VALUE_TYPE") from error
    if time is not None:
        made.time.CopyFrom(values.timestamp(time))
    return made


class Feedback(Service[Way]):
    """`client.feedback`: what providers say of messages after they took them."""

    @answered
    def report(self, feedback: Iterable[feedback_pb2.Feedback], *, request_id: str = "") -> Flow[Reported]:
        """Tell what providers said, in requests of up to 10,000; answers when it is on disk.

        Good feedback is taken, bad one comes back in `rejected`. All of it may be told again: what is known already
        changes nothing. A client without a project tells whichever project each is of, with a token that opens all.

        Arguments:
            feedback: made by `muster.feedback`.
            request_id: names the call, so that the same one repeated within 24 hours does nothing new.

        Raises:
            MusterError: where a request as a whole was refused.

        Example::

            told = client.feedback.report([muster.feedback("bounced", key, permanent=True)])
            print(told.accepted, told.duplicates, told.unknown)
        """
        name = request_id or new_request_id()
        everything = list(feedback)
        reported = Reported()
        for start in range(0, len(everything), MOST_RECORDS):
            batch = everything[start : start + MOST_RECORDS]
            request = feedback_pb2.ReportFeedbackRequest(
                project=self._project, request_id=f"{name}.{start // MOST_RECORDS}", feedback=batch
            )
            answer = yield from self._ask(_REPORT, request)
            reported.count(answer.accepted, answer.duplicates, answer.errors, range(start, start + len(batch)))
            reported.unknown += answer.unknown
        return reported


def _cut(text: str, most: int = 2_000) -> str:
    """The beginning of a text, at most so many bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")
