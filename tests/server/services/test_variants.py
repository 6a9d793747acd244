"""Promise: variants of a message go through the RPCs as they were given, batches name theirs, a preview shows any."""

from __future__ import annotations

import grpc
from google.protobuf import field_mask_pb2
from muster.v1 import message_pb2

from tests.server.conftest import PROJECT, Stubs, email, refused
from tests.server.services.test_delivery import Stream

B = message_pb2.MessageVariant(
    key="b",
    percent=50,
    email=message_pb2.EmailContent(subject="Variant B", text="B", **{"from": "Shop <shop@example.com>"}),
)


async def test_variants_from_draft_to_batch(stubs: Stubs) -> None:
    await stubs.create()
    await stubs.add_users(40)
    message = email("hi", variants=[B])
    made = await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project=PROJECT, message=message))
    assert list(made.message.variants) == [B]
    launch = message_pb2.LaunchMessageRequest(project=PROJECT, key="hi", existing=message_pb2.EXISTING_SEND)
    await stubs.messages.LaunchMessage(launch)
    stream = await Stream.open(stubs, credit=40)
    first, second = await stream.next(), await stream.next()
    assert {first.variant, second.variant} == {"b", "main"}
    assert len(first.recipients) + len(second.recipients) == 40
    for batch in (first, second):
        for one in batch.recipients:
            assert (one.rendered.subject == "Variant B") == (batch.variant == "b")
    stream.call.cancel()
    of_b = first if first.variant == "b" else second
    asked = {"project": PROJECT, "key": "hi", "distinct_id": of_b.recipients[0].distinct_id}
    own = await stubs.messages.PreviewMessage(message_pb2.PreviewMessageRequest(**asked))
    assert (own.variant, own.rendered.subject) == ("b", "Variant B")
    other = await stubs.messages.PreviewMessage(message_pb2.PreviewMessageRequest(**asked, variant="main"))
    assert other.variant == "main" and other.rendered.subject != "Variant B"
    none = await refused(stubs.messages.PreviewMessage(message_pb2.PreviewMessageRequest(**asked, variant="z")))
    assert (none.status, none.code, none.field) == (grpc.StatusCode.NOT_FOUND, "VARIANT_NOT_FOUND", "variant")


async def test_percentages_change_while_it_is_live_and_contents_do_not(stubs: Stubs) -> None:
    await stubs.create()
    await stubs.launch("hi", email=email("x").email, variants=[B])
    mask = field_mask_pb2.FieldMask(paths=["variants"])
    fewer, other = message_pb2.MessageVariant(), message_pb2.MessageVariant()
    fewer.CopyFrom(B)
    fewer.percent = 5
    other.CopyFrom(B)
    other.email.subject = "Another"

    def update(variant: message_pb2.MessageVariant) -> message_pb2.UpdateMessageRequest:
        changed = message_pb2.Message(key="hi", variants=[variant])
        return message_pb2.UpdateMessageRequest(project=PROJECT, message=changed, update_mask=mask)

    assert (await stubs.messages.UpdateMessage(update(fewer))).message.variants[0].percent == 5
    refusal = await refused(stubs.messages.UpdateMessage(update(other)))
    assert (refusal.code, refusal.field) == ("NOT_EDITABLE", "message.variants")
    wrong = message_pb2.MessageVariant(key="b", percent=1)
    missing = await refused(stubs.messages.UpdateMessage(update(wrong)))
    assert (missing.code, missing.field) == ("NO_CONTENT", "message.variants[0].content")
