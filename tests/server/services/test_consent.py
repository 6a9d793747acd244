"""Promises: consent is answered when it is on disk; what cannot be is refused with its field; a hand-off asks it last."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from muster.v1 import consent_pb2, delivery_pb2, message_pb2

from core.engine import EngineConfig
from server.background import index_addresses
from server.blocking import Pool
from server.config import Config
from server.main import Server
from server.projects import Projects
from tests.server.conftest import PROJECT, Stubs, refused
from tests.server.services.test_delivery import Stream

EMAIL = delivery_pb2.CHANNEL_EMAIL


async def test_topics_suppressions_and_consent_are_read_back(stubs: Stubs) -> None:
    await stubs.create()
    await stubs.add_users(2)
    topic = consent_pb2.Topic(key="news", title="News")
    await stubs.consent.SaveTopic(consent_pb2.SaveTopicRequest(project=PROJECT, topic=topic))
    listed = await stubs.consent.ListTopics(consent_pb2.ListTopicsRequest(project=PROJECT))
    assert [(one.key, one.title) for one in listed.topics] == [("news", "News")]
    request = consent_pb2.UnsubscribeRequest(project=PROJECT, request_id="1", distinct_id="u0", topic="news")
    assert (await stubs.consent.Unsubscribe(request)).unsubscribed == 1
    assert (await stubs.consent.Unsubscribe(request)).unsubscribed == 1  # the same request, answered once more
    found = await stubs.consent.GetConsent(consent_pb2.GetConsentRequest(project=PROJECT, distinct_id="u0"))
    assert not found.opted_out
    (address,) = found.addresses
    assert address.channel == EMAIL and [one.topic for one in address.suppressions] == ["news"]
    again = consent_pb2.GetSuppressionRequest(project=PROJECT, channel=EMAIL, address=address.address.upper())
    assert not (await stubs.consent.GetSuppression(again)).suppressions  # the case before the @ counts
    counts = (await stubs.consent.ListSuppressions(consent_pb2.ListSuppressionsRequest(project=PROJECT))).counts
    assert [(one.channel, one.topic, one.addresses) for one in counts] == [(EMAIL, "news", 1)]
    back = consent_pb2.ResubscribeRequest(project=PROJECT, distinct_id="u0", topic="news")
    assert (await stubs.consent.Resubscribe(back)).resubscribed == 1


async def test_who_unsubscribes_between_offer_and_leave_is_not_sent_to(stubs: Stubs) -> None:
    await stubs.create()
    await stubs.add_users(2)
    await stubs.launch("welcome")
    stream = await Stream.open(stubs, project=PROJECT, credit=2)
    batch = await stream.next()
    assert len(batch.recipients) == 2
    gone = batch.recipients[0].distinct_id
    await stubs.consent.Unsubscribe(consent_pb2.UnsubscribeRequest(project=PROJECT, distinct_id=gone))
    assert await stream.begin(batch) == [1]
    stream.cut()
    request = message_pb2.ExplainDeliveryRequest(project=PROJECT, key="welcome", distinct_id=gone)
    told = await stubs.messages.ExplainDelivery(request)
    assert (told.state, told.reason) == ("skipped", "unsubscribed")
    assert [gate.name for gate in told.gates if not gate.passed][-1] == "consent"


@pytest.mark.parametrize(
    ("method", "request_", "code", "field"),
    [
        ("Unsubscribe", consent_pb2.UnsubscribeRequest(project=PROJECT), "PERSON_REQUIRED", "distinct_id"),
        ("Suppress", consent_pb2.SuppressRequest(project=PROJECT), "CHANNEL_REQUIRED", "channel"),
        (
            "Suppress",
            consent_pb2.SuppressRequest(project=PROJECT, channel=delivery_pb2.CHANNEL_WEBHOOK),
            "CHANNEL_REQUIRED",
            "channel",
        ),
        ("DeleteTopic", consent_pb2.DeleteTopicRequest(project=PROJECT, key="none"), "TOPIC_NOT_FOUND", "key"),
        (
            "GetConsent",
            consent_pb2.GetConsentRequest(project=PROJECT, distinct_id="no"),
            "USER_NOT_FOUND",
            "distinct_id",
        ),
    ],
)
async def test_a_bad_request_names_its_field(stubs: Stubs, method: str, request_: Any, code: str, field: str) -> None:
    await stubs.create()
    refusal = await refused(getattr(stubs.consent, method)(request_))
    assert (refusal.code, refusal.field) == (code, field) and refusal.mend


async def test_after_a_start_the_addresses_of_live_messages_are_indexed(config: Config) -> None:
    async with Server(config) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        stubs = Stubs(channel)
        await stubs.create()
        await stubs.add_users(3)
        await stubs.launch("welcome")
    projects, pool = Projects(config.store, EngineConfig(), 60.0), Pool(1, 10)
    projects.open_all()
    await index_addresses(projects, pool)
    (project,) = projects.all()
    assert len(project.engine.version.consent.addresses["email"]) == 3
    pool.close()
    projects.close()
