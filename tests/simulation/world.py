"""A seeded world: random commands for a real engine, and a receiver that counts what it is handed.

Everything follows from the seed; a failure names the seed and the step.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from core import commands
from core.engine import recover
from core.errors import FailedPrecondition, MusterError, Unavailable
from core.messaging import reading
from core.messaging.definitions import Asap, EmailSource, MessageDefinition, Once, WebhookSource
from core.messaging.desk import Offer
from core.profiles.records import EventRecord, Operation, ProfileChange
from core.storage.faults import Point
from core.storage.store import Store
from core.values import from_micros
from tests.core.project import DAY, HOUR, Project, contents, email
from tests.core.storage.conftest import FailingDisk

IDS: Final = [f"user-{n}" for n in range(14)]
TARGETING: Final = [
    "true",
    'user.plan == "free"',
    'user.age >= 30 && user.plan != "gone"',
    'events["Buy"].size() >= 2',
    'events["Buy"].size() >= 1 && !events["Buy"].exists(e, e.time > now - duration("120h"))',
    'events["Buy"].exists(e, e.amount > 20.0 && e.time > now - duration("72h"))',
    'user.seen < now - duration("48h")',
    'now.getHours() >= 18 && user.plan == "free"',
    'has(user.name) && events["$campaign_delivery"].size() == 0',
    'audiences["listed"] && user.age > 10',
    'audiences["grown"]',
]
CONTENT: Final[list[EmailSource | WebhookSource]] = [
    email(),
    email(subject="Hey {{ user.name }}"),
    email(subject="{{ event.item | default('you') }}", text="{{ user.age + 1 }}"),
    WebhookSource("https://example.com/hook", properties=["name", "age"]),
    WebhookSource("https://example.com/{{ user.name }}", body='{"age": {{ user.age }}}', idempotent=True),
]


class World:
    """An engine, its receiver, and the chance that drives them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.disk = FailingDisk()
        self.project = Project(folder / "project", faults=self.disk, sandbox=self.chance.random() < 0.3)
        self.copies = 0
        self.requests = 0
        self.insert = 0
        self.offers: list[Offer] = []
        self.granted: dict[str, Offer] = {}
        self.settled: Counter[str] = Counter()
        """Keys by how often the receiver may have taken them: sent, or not known."""
        self.allowed_again: set[str] = set()
        self.done: Counter[str] = Counter()
        self.ask(commands.SaveAudience("listed", ids=IDS[:5], create_missing=True))
        self.ask(commands.SaveAudience("grown", expression="user.age > 20"))

    # What happens

    def step(self) -> None:
        """One thing happens, chosen by chance; then all that must always hold is checked."""
        deeds: dict[Callable[[], None], int] = {
            self.ingest: 30,
            self.move: 12,
            self.work: 12,
            self.launch: 5,
            self.operate: 8,
            self.merge: 3,
            self.delete: 2,
            self.save_audience: 2,
            self.change_settings: 2,
            self.repeat: 3,
            self.fail: 3,
            self.checkpoint: 3,
            self.compare: 3,
            self.reopen: 2,
        }
        deed = self.chance.choices(list(deeds), list(deeds.values()))[0]
        self.done[deed.__name__] += 1
        deed()
        self.check()

    def ask(self, command: commands.Command) -> Any:
        """Ask, taking a refusal by the present state for an answer."""
        try:
            return self.project.ask(command)
        except FailedPrecondition:
            return None

    def value(self) -> Any:
        chance = self.chance
        return chance.choice([chance.randrange(60), chance.random() * 50, "text", True, None, ["x", 1], {"deep": [1]}])

    def batch(self) -> commands.Ingest:
        chance = self.chance
        events: list[Any] = []
        for _ in range(chance.randrange(4)):
            self.insert += 1
            offset = chance.choice([0, 0, 0, -HOUR, -5 * DAY, 6 * HOUR, 3 * DAY, 9 * DAY])
            name = chance.choice(["Buy", "Buy", "Visit"])
            properties = {"amount": chance.choice([5.0, 30.0, "much"]), "item": chance.choice(["cup", "pot"])}
            insert_id = str(self.insert if chance.random() < 0.9 else max(1, self.insert - 3))
            events.append(EventRecord(name, chance.choice(IDS), self.project.now + offset, insert_id, properties))
        changes: list[Any] = []
        for _ in range(chance.randrange(4)):
            changes.append(self.change(chance.choice(IDS)))
        return commands.Ingest(events, changes, imported=chance.random() < 0.2)

    def change(self, distinct_id: str) -> ProfileChange:
        chance = self.chance
        kind = chance.randrange(10)
        if kind < 6:
            known = {
                "plan": chance.choice(["free", "paid"]),
                "age": chance.randrange(60),
                "name": chance.choice(["Ann", "Bo", ""]),
                "$email": chance.choice([f"{distinct_id}@example.com", "none"]),
                "seen": from_micros(self.project.now - chance.randrange(5) * DAY),
            }
            names = chance.sample(sorted(known), 2)
            return ProfileChange(distinct_id, Operation.SET, {name: known[name] for name in names})
        if kind == 6:
            return ProfileChange(distinct_id, Operation.UNSET, {}, [chance.choice(["plan", "age", "name", "$email"])])
        if kind == 7:
            return ProfileChange(distinct_id, Operation.ADD, {"age": chance.randrange(-5, 15)})
        if kind == 8:
            return ProfileChange(distinct_id, Operation.APPEND, {"list": self.value()})
        return (
            ProfileChange(distinct_id, Operation.DELETE)
            if chance.random() < 0.2
            else ProfileChange(distinct_id, Operation.SET_ONCE, {"first": self.value()})
        )

    def ingest(self) -> None:
        self.ask(self.batch())

    def move(self) -> None:
        by = self.chance.choice([0, 1, HOUR, 7 * HOUR, DAY, 3 * DAY, 11 * DAY])
        self.ask(commands.MoveClock(self.project.now + by))

    def launch(self) -> None:
        chance = self.chance
        key = f"m{len(self.project.version.messages.all())}"
        scheduled = chance.random() < 0.3
        schedule = Once(self.project.now + chance.choice([0, HOUR, 4 * DAY])) if scheduled else Asap()
        content = chance.choice(CONTENT)
        try:
            self.project.ask(
                commands.CreateMessage(
                    MessageDefinition(
                        key,
                        key,
                        chance.choice(TARGETING),
                        schedule,
                        content,
                        max_recipients=chance.choice([0, 0, 3]),
                        expires_after=chance.choice([0, DAY]),
                    )
                )
            )
            self.ask(commands.LaunchMessage(key, chance.choice(["send", "skip"])))
        except MusterError as error:
            assert error.code in ("TIME_USE_UNKNOWN", "SCHEDULE_IN_PAST"), error

    def operate(self) -> None:
        messages = self.project.version.messages.all()
        if not messages:
            return
        chance, message = self.chance, self.chance.choice(list(messages))
        match chance.randrange(6):
            case 0:
                self.ask(commands.PauseMessages([message.key]))
            case 1:
                self.ask(commands.PauseMessages(None))
            case 2 | 3:
                self.ask(commands.ResumeMessage(message.key, chance.choice([0, 100])))
            case 4 if chance.random() < 0.2:
                self.ask(commands.EndMessage(message.key))
            case _:
                resolution: Any = chance.choice(["offer_again", "mark_sent", "mark_failed"])
                if resolution == "offer_again":
                    ledger = self.project.version.messages.ledger(message.key)
                    self.allow_again(message.key, set(ledger.state("ambiguous")))
                self.ask(commands.ResolveAmbiguous(message.key, [], resolution))

    def allow_again(self, key: str, ordinals: set[int]) -> None:
        """An operator takes it upon himself that some hand-offs may be made twice."""
        self.allowed_again |= {one for one in self.settled if _names(one, key, ordinals, self.project)}

    def merge(self) -> None:
        self.ask(commands.MergeUsers(*self.chance.sample(IDS, 2)))

    def delete(self) -> None:
        distinct_id = self.chance.choice(IDS)
        if self.project.version.users.find(distinct_id) >= 0:
            self.ask(commands.DeleteUser(distinct_id))

    def save_audience(self) -> None:
        chance = self.chance
        if chance.random() < 0.5:
            ids = chance.sample(IDS, chance.randrange(1, 6))
            self.ask(commands.SaveAudience("listed", ids=ids, create_missing=True))
        else:
            self.ask(commands.SaveAudience("grown", expression=f"user.age > {chance.randrange(40)}"))

    def change_settings(self) -> None:
        chance = self.chance
        addresses = [*chance.sample([f"{one}@example.com" for one in IDS], 3), "https://example.com/hook"]
        self.ask(commands.UpdateSettings(sandbox=chance.random() < 0.3, allowed_addresses=addresses))

    def repeat(self) -> None:
        self.requests += 1
        command, request_id = self.batch(), f"r{self.requests}"
        first = self.project.ask(command, request_id)
        before = contents(self.project.version)
        assert self.project.ask(self.batch(), request_id) == first or not first.accepted
        if first.accepted:
            assert contents(self.project.version) == before

    # The receiver

    def work(self) -> None:
        """A worker takes an offer, begins some of it, and says what it knows; or is gone."""
        chance, desk = self.chance, self.project.desk
        if chance.random() < 0.3:
            desk.drain_sandbox()
        offer = desk.offer(chance.choice(["email", "webhook"]), chance.randrange(1, 6))
        if offer is not None:
            self.offers.append(offer)
        for offer in list(self.offers):
            indexes = [index for index in range(len(offer.recipients)) if chance.random() < 0.6]
            for index in desk.begin(offer.batch_id, indexes).result(timeout=60):
                self.hand_off(offer, offer.recipients[index].idempotency_key)
            self.answer(offer)
            match chance.randrange(6):
                case 0:
                    desk.release(offer.batch_id)
                    self.offers.remove(offer)
                case 1:
                    self.lose(offer)

    def hand_off(self, offer: Offer, key: str) -> None:
        """Leave is given: it must never be given for what was, or may have been, sent before."""
        assert key not in self.granted, f"{key} was granted twice at a time"
        assert not self.settled[key] or key in self.allowed_again, f"{key} was handed off again"
        self.granted[key] = offer

    def answer(self, offer: Offer) -> None:
        """Acknowledge some of what began."""
        acks = []
        for key in [key for key, of in self.granted.items() if of is offer]:
            outcome: Any = self.chance.choice(["sent", "sent", "failed", "ambiguous", "not_sent", None])
            if outcome is not None:
                acks.append(commands.Ack(key, outcome))
                del self.granted[key]
                self.settled[key] += outcome in ("sent", "ambiguous") and not self.is_idempotent(offer)
        self.project.desk.acknowledge(acks).result(timeout=60)

    def lose(self, offer: Offer) -> None:
        """The worker is gone."""
        self.project.desk.abandon([offer.batch_id]).result(timeout=60)
        self.offers.remove(offer)
        self.forget(lambda of: of is offer)

    def forget(self, lost: Callable[[Offer], bool]) -> None:
        for key, offer in list(self.granted.items()):
            if lost(offer):
                del self.granted[key]
                self.settled[key] += not self.is_idempotent(offer)

    def is_idempotent(self, offer: Offer) -> bool:
        content = self.project.version.messages.get(offer.message_key).content
        return isinstance(content, WebhookSource) and content.idempotent

    # The disk and the process

    def fail(self) -> None:
        """The disk fails at a commit: nothing changes."""
        before = contents(self.project.version)
        self.disk.fail("log.append", self.chance.choice(list(Point)))
        try:
            self.project.ask(self.batch())
        except Unavailable:
            assert contents(self.project.version) == before
        self.disk._plan.clear()

    def checkpoint(self) -> None:
        self.project.engine.checkpoint()

    def compare(self) -> None:
        """What a crash now would leave is what is known now."""
        self.copies += 1
        folder = self.folder / f"copy-{self.copies}"
        self.project.copy_files(folder)
        with Store.open(folder) as store:
            recovered, _ = recover(store)
        shutil.rmtree(folder)
        assert contents(recovered) == contents(self.project.version)

    def reopen(self) -> None:
        """The process ends, by a crash or in order, and another takes over."""
        if self.chance.random() < 0.5:
            self.project.engine._stopped = "crash: no checkpoint is made"
        self.project.close()
        self.project = Project(self.project.folder, faults=self.disk)
        self.offers.clear()
        self.forget(lambda _: True)

    # What must always hold

    def check(self) -> None:
        version = self.project.version
        for message in version.messages.all():
            report = reading.report(version, message.key)
            counts = report.counts
            parts = counts.held_out + counts.deferred + counts.queued + counts.begun + counts.sent
            parts += counts.failed + counts.ambiguous + sum(users for *_, users in counts.skipped)
            assert report.reconciled, report.problems
            assert counts.selected == parts == sum(users for _, users in report.per_day)
            if message.max_recipients:
                assert counts.selected - sum(users for *_, users in counts.skipped) <= message.max_recipients
            if message.state == "ended":
                assert counts.queued == 0


def _names(idempotency_key: str, message_key: str, ordinals: set[int], project: Project) -> bool:
    _, key, _, ordinal = idempotency_key.split(".")
    return key == message_key and project.version.users.survivor(int(ordinal)) in ordinals
