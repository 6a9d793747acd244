"""Consent: topics, unsubscriptions, and addresses that are not sent to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

from muster.errors import InvalidInput
from muster.flow import Flow, Rpc
from muster.service import Service, Way, answered, new_request_id
from muster.v1 import consent_pb2, delivery_pb2

_SERVICE: Final = "/muster.v1.ConsentService"
_SUPPRESS: Final = Rpc(f"{_SERVICE}/Suppress", consent_pb2.SuppressResponse)
_UNSUPPRESS: Final = Rpc(f"{_SERVICE}/Unsuppress", consent_pb2.UnsuppressResponse)
_GET_SUPPRESSION: Final = Rpc(f"{_SERVICE}/GetSuppression", consent_pb2.GetSuppressionResponse)
_LIST: Final = Rpc(f"{_SERVICE}/ListSuppressions", consent_pb2.ListSuppressionsResponse)
_UNSUBSCRIBE: Final = Rpc(f"{_SERVICE}/Unsubscribe", consent_pb2.UnsubscribeResponse)
_RESUBSCRIBE: Final = Rpc(f"{_SERVICE}/Resubscribe", consent_pb2.ResubscribeResponse)
_GET: Final = Rpc(f"{_SERVICE}/GetConsent", consent_pb2.GetConsentResponse)
_SAVE_TOPIC: Final = Rpc(f"{_SERVICE}/SaveTopic", consent_pb2.SaveTopicResponse)
_LIST_TOPICS: Final = Rpc(f"{_SERVICE}/ListTopics", consent_pb2.ListTopicsResponse)
_DELETE_TOPIC: Final = Rpc(f"{_SERVICE}/DeleteTopic", consent_pb2.DeleteTopicResponse)

AddressChannel: TypeAlias = Literal["email", "sms"]
"""A channel whose users have an address."""

SuppressionReason: TypeAlias = Literal["unsubscribed", "bounced", "complained", "manual", "stop"]
"""Why an address is not sent to."""

_CHANNELS: Final = {"email": delivery_pb2.CHANNEL_EMAIL, "sms": delivery_pb2.CHANNEL_SMS}
_REASONS: Final[dict[str, Any]] = {
    name.removeprefix("SUPPRESSION_REASON_").lower(): number
    for name, number in consent_pb2.SuppressionReason.items()
    if number
}


class Consent(Service[Way]):
    """`client.consent`: who is not to be sent to.

    Addresses are kept as keyed hashes: who has one can ask for it, nobody can list them.
    """

    @answered
    def suppress(
        self,
        addresses: Iterable[str],
        *,
        channel: AddressChannel = "email",
        reason: SuppressionReason = "manual",
        topic: str = "",
        request_id: str = "",
    ) -> Flow[consent_pb2.SuppressResponse]:
        """Keep addresses from being sent to. The answer counts them and names, by index, those that are none.

        Arguments:
            addresses: at most 10,000.
            channel: what they are addresses of.
            reason: why.
            topic: from what; "": from everything.

        Raises:
            NotFound: if there is no such topic.

        Example::

            client.consent.suppress(["ann@example.com"], reason="complained").added
        """
        request = consent_pb2.SuppressRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            channel=_choice(channel, _CHANNELS, "channel"),
            addresses=list(addresses),
            reason=_choice(reason, _REASONS, "reason"),
            topic=topic,
        )
        return (yield from self._ask(_SUPPRESS, request))

    @answered
    def unsuppress(
        self,
        addresses: Iterable[str],
        *,
        channel: AddressChannel = "email",
        reason: SuppressionReason | None = None,
        topic: str = "",
        request_id: str = "",
    ) -> Flow[int]:
        """Let addresses be sent to again; how many were kept from it.

        Arguments:
            reason: only where this was why; None: whichever.
            others: as for `suppress`.

        Example::

            client.consent.unsuppress(["ann@example.com"], reason="bounced")
        """
        request = consent_pb2.UnsuppressRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            channel=_choice(channel, _CHANNELS, "channel"),
            addresses=list(addresses),
            reason=None if reason is None else _choice(reason, _REASONS, "reason"),
            topic=topic,
        )
        answer = yield from self._ask(_UNSUPPRESS, request)
        return answer.released

    @answered
    def suppressions_of(
        self, address: str, *, channel: AddressChannel = "email"
    ) -> Flow[Sequence[consent_pb2.Suppression]]:
        """Why one address is not sent to, and since when; empty where it is.

        Example::

            for one in client.consent.suppressions_of("ann@example.com"):
                print(one.reason, one.topic, one.since)
        """
        request = consent_pb2.GetSuppressionRequest(
            project=self._project, channel=_choice(channel, _CHANNELS, "channel"), address=address
        )
        answer = yield from self._ask(_GET_SUPPRESSION, request)
        return answer.suppressions

    @answered
    def suppressions(self) -> Flow[Sequence[consent_pb2.SuppressionCount]]:
        """How many addresses are not sent to, by channel, reason and topic.

        Example::

            sum(one.addresses for one in client.consent.suppressions())
        """
        answer = yield from self._ask(_LIST, consent_pb2.ListSuppressionsRequest(project=self._project))
        return answer.counts

    @answered
    def unsubscribe(
        self,
        distinct_id: str | None = None,
        *,
        address: str | None = None,
        channel: AddressChannel | None = None,
        topic: str = "",
        request_id: str = "",
    ) -> Flow[int]:
        """Take a person's word to hear no more; how many addresses are new to it.

        No hand-off to the address begins later than a second after the answer.

        Arguments:
            distinct_id: every address of this user, or the one of `channel`.
            address: instead of a user, an address of `channel`, whoever has it.
            topic: from what; "": from everything.

        Raises:
            NotFound: if there is no such user or topic.
            FailedPrecondition: if the user has no address.

        Example::

            client.consent.unsubscribe("u1", topic="news")
        """
        request = consent_pb2.UnsubscribeRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            distinct_id=distinct_id,
            address=address,
            channel=None if channel is None else _choice(channel, _CHANNELS, "channel"),
            topic=topic,
        )
        answer = yield from self._ask(_UNSUBSCRIBE, request)
        return answer.unsubscribed

    @answered
    def resubscribe(
        self,
        distinct_id: str | None = None,
        *,
        address: str | None = None,
        channel: AddressChannel | None = None,
        topic: str = "",
        request_id: str = "",
    ) -> Flow[int]:
        """Take an unsubscription back, a STOP by text message and `$unsubscribed` with it; how many addresses had one.

        Arguments:
            others: as for `unsubscribe`.

        Example::

            client.consent.resubscribe(address="ann@example.com", channel="email")
        """
        request = consent_pb2.ResubscribeRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            distinct_id=distinct_id,
            address=address,
            channel=None if channel is None else _choice(channel, _CHANNELS, "channel"),
            topic=topic,
        )
        answer = yield from self._ask(_RESUBSCRIBE, request)
        return answer.resubscribed

    @answered
    def of_user(self, distinct_id: str) -> Flow[consent_pb2.GetConsentResponse]:
        """All that keeps one user from being sent to.

        Raises:
            NotFound: if there is no such user.

        Example::

            client.consent.of_user("u1").opted_out
        """
        request = consent_pb2.GetConsentRequest(project=self._project, distinct_id=distinct_id)
        return (yield from self._ask(_GET, request))

    @answered
    def save_topic(self, key: str, title: str = "", *, request_id: str = "") -> Flow[consent_pb2.Topic]:
        """Make a topic that people may unsubscribe from on its own, or name it anew.

        Arguments:
            key: lower-case letters, digits, `-` and `_`, at most 63, starting with a letter.
            title: for people; "": the key.

        Example::

            client.consent.save_topic("news", "Our newsletter")
        """
        request = consent_pb2.SaveTopicRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            topic=consent_pb2.Topic(key=key, title=title),
        )
        answer = yield from self._ask(_SAVE_TOPIC, request)
        return answer.topic

    @answered
    def topics(self) -> Flow[Sequence[consent_pb2.Topic]]:
        """The topics, by key.

        Example::

            [topic.title for topic in client.consent.topics()]
        """
        answer = yield from self._ask(_LIST_TOPICS, consent_pb2.ListTopicsRequest(project=self._project))
        return answer.topics

    @answered
    def delete_topic(self, key: str, *, request_id: str = "") -> Flow[None]:
        """Delete a topic that no message uses, and with it who unsubscribed from it.

        Raises:
            NotFound: if there is none of that key.
            FailedPrecondition: if a message that has not ended is of it.

        Example::

            client.consent.delete_topic("news")
        """
        request = consent_pb2.DeleteTopicRequest(
            project=self._project, request_id=request_id or new_request_id(), key=key
        )
        yield from self._ask(_DELETE_TOPIC, request)


def _choice(given: str, known: dict[str, Any], field: str) -> Any:
    if given not in known:
        raise InvalidInput(f"the {field} {given!r}", field=field, mend=", ".join(known), code="CHOICE")
    return known[given]
