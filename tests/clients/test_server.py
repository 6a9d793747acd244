"""Promises against the real server: every method works; an import survives kill -9; a worker delivers over a restart;
the pytest fixture gives a server with a clock and an inbox; the documented examples run."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import muster
import pytest
from muster import values
from muster.testing import ServerProcess, TestServer, start_server
from muster.testing.plugin import START
from muster.v1 import audience_pb2, delivery_pb2, message_pb2
from muster.worker import Worker

MAIL: Any = {"from": "Shop <hi@example.com>", "subject": "Hi {{ user.name }}", "text": "Welcome!"}
PATIENT = muster.Retry(attempts=1_000, first_wait=0.05, longest_wait=0.2)
README = Path(__file__).parents[2] / "clients" / "python" / "README.md"


def users(client: muster.Client, count: int) -> None:
    for number in range(count):
        client.update(f"u{number}", set={"n": number, "name": f"User {number}", "$email": f"u{number}@example.com"})
        client.track("Purchase", f"u{number}", {"amount": 1.5 * number})
    assert client.flush(20)


def test_profiles(muster_server: TestServer) -> None:
    client = muster_server.client
    users(client, 5)
    profile = client.profiles.get("u3")
    assert values.to_python(profile.properties) == {"n": 3, "name": "User 3", "$email": "u3@example.com"}
    assert [one.distinct_id for one in client.profiles.list("user.n >= 2", limit=2, page_size=1)] == ["u2", "u3"]
    (event,) = client.profiles.events("u3", names=["Purchase"])
    assert values.to_python(event.properties) == {"amount": 4.5}
    assert values.to_datetime(event.time) == START
    assert [(event.name, event.count) for event in client.profiles.schema().events] == [("Purchase", 5)]
    client.profiles.delete("u3")
    with pytest.raises(muster.NotFound):
        client.profiles.get("u3")


def test_every_operation_of_an_update(muster_server: TestServer) -> None:
    client = muster_server.client
    client.update("u1", set={"n": 1, "tags": ["a"], "m": {"x": 1}, "gone": 1})
    client.update(
        "u1",
        set_once={"n": 9, "first": "yes"},
        add={"n": 2},
        append={"list": "one"},
        union={"tags": ["a", "b"]},
        remove={"tags": "a"},
        unset=["gone"],
        merge={"m": {"y": 2}},
    )
    client.flush()
    found = values.to_python(client.profiles.get("u1").properties)
    assert found == {"n": 3, "first": "yes", "list": ["one"], "tags": ["b"], "m": {"x": 1, "y": 2}}


def test_audiences(muster_server: TestServer) -> None:
    client = muster_server.client
    users(client, 20)
    answer = client.audiences.count("user.n >= params.least", params={"least": 15}, explain=True)
    assert (answer.count, answer.total, len(answer.leaves)) == (5, 20, 1)
    assert list(client.audiences.select("user.n >= 17")) == ["u17", "u18", "u19"]
    assert list(client.audiences.select("true", limit=2)) == ["u0", "u1"]
    assert list(client.audiences.ordinals("user.n >= 17")) == [17, 18, 19]
    assert len(client.audiences.bitmap("user.n >= 17")) > 0
    assert client.audiences.explain("user.n > 3", "u5").explanation.verdict == audience_pb2.VERDICT_MATCHES
    client.audiences.save("high", "user.n >= 15", description="the best")
    client.audiences.save("two", ids=["u1", "new"], create_missing=True)
    assert [audience.name for audience in client.audiences.list(page_size=1)] == ["high", "two"]
    assert client.audiences.count('audiences["high"] || audiences["two"]').count == 7
    assert client.audiences.get("two").listed == 2
    client.audiences.delete("two")
    with pytest.raises(muster.NotFound):
        client.audiences.get("two")
    with pytest.raises(muster.InvalidInput) as caught:
        client.audiences.count("user.n >>= 1")
    assert caught.value.position == 8


def test_messages(muster_server: TestServer) -> None:
    client = muster_server.client
    users(client, 6)
    client.update("nobody", set={"n": 5})
    client.flush()
    created = client.messages.create("welcome", targeting="user.n >= 3", email=MAIL, title="Welcome")
    with pytest.raises(muster.AlreadyExists):
        client.messages.create("welcome", targeting="true", email=MAIL)
    updated = client.messages.update("welcome", title="Hi", max_recipients=100, etag=created.message.etag).message
    assert (updated.title, updated.max_recipients, updated.targeting) == ("Hi", 100, "user.n >= 3")
    with pytest.raises(muster.StaleEtag):
        client.messages.update("welcome", title="Late", etag=created.message.etag)
    forecast = client.messages.launch("welcome", existing="send", validate_only=True).forecast
    assert (forecast.matching, forecast.reachable) == (4, 3)
    assert client.messages.launch("welcome", existing="send").message.state == message_pb2.MESSAGE_STATE_LIVE
    preview = client.messages.preview("welcome", "u4")
    assert preview.rendered.subject == "Hi User 4"
    report = client.messages.report("welcome")
    assert report.reconciled and report.counts.selected == 4
    assert client.messages.explain("welcome", "u1").state == "none"
    assert {one.distinct_id for one in client.messages.deliveries("welcome")} == {"u3", "u4", "u5", "nobody"}
    assert {mail.subject for mail in muster_server.inbox("welcome")} == {"Hi User 3", "Hi User 4", "Hi User 5"}
    assert client.messages.pause("welcome").state == message_pb2.MESSAGE_STATE_PAUSED
    assert client.messages.resume("welcome").state == message_pb2.MESSAGE_STATE_LIVE
    assert [one.key for one in client.messages.pause_all()] == ["welcome"]
    assert client.messages.resolve_ambiguous("welcome", "mark_sent") == 0
    assert client.messages.end("welcome").state == message_pb2.MESSAGE_STATE_ENDED
    assert [one.key for one in client.messages.list(state="ended")] == ["welcome"]
    assert list(client.messages.list(state="draft")) == []


def test_a_scheduled_message_waits_for_its_instant(muster_server: TestServer) -> None:
    client = muster_server.client
    users(client, 3)
    client.messages.create(
        "later", targeting="true", email=MAIL, schedule=START + timedelta(days=1), expires_after=timedelta(hours=5)
    )
    client.messages.launch("later")
    muster_server.move_clock(timedelta(hours=23))
    assert muster_server.inbox() == []
    assert muster_server.move_clock(timedelta(hours=1)) == START + timedelta(days=1) == muster_server.now
    assert len(muster_server.inbox("later", "u1")) == 1


def test_projects(muster_server: TestServer, tmp_path: Path) -> None:
    client = muster_server.client
    name = f"other-{uuid.uuid4().hex[:8]}"
    made = client.projects.create(
        name,
        time_zone="Europe/Paris",
        allowed_addresses=["me@example.com"],
        late_after=timedelta(hours=1),
        inbox_limit=500,
    )
    assert (made.sandbox, made.time_zone, made.late_after.seconds) == (True, "Europe/Paris", 3600)
    assert made.inbox_limit == 500 and client.projects.update(name, inbox_limit=9, etag=made.etag).inbox_limit == 9
    made = client.projects.get(name)
    changed = client.projects.update(name, allowed_addresses=[], time_zone="UTC", etag=made.etag)
    assert (list(changed.allowed_addresses), changed.time_zone) == ([], "UTC")
    with pytest.raises(muster.StaleEtag):
        client.projects.update(name, sandbox=False, etag=made.etag)
    assert {name, muster_server.project} <= {project.name for project in client.projects.list()}
    with pytest.raises(muster.FailedPrecondition):
        client.projects.move_clock(datetime.now(UTC) + timedelta(days=1), project=name)
    assert client.projects.backup(str(tmp_path / "copy")).bytes > 0
    with pytest.raises(muster.NotFound):
        client.projects.get("nothing-of-the-kind")


def test_merging_users(muster_server: TestServer) -> None:
    client = muster_server.client
    users(client, 2)
    assert client.merge_users("u0", "u1")
    assert not client.merge_users("u0", "u1")
    profile = client.profiles.get("u1")
    assert sorted(profile.distinct_ids) == ["u0", "u1"]
    assert values.to_python(profile.properties)["n"] == 0


def test_bad_records_come_back_by_place(muster_server: TestServer) -> None:
    client = muster_server.client
    written = client.track_many(
        [muster.event("A", "u1"), muster.event("A", ""), muster.event("A", "u2", {"x": float("nan")})]
    )
    assert (written.accepted, [one.offset for one in written.rejected]) == (1, [1, 2])
    assert written.rejected[1].error.field == "properties.x"
    done = client.import_records([*muster.update("u1", set={"a": 1}), muster.event("", "u1"), muster.event("B", "u1")])
    assert (done.accepted, [one.offset for one in done.rejected]) == (2, [1])


def test_an_import_survives_kill_9(tmp_path: Path) -> None:
    server = start_server(tmp_path / "store")
    servers, killed = [server], threading.Event()
    start = datetime(2025, 1, 1, tzinfo=UTC)

    def records() -> Iterator[muster.Record]:
        for number in range(20_000):
            yield muster.event("A", f"u{number % 50}", {"n": number}, time=start + timedelta(seconds=number))

    def restart() -> None:
        servers[-1].kill()
        servers.append(start_server(tmp_path / "store", listen=server.target))

    def kill(at: muster.Imported) -> None:
        if at.offset >= 5_000 and not killed.is_set():
            killed.set()
            thread = threading.Thread(target=restart)
            threads.append(thread)
            thread.start()

    threads: list[threading.Thread] = []
    try:
        with muster.Client(server.target, project="shop", retry=PATIENT) as client:
            client.projects.create("shop", clock="manual", start_time=START)
            done = client.import_records(records(), import_id="x", batch=500, progress=kill)
            threads[0].join()
            assert done.offset == 20_000 and done.reconnects > 0
            assert done.accepted + done.unreported == 20_000
            assert done.duplicates == 0
            assert client.projects.get().events == 20_000
    finally:
        servers[-1].stop()


async def test_a_worker_delivers_over_a_restart_and_nobody_twice(tmp_path: Path) -> None:
    server = await asyncio.to_thread(start_server, tmp_path / "store")
    servers = [server]
    sent: list[str] = []
    try:
        async with muster.AsyncClient(server.target, project="shop", retry=PATIENT) as client:
            await client.projects.create("shop", clock="manual", start_time=START, live=True)
            people = [muster.update(f"u{n}", set={"name": "x", "$email": f"u{n}@example.com"}) for n in range(600)]
            await client.update_many([change for changes in people for change in changes])
            await client.messages.create("welcome", targeting="true", email=MAIL)
            await client.messages.launch("welcome", existing="send")

            async def restart() -> None:
                while len(sent) < 200:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(server.kill)
                servers.append(await asyncio.to_thread(start_server, tmp_path / "store", listen=server.target))

            async def work(worker: Worker) -> None:
                async for batch in worker.batches():
                    for start in range(0, len(batch.recipients), 20):
                        for index in await batch.begin(range(start, min(start + 20, len(batch.recipients)))):
                            key = batch.recipients[index].idempotency_key
                            await asyncio.sleep(0.001)
                            sent.append(key)
                            await batch.acknowledge(key, delivery_pb2.OUTCOME_SENT, "250 ok")

            async with Worker(server.target, channel="email", credit=100, retry=PATIENT) as worker:
                working, restarting = asyncio.create_task(work(worker)), asyncio.create_task(restart())
                await restarting
                while (counts := (await client.messages.report("welcome")).counts).queued or counts.begun:
                    await asyncio.sleep(0.02)
            await working
            report = await client.messages.report("welcome")
        assert len(sent) == len(set(sent))
        counts = report.counts
        assert report.reconciled
        assert counts.selected == 600
        assert counts.sent == len(sent), "late acknowledgements settle what had begun before the kill"
        assert counts.sent + counts.ambiguous == 600
        assert counts.ambiguous <= 20, "only leave whose answer was lost is unknown"
    finally:
        await asyncio.to_thread(servers[-1].stop)


async def test_feedback_is_told_and_counted(muster_server: TestServer) -> None:
    client = muster_server.client
    client.projects.update(sandbox=False)
    client.update("u1", set={"$email": "u1@example.com"})
    client.flush()
    client.messages.create("welcome", targeting="true", email=MAIL | {"text": "Hi", "subject": "Hi"})
    client.messages.launch("welcome", existing="send")
    async with Worker(muster_server.target, channel="email", project=muster_server.project) as worker:
        async for batch in worker.batches():
            key = batch.recipients[0].idempotency_key
            await batch.begin([0])
            await batch.acknowledge(key, delivery_pb2.OUTCOME_SENT)
            break
    told = [
        muster.feedback("delivered", key, time=datetime(1998, 1, 1, tzinfo=UTC)),
        muster.feedback("opened", key, event_id="1"),
        muster.feedback("opened", "nobody's"),
        muster.feedback("replied", channel="sms", address="+4915112345678"),
    ]
    async with muster.AsyncClient(muster_server.target, project=muster_server.project) as other:
        first = await other.feedback.report(told)
    assert (first.accepted, first.duplicates, first.unknown) == (2, 0, 1)
    assert [(one.offset, one.error.code) for one in first.rejected] == [(3, "EVENT_ID_MISSING")]
    again = client.feedback.report(told)
    assert (again.accepted, again.duplicates, again.unknown) == (0, 2, 1)
    names = [event.name for event in client.profiles.events("u1")]
    assert sorted(names) == ["$campaign_delivered", "$campaign_delivery", "$campaign_open"]


def test_feedback_that_there_is_not_is_refused_before_it_is_sent() -> None:
    for wrong in ({"kind": "read"}, {"kind": "opened", "channel": "fax"}, {"kind": "opened", "detail": 7}):
        with pytest.raises(muster.InvalidInput):
            muster.feedback(**wrong)  # type: ignore[arg-type]
    assert len(muster.feedback("opened", detail="ä" * 2_000).detail.encode()) == 2_000


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(muster.Unavailable) as caught:
        start_server(tmp_path / "store", options=["--no-such-option"])
    assert caught.value.code == "SERVER_NOT_STARTED"
    assert "no-such-option" in str(caught.value)


def test_a_second_server_on_the_store_is_refused(muster_server_process: ServerProcess) -> None:
    with pytest.raises(muster.Unavailable, match="did not start"):
        start_server(muster_server_process.store)


def test_each_test_has_a_project_of_its_own(muster_server: TestServer) -> None:
    assert muster_server.client.projects.get().profiles == 0
    assert muster_server.now == START


def test_the_fixture_is_there_for_other_suites(tmp_path: Path) -> None:
    (code,) = blocks(inspect.getdoc(muster.testing) or "")
    (tmp_path / "test_shop.py").write_text(code, "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def blocks(text: str) -> list[str]:
    """The code blocks after `::`."""
    found = re.findall(r"::\n\n((?:(?: {4,}.*)?\n?)+)", text + "\n")
    return [textwrap.dedent(block) for block in found]


def examples() -> Iterator[Any]:
    client = muster.Client()
    parts: list[tuple[str, Any]] = [("client", muster.Client)]
    parts += [
        (name, type(getattr(client, name))) for name in ("profiles", "audiences", "messages", "projects", "feedback")
    ]
    for part, cls in parts:
        for name in dir(cls):
            text = "" if name.startswith("_") else inspect.getdoc(getattr(cls, name)) or ""
            for code in blocks(text.partition("Example")[2]):
                yield pytest.param(name, code, id=f"{part}.{name}")


@pytest.mark.parametrize(("name", "code"), list(examples()))
def test_the_example_of_each_method_runs(muster_server: TestServer, tmp_path: Path, name: str, code: str) -> None:
    client = muster_server.client
    client.update("u1", set={"plan": "free", "seats": 7, "name": "Ada", "spent": 2000.0, "$email": "ada@example.com"})
    client.update("u2", set={"plan": "pro", "seats": 2, "name": "Bob", "spent": 10.0, "$email": "bob@example.com"})
    client.track("Purchase", "u1", {"amount": 9.9})
    client.audiences.save("whales", "user.spent > 1000.0")
    if name != "create":
        client.messages.create("welcome", targeting='user.plan == "free"', email=MAIL)
    if name in ("pause", "pause_all", "resume", "end", "report", "deliveries", "resolve_ambiguous", "inbox"):
        client.messages.launch("welcome", existing="send")
    if name == "resume":
        client.messages.pause("welcome")
    if name == "send":
        receipt = {**MAIL, "text": "{{ data.order }}: {{ data.total }}"}
        client.messages.create("receipt", schedule="on_send", email=receipt)  # type: ignore[typeddict-item]
        client.messages.launch("receipt")
    client.flush()
    if "shop" in code:
        shop = f"shop-{uuid.uuid4().hex[:8]}"
        if name != "create":
            client.projects.create(shop)
        code = code.replace('"shop"', f'"{shop}"')
    moment = datetime(1998, 5, 1, tzinfo=UTC)
    names = {
        "client": client,
        "muster": muster,
        "key": "5eed.welcome.0.0",
        "datetime": datetime,
        "UTC": UTC,
        "message_pb2": message_pb2,
        "rows": [SimpleNamespace(customer="u1", amount=1.0, time=moment)],
    }
    code = code.replace("/var/backups/shop-monday", str(tmp_path / "copy")).replace("1998, 7, 1", "2027, 7, 1")
    exec(compile(code, f"the example of {name}", "exec"), names)


def test_the_readmes_examples_run(muster_server: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = muster_server.client
    users(client, 3)
    target, project = muster_server.target, muster_server.project
    code = "\n".join(re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL))
    assert code
    code = code.replace('"127.0.0.1:7171"', repr(target)).replace('"shop"', repr(project))
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
