"""Promise: text messages go the whole way: a draft by RPC, the embedded worker, Twilio's protocol, the ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from muster.v1 import ingest_pb2, message_pb2, project_pb2

from channels.doubles.http import HttpDouble
from channels.doubles.twilio import TwilioDouble
from core.errors import InvalidInput
from server import providers
from server.config import Config
from server.main import Server
from tests.server.conftest import Stubs, properties, refused
from tests.server.test_embedded import once, until

PHONES = {
    "ada": "+1 (415) 555-0101",
    "bob": "+49 151 12345678",
    "nul": "0151 12345678",
    "odd": "+1 415",
    "far": "+999 123456789",
    "out": "+14155550109",
}


def sms(key: str = "shipped", **content: Any) -> message_pb2.Message:
    given = {"text": "Hi {{ user.name }}", "from": "+14155550100", **content}
    return message_pb2.Message(
        key=key, targeting="true", asap=message_pb2.AsapSchedule(), sms=message_pb2.SmsContent(**given)
    )


async def add_people(stubs: Stubs) -> None:
    updates = [
        ingest_pb2.ProfileUpdate(distinct_id=name, set=properties({"$phone": phone, "name": name}))
        for name, phone in PHONES.items()
    ]
    updates.append(ingest_pb2.ProfileUpdate(distinct_id="none", set=properties({"name": "none"})))
    await stubs.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project="shop", updates=updates))


def embedded(config: Config, double: TwilioDouble, folder: Path) -> Config:
    secret = folder / "token"
    secret.write_text(double.token)
    return replace(
        config, sms_provider="twilio", sms_account=double.account, sms_secret_file=secret, sms_url=double.url
    )


async def test_the_whole_way(config: Config, tmp_path: Path) -> None:
    async with TwilioDouble(stopped=frozenset({PHONES["out"]})) as double:
        async with Server(embedded(config, double, tmp_path)) as server:
            async with grpc.aio.insecure_channel(server.grpc_address) as channel:
                stubs = Stubs(channel)
                await stubs.create()
                await add_people(stubs)
                await stubs.launch("shipped", sms=sms().sms)

                async def done() -> bool:
                    counts = await stubs.counts("shipped")
                    return counts.sent + counts.failed == 3

                await until(done)
                counts = await stubs.counts("shipped")
                assert (counts.selected, counts.sent, counts.failed) == (7, 2, 1)
                assert [(one.reason, one.open, one.users) for one in counts.skipped] == [("unreachable", True, 4)]
                said = await stubs.messages.ExplainDelivery(
                    message_pb2.ExplainDeliveryRequest(project="shop", key="shipped", distinct_id="out")
                )
                assert (said.state, said.detail[:5]) == ("failed", "21610")
                # Whoever gets a number that is one is sent to then.
                await stubs.ingest.UpdateProfiles(
                    ingest_pb2.UpdateProfilesRequest(
                        project="shop",
                        updates=[
                            ingest_pb2.ProfileUpdate(distinct_id="odd", set=properties({"$phone": "+14155550104"}))
                        ],
                    )
                )

                async def more() -> bool:
                    return bool((await stubs.counts("shipped")).sent == 3)

                await until(more)
    assert double.records.tally == once(3)
    assert {item["form"]["To"]: item["form"]["Body"] for item in double.records.items} == {
        "+14155550101": "Hi ada",
        "+4915112345678": "Hi bob",
        "+14155550104": "Hi odd",
    }


async def test_preview_tells_the_segments(stubs: Stubs) -> None:
    await stubs.create()
    await add_people(stubs)
    message = sms(text="Hi {{ user.name }} 👋")
    await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project="shop", message=message))
    found = await stubs.messages.PreviewMessage(
        message_pb2.PreviewMessageRequest(project="shop", key="shipped", distinct_id="ada")
    )
    assert found.would_send
    assert (found.rendered.to, found.rendered.text) == ("+14155550101", "Hi ada 👋")
    length = found.rendered.sms
    assert (length.encoding, length.units, length.segments) == (message_pb2.SMS_ENCODING_UCS2, 9, 1)


async def test_what_is_wrong_is_named(stubs: Stubs) -> None:
    await stubs.create()
    for content, field, code in (
        ({"text": ""}, "message.sms.text", "TEMPLATE_EMPTY"),
        ({"from": "+4"}, "message.sms.from", "SENDER_INVALID"),
        ({"max_segments": 99}, "message.sms.max_segments", "INVALID_LIMIT"),
    ):
        request = message_pb2.CreateMessageRequest(project="shop", message=sms(**content))
        refusal = await refused(stubs.messages.CreateMessage(request))
        assert (refusal.status, refusal.field, refusal.code) == (grpc.StatusCode.INVALID_ARGUMENT, field, code)


async def test_a_field_of_the_content_can_be_changed_alone(stubs: Stubs) -> None:
    await stubs.create()
    await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project="shop", message=sms()))
    change = message_pb2.UpdateMessageRequest(
        project="shop", message=message_pb2.Message(key="shipped", sms=message_pb2.SmsContent(max_segments=2))
    )
    change.update_mask.paths.append("sms.max_segments")
    made = (await stubs.messages.UpdateMessage(change)).message
    assert (made.sms.text, made.sms.max_segments, getattr(made.sms, "from")) == (
        "Hi {{ user.name }}",
        2,
        "+14155550100",
    )


async def test_a_sandbox_sends_to_allowed_numbers_and_users_only(config: Config, tmp_path: Path) -> None:
    async with TwilioDouble() as double:
        async with Server(embedded(config, double, tmp_path)) as server:
            async with grpc.aio.insecure_channel(server.grpc_address) as channel:
                stubs = Stubs(channel)
                made = await stubs.create(live=False, allowed_addresses=["+1 415-555-0101", "user:bob"])
                assert list(made.allowed_addresses) == ["+14155550101", "user:bob"]
                await add_people(stubs)
                await stubs.launch("shipped", sms=sms().sms)

                async def done() -> bool:
                    return bool((await stubs.counts("shipped")).sent == 3)

                await until(done)
                inbox = await stubs.projects.ListInbox(project_pb2.ListInboxRequest(project="shop"))
    assert [(one.distinct_id, one.channel, one.to, one.text) for one in inbox.entries] == [
        ("out", "sms", "+14155550109", "Hi out")
    ]
    assert {item["form"]["To"] for item in double.records.items} == {"+14155550101", "+4915112345678"}


async def test_another_provider_by_http(config: Config) -> None:
    async with HttpDouble() as double:
        wanted = replace(config, sms_provider="http", sms_url=double.url + "/sms", sms_from="Shop")
        async with Server(wanted) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
            stubs = Stubs(channel)
            await stubs.create()
            await add_people(stubs)
            await stubs.launch("shipped", sms=message_pb2.SmsContent(text="Hi"))

            async def done() -> bool:
                return bool((await stubs.counts("shipped")).sent == 3)

            await until(done)
    assert double.records.tally == once(3)
    assert '"from":"Shop"' in double.records.items[0]["body"]


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"sms_provider": "twilio"}, "sms_account"),
        ({"sms_provider": "twilio", "sms_account": "AC1"}, "sms_secret_file"),
        ({"sms_provider": "twilio", "sms_account": "AC1", "sms_secret_file": Path("/nowhere")}, "sms_secret_file"),
        ({"sms_provider": "http"}, "sms_url"),
        ({"sms_provider": "http", "sms_url": "ftp://x"}, "sms_url"),
        ({"sms_provider": "http", "sms_url": "https://x/", "sms_body": "{to}"}, "sms_body"),
        ({"sms_provider": "http", "sms_url": "https://x/", "sms_form": True}, "sms_body"),
    ],
)
def test_a_wrong_option_is_named(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        providers.sms(replace(Config(), **changes))
    assert (caught.value.field, caught.value.code) == (option, "OPTION_VALUE")
    assert caught.value.mend
