"""Promises: a report is about the hand-off that it proves to know, says for good only what is of the address, and is
told once; mails that are no reports, and garbage, change nothing."""

from __future__ import annotations

import mailbox
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import muster
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from muster.v1 import feedback_pb2

from channels.bounce_reports import is_of_the_address, said_in
from channels.bounces import Read, read_folder, tell_all
from channels.doubles.bounces import deliver, delivery_status, feedback_report
from channels.mailboxes import Maildir, Mbox
from channels.mime import MailConfig, compose
from tests.channels.offers import email

KEY = "5eed.hi.0.7"
PLAIN = MailConfig(message_id_domain="example.org")
VERP = MailConfig(return_path="bounces@example.org", verp=True)


def mail(config: MailConfig = PLAIN) -> bytes:
    return compose(email(1).rendered, KEY, config).wire()


def bounce(config: MailConfig = PLAIN, **changes: Any) -> bytes:
    sender = compose(email(1).rendered, KEY, config).sender
    return delivery_status(mail(config), **{"return_path": sender, "recipient": "user1@example.com", **changes})


def facts(raw: bytes) -> list[tuple[str, str, str, bool, str]]:
    """Kind, key, address, permanence and detail of what a mail says."""
    found = said_in(raw)
    assert found is not None
    return [
        (
            feedback_pb2.FeedbackKind.Name(one.kind).removeprefix("FEEDBACK_KIND_").lower(),
            one.idempotency_key,
            one.address,
            one.permanent,
            one.detail,
        )
        for one in found
    ]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    ("config", "returns"), [(PLAIN, "mail"), (PLAIN, "headers"), (VERP, "mail"), (VERP, "headers"), (VERP, "nothing")]
)
def test_a_hard_bounce_names_its_hand_off(config: MailConfig, returns: str, line_end: bytes) -> None:
    raw = bounce(config, returns=returns).replace(b"\r\n", b"\n").replace(b"\n", line_end)
    expected = ("bounced", KEY, "user1@example.com", True, "5.1.1 550 5.1.1 no such user")
    assert facts(raw) == [expected]


def test_the_message_id_names_it_where_the_header_was_taken_out() -> None:
    raw = bounce().replace(b"X-Muster-Idempotency-Key", b"X-Other")
    assert [key for _, key, *_ in facts(raw)] == [KEY]


def test_who_cannot_name_a_hand_off_bounces_nothing() -> None:
    assert said_in(bounce(returns="nothing")) == []
    assert said_in(bounce().replace(KEY.encode(), b"somebody")) != [], "the server knows what keys there are"


def test_a_forwarded_address_is_not_the_one_that_was_sent_to() -> None:
    assert [address for _, _, address, *_ in facts(bounce(recipient="elsewhere@example.net"))] == ["user1@example.com"]


@pytest.mark.parametrize(
    ("action", "status", "kind", "permanent"),
    [
        ("failed", "5.1.1", "bounced", True),
        ("failed", "5.2.2", "bounced", False),
        ("failed", "4.4.7", "bounced", False),
        ("failed", "5.7.1", "bounced", False),
        ("delivered", "2.1.5", "delivered", False),
        ("delayed", "4.4.1", None, False),
        ("relayed", "2.1.5", None, False),
    ],
)
def test_what_an_action_means(action: str, status: str, kind: str | None, permanent: bool) -> None:
    found = [(one[0], one[3]) for one in facts(bounce(action=action, status=status))]
    assert found == ([] if kind is None else [(kind, permanent)])


@pytest.mark.parametrize(
    ("status", "of_the_address"),
    [
        ("5.0.0", True),
        ("5.1.1", True),
        ("5.1.10", True),
        ("5.2.1", True),
        ("5.4.4", True),
        ("5.2.2", False),
        ("5.2.3", False),
        ("5.3.4", False),
        ("5.4.7", False),
        ("5.5.2", False),
        ("5.6.1", False),
        ("5.7.26", False),
        ("4.1.1", False),
        ("2.0.0", False),
        ("", False),
        ("550", False),
    ],
)
def test_what_is_of_the_address_for_good(status: str, of_the_address: bool) -> None:
    assert is_of_the_address(status) is of_the_address


@pytest.mark.parametrize(
    ("kind", "said"), [("abuse", "complained"), ("opt-out", "unsubscribed"), ("not-spam", None), ("auth-failure", None)]
)
def test_complaints(kind: str, said: str | None) -> None:
    raw = feedback_report(mail(), to="fbl@example.org", recipient="user1@example.com", kind=kind)
    assert facts(raw) == ([] if said is None else [(said, KEY, "user1@example.com", False, kind)])


def test_what_is_no_report_is_told_from_what_is() -> None:
    for raw in (b"", b"\0\xff", mail(), b"Subject: Out of office\n\nBack on Monday", bounce()[:200]):
        assert said_in(raw) is None


def test_the_same_report_has_the_same_id() -> None:
    raw = bounce()
    again = b"Received: from elsewhere\n" + raw
    ids = {one.event_id for found in (said_in(raw), said_in(again), said_in(bounce())) for one in found or ()}
    assert len(ids) == 2


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_reports_never_fail(data: st.DataObject) -> None:
    raw = bytearray(bounce())
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    for one in said_in(bytes(raw)) or ():
        assert len(one.detail.encode()) <= 2_000


def test_nested_without_end_is_no_report() -> None:
    deep = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (number, number) for number in range(3_000)
    )
    assert said_in(deep) is None


class Told:
    """Stands in for the server."""

    def __init__(self) -> None:
        self.feedback: list[feedback_pb2.Feedback] = []
        self.fails: muster.MusterError | None = None

    def __call__(self, said: Sequence[feedback_pb2.Feedback]) -> muster.Reported:
        if self.fails is not None:
            raise self.fails
        self.feedback += said
        return muster.Reported(accepted=len(said))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(params=["maildir", "mbox"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """What lays a mail into a folder, and what opens it."""
    if request.param == "maildir":
        return lambda raw: deliver(tmp_path / "box", raw), lambda: Maildir(tmp_path / "box")

    def add(raw: bytes) -> None:
        box = mailbox.mbox(tmp_path / "box")
        box.add(raw)
        box.close()

    return add, lambda: Mbox(tmp_path / "box")


def test_a_folder_is_read_once(folder: Any, told: Told) -> None:
    add, opened = folder
    for raw in (bounce(), b"From: a@example.com\nSubject: Hi\n\nhello\n", bounce()):
        add(raw)
    assert read_folder(opened(), told) == Read(mails=3, others=1, accepted=2)
    assert read_folder(opened(), told) == Read()
    add(bounce())
    assert read_folder(opened(), told) == Read(mails=1, accepted=1)
    assert len(told.feedback) == 3


def test_what_the_server_does_not_have_is_read_again(folder: Any, told: Told) -> None:
    add, opened = folder
    add(bounce())
    told.fails = muster.Unavailable("gone", mend="later")
    with pytest.raises(muster.Unavailable):
        read_folder(opened(), told)
    told.fails = None
    assert read_folder(opened(), told) == Read(mails=1, accepted=1)


def test_many_are_told_some_at_a_time(told: Told) -> None:
    raw, marked = bounce(), []
    read = tell_all(iter([(raw, lambda: marked.append(1))] * 450), told)
    assert (read.mails, read.accepted, len(marked)) == (450, 450, 450)


def test_a_folder_that_is_none_is_an_error(tmp_path: Path, told: Told) -> None:
    with pytest.raises(OSError):
        read_folder(Maildir(tmp_path / "nowhere"), told)
    with pytest.raises(OSError):
        Mbox(tmp_path / "nowhere")
