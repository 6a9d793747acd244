"""Promise: push notifications go the whole way: a draft by RPC, the embedded worker, FCM and APNs, the ledger."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from muster.messages import message_of
from muster.v1 import ingest_pb2, message_pb2, profile_pb2, project_pb2, value_pb2

from channels.doubles.apns import ApnsDouble
from channels.doubles.fcm import FcmDouble
from core.errors import InvalidInput
from server.cli.message_file import example, read_message
from server.config import Config
from server.main import Server, work
from tests.server.conftest import Stubs, refused
from tests.server.test_embedded import until

DEVICES = {
    "ada": {"$android_devices": ["a1", "a2"], "$ios_devices": ["11111111"]},
    "bob": {"$ios_devices": ["22222222"]},
    "odd": {"$android_devices": [""], "$ios_devices": ["not a token"]},
    "few": {"$android_devices": []},
    "txt": {"$android_devices": "a9"},
    "non": {},
}


def tokens(values: list[str] | str) -> value_pb2.Value:
    """A property of device tokens, or of something else."""
    if isinstance(values, str):
        return value_pb2.Value(string_value=values)
    items = [value_pb2.Value(string_value=token) for token in values]
    return value_pb2.Value(list_value=value_pb2.ListValue(values=items))


async def add_people(stubs: Stubs) -> None:
    """Users with their devices."""
    updates = []
    for name, devices in DEVICES.items():
        known = {key: tokens(values) for key, values in devices.items()}
        known["name"] = value_pb2.Value(string_value=name)
        updates.append(ingest_pb2.ProfileUpdate(distinct_id=name, set=ingest_pb2.PropertyMap(properties=known)))
    await stubs.ingest.UpdateProfiles(ingest_pb2.UpdateProfilesRequest(project="shop", updates=updates))


def push(**content: Any) -> message_pb2.Message:
    """A push notification to everybody."""
    given = {"title": "Hi {{ user.name }}", "body": "It is here.", **content}
    return message_pb2.Message(
        key="here", targeting="true", asap=message_pb2.AsapSchedule(), push=message_pb2.PushContent(**given)
    )


WHOLE = push(
    image="https://example.com/{{ user.name }}.png",
    buttons=[message_pb2.Button(text="Look", link="shop://look/{{ user.name }}"), message_pb2.Button(text="Open")],
    deep_link="shop://here",
    ttl=duration_pb2.Duration(seconds=3_600),
    collapse_key="here",
    data={"screen": "{{ user.name }}"},
    badge=0,
    sound="default",
)


async def test_preview_shows_it_with_its_devices(stubs: Stubs) -> None:
    await stubs.create()
    await add_people(stubs)
    await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project="shop", message=WHOLE))
    found = await stubs.messages.PreviewMessage(
        message_pb2.PreviewMessageRequest(project="shop", key="here", distinct_id="ada")
    )
    assert found.would_send
    shown = found.rendered.push
    assert (shown.title, shown.body, shown.image) == ("Hi ada", "It is here.", "https://example.com/ada.png")
    assert [(one.text, one.link) for one in shown.buttons] == [("Look", "shop://look/ada"), ("Open", "")]
    assert (shown.deep_link, shown.ttl.seconds, shown.collapse_key) == ("shop://here", 3_600, "here")
    assert (dict(shown.data), shown.HasField("badge"), shown.badge, shown.sound) == (
        {"screen": "ada"},
        True,
        0,
        "default",
    )
    assert [(one.platform, one.token) for one in shown.devices] == [
        (message_pb2.PLATFORM_ANDROID, "a1"),
        (message_pb2.PLATFORM_ANDROID, "a2"),
        (message_pb2.PLATFORM_IOS, "11111111"),
    ]


async def test_it_reads_back_as_it_was_written_and_parts_change_alone(stubs: Stubs) -> None:
    await stubs.create()
    made = await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project="shop", message=WHOLE))
    assert made.message.push == WHOLE.push
    change = message_pb2.UpdateMessageRequest(
        project="shop", message=message_pb2.Message(key="here", push=message_pb2.PushContent(body="Changed"))
    )
    change.update_mask.paths.extend(["push.body", "push.badge"])
    fresh = (await stubs.messages.UpdateMessage(change)).message.push
    assert (fresh.body, fresh.HasField("badge"), fresh.title) == ("Changed", False, WHOLE.push.title)
    assert list(fresh.buttons) == list(WHOLE.push.buttons)


async def test_what_is_wrong_is_named(stubs: Stubs) -> None:
    await stubs.create()
    for content, field, code in (
        ({"title": "", "body": ""}, "message.push.body", "TEMPLATE_EMPTY"),
        ({"silent": True}, "message.push.title", "SILENT_TEXT"),
        ({"deep_link": "here"}, "message.push.deep_link", "LINK_INVALID"),
        ({"ttl": duration_pb2.Duration(seconds=29 * 86_400)}, "message.push.ttl", "INVALID_LIMIT"),
    ):
        request = message_pb2.CreateMessageRequest(project="shop", message=push(**content))
        refusal = await refused(stubs.messages.CreateMessage(request))
        assert (refusal.status, refusal.field, refusal.code) == (grpc.StatusCode.INVALID_ARGUMENT, field, code)


async def test_a_sandbox_lays_it_into_its_inbox_and_who_has_no_token_is_unreachable(stubs: Stubs) -> None:
    await stubs.create(live=False)
    await add_people(stubs)
    await stubs.launch("here", push=WHOLE.push)

    async def drained() -> bool:
        return bool((await stubs.counts("here")).sent == 2)

    await until(drained)
    inbox = await stubs.projects.ListInbox(project_pb2.ListInboxRequest(project="shop"))
    counts = await stubs.counts("here")
    assert (counts.selected, counts.sent) == (6, 2)
    assert [(one.reason, one.open, one.users) for one in counts.skipped] == [("unreachable", True, 4)]
    found = {one.distinct_id: one for one in inbox.entries}
    assert {name: (one.channel, one.to, one.subject, one.text, one.url) for name, one in found.items()} == {
        "ada": ("push", "2 android, 1 ios", "Hi ada", "It is here.", "shop://here"),
        "bob": ("push", "1 ios", "Hi bob", "It is here.", "shop://here"),
    }
    assert '"screen": "ada"' in found["ada"].body


async def test_the_commented_example_can_be_created_with_every_comment_taken_away(stubs: Stubs, tmp_path: Path) -> None:
    await stubs.create()
    whole = re.sub(r"^# (?=(?:image|sound|badge|screen) = |\[push\.data\])", "", example("push", "-"), flags=re.M)
    for number, text in enumerate((example("push", "-"), whole)):
        path = tmp_path / "push.toml"
        path.write_text(text.replace("left-in-basket", f"basket{number}"), "utf-8")
        found = read_message(str(path))
        message = message_of(found.key, **found.fields)
        made = await stubs.messages.CreateMessage(message_pb2.CreateMessageRequest(project="shop", message=message))
        assert (made.message.push.ttl.seconds, made.message.push.buttons[0].link) == (21_600, "shop://checkout")
    assert (made.message.push.badge, dict(made.message.push.data)) == (1, {"screen": "basket"})


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("buttons = [7]", "push.buttons[0]"),
        ('buttons = [{ text = "a", url = "b" }]', "push.buttons[0].url"),
        ("data = { a = 1 }", "push.data"),
        ("ttl = 7", "push.ttl"),
    ],
)
def test_a_mistake_in_a_file_is_named_by_its_place(table: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "push.toml"
    path.write_text(f'key = "here"\n[push]\n{table}\n', "utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_message(str(path))
    assert caught.value.message.startswith(f"{place}:")


def embedded(config: Config, google: FcmDouble, apple: ApnsDouble, folder: Path) -> Config:
    return replace(
        config,
        push_fcm_account_file=google.write_account(folder),
        push_fcm_url=google.url,
        push_apns_key_file=apple.write_key(folder),
        push_apns_key_id=apple.key_id,
        push_apns_team_id=apple.team_id,
        push_apns_topic=apple.topic,
        push_apns_url=apple.url,
        push_ca_file=apple.ca_file,
    )


async def values_of(stubs: Stubs, name: str, *lists: str) -> dict[str, list[str]]:
    """Lists of a profile."""
    found = await stubs.profiles.GetProfile(profile_pb2.GetProfileRequest(project="shop", distinct_id=name))
    known = found.profile.properties
    return {one: [item.string_value for item in known[one].list_value.values] for one in lists if one in known}


async def test_the_whole_way_and_tokens_that_are_nobodys_leave_the_profile(config: Config, tmp_path: Path) -> None:
    refusals = {"a2": "UNREGISTERED"}, {"22222222": "Unregistered"}
    async with FcmDouble(refused=refusals[0]) as google, ApnsDouble(refused=refusals[1]) as apple:
        async with Server(embedded(config, google, apple, tmp_path)) as server:
            async with grpc.aio.insecure_channel(server.grpc_address) as channel:
                stubs = Stubs(channel)
                await stubs.create()
                await add_people(stubs)
                await stubs.launch("here", push=WHOLE.push)

                async def done() -> bool:
                    counts = await stubs.counts("here")
                    return counts.sent + counts.failed == 2

                await until(done)
                counts = await stubs.counts("here")
                assert (counts.selected, counts.sent, counts.failed) == (6, 1, 1)
                assert await values_of(stubs, "ada", "$android_devices", "$ios_devices") == {
                    "$android_devices": ["a1"],
                    "$ios_devices": ["11111111"],
                }
                assert await values_of(stubs, "bob", "$ios_devices") == {"$ios_devices": []}
                history = await stubs.profiles.ListEvents(
                    profile_pb2.ListEventsRequest(project="shop", distinct_id="ada")
                )
                told = {event.name: event.properties for event in history.events}
                assert told["$token_removed"]["token"].string_value == "a2"
                assert told["$token_removed"]["message_id"].string_value == "here"
                assert told["$campaign_delivery"]["message_type"].string_value == "push"
                said = await stubs.messages.ExplainDelivery(
                    message_pb2.ExplainDeliveryRequest(project="shop", key="here", distinct_id="bob")
                )
                assert (said.state, said.detail) == ("failed", "410 Unregistered")
    assert [item["message"]["token"] for item in google.records.items] == ["a1"]
    assert [item["token"] for item in apple.records.items] == ["11111111"]


@pytest.mark.parametrize(
    ("changes", "option", "code"),
    [
        ({}, "push_fcm_account_file", "PROVIDER_MISSING"),
        ({"push_fcm_account_file": Path("/nowhere")}, "push_fcm_account_file", "OPTION_VALUE"),
        ({"push_fcm_account_file": Path(__file__)}, "push_fcm_account_file", "OPTION_VALUE"),
        ({"push_fcm_account_file": Path(__file__), "push_fcm_url": "x"}, "push_fcm_url", "OPTION_VALUE"),
        ({"push_apns_key_file": Path(__file__)}, "push_apns_key_id", "OPTION_VALUE"),
        (
            {
                "push_apns_key_file": Path(__file__),
                "push_apns_key_id": "K",
                "push_apns_team_id": "T",
                "push_apns_topic": "t",
            },
            "push_apns_key_file",
            "OPTION_VALUE",
        ),
        ({"push_fcm_account_file": Path(__file__), "push_proxy": "x"}, "push_proxy", "OPTION_VALUE"),
    ],
)
def test_a_wrong_option_is_named(changes: dict[str, Any], option: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        work("push", replace(Config(), **changes))
    assert (caught.value.field, caught.value.code) == (option, code)
    assert caught.value.mend
