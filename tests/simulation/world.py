"""A seeded world: random commands for a real engine, and a receiver that counts what it is handed.

Everything follows from the seed; a failure names the seed and the step.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from pyroaring import BitMap

from core import commands
from core.engine import recover
from core.errors import FailedPrecondition, MusterError, Unavailable
from core.limits import FrequencyCap, Throughput
from core.messaging import reading
from core.messaging.address_index import address_key
from core.messaging.campaign_definitions import CampaignDefinition
from core.messaging.compiled import compile_message
from core.messaging.definitions import EmailSource, MessageDefinition, Variant, WebhookSource
from core.messaging.desk import Offer
from core.messaging.effects import DeliveryState
from core.messaging.entry import audience_of
from core.messaging.gates import matching
from core.messaging.in_app import shelf
from core.messaging.in_app_source import InAppSource
from core.messaging.keys import idempotency_key, read_key
from core.messaging.pace import scopes_of
from core.messaging.render import HandOff, render_users
from core.messaging.schedules import Asap, Once, OnSend, Recurring, Schedule, WhenMet
from core.messaging.wall_times import wall_of
from core.messaging.windows import QuietHours, SendWindow
from core.profiles.records import EventRecord, Operation, ProfileChange
from core.storage.faults import Point
from core.storage.store import Store
from core.values import MICROS_PER_SECOND, from_micros
from core.version import Version
from tests.core.project import DAY, HOUR, Project, contents, email
from tests.core.storage.conftest import FailingDisk
from tests.simulation.receiver import HandedOff, Receiver

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
CONTENT: Final[list[EmailSource | WebhookSource | InAppSource]] = [
    email(),
    email(subject="Hey {{ user.name }}"),
    email(subject="{{ event.item | default('you') }}", text="{{ user.age + 1 }}"),
    WebhookSource("https://example.com/hook", properties=["name", "age"]),
    WebhookSource("https://example.com/{{ user.name }}", body='{"age": {{ user.age }}}', idempotent=True),
    InAppSource("mini", body="Hey {{ user.name }}"),
]


ACTIONS: Final[list[commands.InAppAction]] = ["shown", "clicked", "dismissed"]

SHARED: Final = ["all@example.com", "all@EXAMPLE.com"]
"""Spellings of one address that several users have."""


class World:
    """An engine, its receiver, and the chance that drives them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.other_chance = random.Random(seed + 1_000)
        """Of timing alone, so that it can change without changing all else that happens."""
        self.folder = folder
        self.disk = FailingDisk()
        self.project = Project(folder / "project", faults=self.disk, sandbox=self.chance.random() < 0.3)
        self.copies = 0
        self.requests = 0
        self.insert = 0
        self.offers: list[Offer] = []
        self.released: set[int] = set()
        """Offers given back of which something may still be under way."""
        self.receiver = Receiver(self.chance)
        self.fetched: dict[str, str] = {}
        """The ids of in-app messages that apps have fetched, and the message of each."""
        self.inboxed = 0
        self.beyond: Counter[str] = Counter()
        """Messages by how many were sent of whom it was said only after they had been skipped."""
        self.done: Counter[str] = Counter()
        self.paced_at = 0
        """When the project's throughput was last changed: what began by then did so by another."""
        self.ask(commands.SaveAudience("listed", ids=IDS[:5], create_missing=True))
        self.ask(commands.SaveAudience("grown", expression="user.age > 20"))
        self.ask(commands.SaveTopic("news"))
        self.crowded = self.chance.random() < 0.6
        if self.crowded:
            self.ask(commands.Ingest([], [self.whole(one) for one in IDS]))

    # What happens

    def step(self) -> None:
        """One thing happens, chosen by chance; then all that must always hold is checked."""
        deeds: dict[Callable[[], None], int] = {
            self.ingest: 30,
            self.move: 12,
            self.work: 20,
            self.launch: 8,
            self.launch_campaign: 3,
            self.operate_campaign: 3,
            self.operate: 8,
            self.end: 1,
            self.send: 6,
            self.merge: 6,
            self.delete: 4,
            self.speak_late: 6,
            self.speak_amiss: 3,
            self.report_back: 4,
            self.show: 8,
            self.save_audience: 2,
            self.change_settings: 2,
            self.consent: 4,
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

    def whole(self, distinct_id: str) -> ProfileChange:
        """All that most messages ask for."""
        address = self.chance.choice([f"{distinct_id}@example.com", f"{distinct_id}@example.com", SHARED[0]])
        known = {"plan": "free", "age": 30, "name": "Ann", "$email": address}
        return ProfileChange(distinct_id, Operation.SET, known)

    def change(self, distinct_id: str) -> ProfileChange:
        chance = self.chance
        kind = chance.randrange(10)
        if self.crowded and chance.random() < 0.5:
            return self.whole(distinct_id)
        if kind < 6:
            known = {
                "plan": chance.choice(["free", "paid"]),
                "$timezone": chance.choice(["Asia/Tokyo", "America/New_York", "nowhere"]),
                "age": chance.randrange(60),
                "name": chance.choice(["Ann", "Bo", ""]),
                "$email": chance.choice([f"{distinct_id}@example.com", f"{distinct_id}@example.org", "none", *SHARED]),
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
        by = self.chance.choice([0, 1, HOUR, HOUR, 7 * HOUR, DAY, 3 * DAY, 11 * DAY])
        self.ask(commands.MoveClock(self.project.now + by))

    def launch(self) -> None:
        chance = self.chance
        key = f"m{len(self.project.version.messages.all())}"
        schedule = self.schedule()
        content = chance.choice(CONTENT)
        try:
            self.project.ask(
                commands.CreateMessage(
                    MessageDefinition(
                        key,
                        key,
                        chance.choice(TARGETING[:3] if self.crowded and chance.random() < 0.6 else TARGETING),
                        schedule,
                        content,
                        max_recipients=chance.choice([0, 0, 3]),
                        expires_after=chance.choice([0, DAY]),
                        topic=chance.choice(["", "news"]),
                        once_per_address=chance.choice([None, None, False]),
                        **self.timing(),
                    )
                )
            )
            self.ask(commands.LaunchMessage(key, chance.choice(["send", "send", "skip"])))
        except MusterError as error:
            assert error.code in ("TIME_USE_UNKNOWN", "SCHEDULE_IN_PAST"), error

    def launch_campaign(self) -> None:
        """A campaign of a few messages, some of which have variants; of entries of every kind."""
        chance, version = self.chance, self.project.version
        number = len(version.campaigns.all())
        keys = [f"c{number}-{place}" for place in range(chance.randrange(1, 4))]
        try:
            for key in keys:
                content = chance.choice([one for one in CONTENT if not isinstance(one, InAppSource)])
                like = [one for one in CONTENT if type(one) is type(content)]
                variants = [Variant("b", chance.choice([0, 40, 100]), chance.choice(like))]
                made = MessageDefinition(
                    key,
                    key,
                    chance.choice(["true", "true", *TARGETING]),
                    chance.choice([Asap(), Asap(), WhenMet(HOUR), Once(self.project.now + DAY)]),
                    content,
                    variants=chance.choice([[], variants]),
                )
                self.project.ask(commands.CreateMessage(made))
            campaign = CampaignDefinition(
                f"c{number}",
                "",
                chance.choice(["true", *(one for one in TARGETING if "$campaign" not in one)]),
                keys,
                exit=chance.choice(["", "", 'events["Visit"].size() >= 3']),
                control_percent=chance.choice([0.0, 40.0]),
                rate_limit=chance.choice([0, 7 * HOUR]),
            )
            self.project.ask(commands.CreateCampaign(campaign))
            self.ask(commands.LaunchCampaign(campaign.key, chance.choice(["send", "send", "skip"])))
        except MusterError as error:
            assert error.code == "TIME_USE_UNKNOWN", error

    def operate_campaign(self) -> None:
        chance, campaigns = self.chance, list(self.project.version.campaigns.all())
        if not campaigns:
            return
        campaign = chance.choice(campaigns)
        match chance.randrange(6):
            case 0 | 1:
                self.ask(commands.PauseCampaign(campaign.key))
            case 2 | 3:
                self.ask(commands.ResumeCampaign(campaign.key))
            case 4 if chance.random() < 0.4:
                self.ask(commands.EndCampaign(campaign.key))
            case _:
                percent = chance.choice([0.0, 20.0, 80.0])
                if campaign.state != "ended":
                    self.ask(commands.UpdateCampaign(campaign.key, {"control_percent": percent}))

    def schedule(self) -> Schedule:
        """Of any kind; recurring ones run often."""
        chance, now = self.chance, self.project.now
        start = wall_of(now - now % HOUR, "UTC").isoformat()
        kinds: list[Schedule] = [
            *[Asap()] * 5,
            Once(now + chance.choice([0, HOUR, 4 * DAY])),
            Recurring(start, chance.choice(["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TH", "FREQ=DAILY;COUNT=3"]), "user"),
            WhenMet(chance.choice([0, HOUR, 5 * DAY])),
            OnSend(),
        ]
        return chance.choice(kinds)

    def send(self) -> None:
        """A call sends to a few, or tests a message."""
        chance, messages = self.chance, list(self.project.version.messages.all())
        if not messages:
            return
        known = [one for one in IDS if self.project.version.users.find(one) >= 0]
        on_call = [one for one in messages if one.on_send and not one.key.endswith("~test")]
        message = chance.choice(on_call or messages)
        if known and not message.key.endswith("~test"):
            some = chance.sample(known, min(len(known), 3))
            self.ask(commands.SendMessage(message.key, some, {"code": 7}, test=message not in on_call))

    def timing(self) -> dict[str, Any]:
        """When a message may go out, how fast, and who is held out."""
        chance = self.other_chance
        return {
            "control_percent": chance.choice([0.0, 0.0, 30.0]),
            "send_window": chance.choice([None, None, SendWindow(9 * 60, 17 * 60, [1, 3, 5])]),
            "quiet_hours": chance.choice([None, None, QuietHours(22 * 60, 7 * 60)]),
            "throughput": chance.choice([None, None, Throughput(2)]),
        }

    def operate(self) -> None:
        messages = self.project.version.messages.all()
        if not messages:
            return
        chance, message = self.chance, self.chance.choice(list(messages))
        match chance.randrange(7):
            case 0:
                self.ask(commands.PauseMessages([message.key]))
            case 1 if chance.random() < 0.3:
                self.ask(commands.PauseMessages(None))
            case 2 | 3:
                self.ask(commands.ResumeMessage(message.key, chance.choice([0, 100])))
            case 4 if message.state == "paused":
                like = [one for one in CONTENT if type(one) is type(message.content)]
                self.ask(commands.UpdateMessage(message.key, {"content": chance.choice(like)}))
            case _:
                resolution: Any = chance.choice(["offer_again", "offer_again", "mark_sent", "mark_failed"])
                if resolution == "offer_again" and message.state != "ended":
                    self.forgive(message.key)
                self.ask(commands.ResolveAmbiguous(message.key, [], resolution))

    def end(self) -> None:
        """A message ends, best of all in the middle of hand-offs; then workers tell of them."""
        messages = list(self.project.version.messages.all())
        known = self.project.version.messages
        busy = [one for one in messages if any(ledger.state("begun") for _, ledger in known.occurrences(one.key).all())]
        if messages:
            self.ask(commands.EndMessage(self.chance.choice(busy or messages).key))
            self.check()
            self.say(self.receiver.under_way(offer.batch_id for offer in self.offers))

    def forgive(self, key: str) -> None:
        """An operator takes it upon himself that what is ambiguous may be handed off twice."""
        version = self.project.version
        for occurrence, ledger in version.messages.occurrences(key).all():
            for ordinal in ledger.state("ambiguous") & version.population.live:
                for one in self.receiver.of_user(version, ordinal, key, occurrence):
                    one.forgiven = True

    def merge(self) -> None:
        chance, version = self.chance, self.project.version
        pair = chance.sample(IDS, 2)
        if version.messages.all() and chance.random() < 0.5:  # two of one state, best of all in flight
            _, ledger = chance.choice(
                version.messages.occurrences(chance.choice(list(version.messages.all())).key).all()
            )
            states: list[DeliveryState] = ["begun", "begun", "ambiguous", "queued", "sent", "skipped"]
            alike = ledger.state(chance.choice(states)) & version.population.live
            if len(alike) > 1:
                pair = [version.users.name(ordinal) for ordinal in chance.sample(list(alike), 2)]
        self.ask(commands.MergeUsers(*pair))

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
        self.ask(commands.UpdateSettings(sandbox=chance.random() < 0.2, allowed_addresses=addresses))
        chance = self.other_chance
        caps = chance.choice([[], [FrequencyCap(2, 3)], [FrequencyCap(1, 1, "email"), FrequencyCap(3, 7)]])
        self.ask(commands.UpdateSettings(frequency_caps=caps, holdout_percent=chance.choice([0.0, 10.0])))
        self.paced_at = self.project.now
        self.ask(commands.UpdateSettings(throughput=chance.choice([[], [Throughput(3)], [Throughput(1, "email")]])))

    def consent(self) -> None:
        """Somebody unsubscribes, or comes back; a provider's word suppresses an address."""
        chance = self.chance
        address = f"{chance.choice(IDS)}@example.com" if chance.random() < 0.7 else SHARED[0]
        topic = chance.choice(["", "news"])
        match chance.randrange(4):
            case 0:
                self.ask(commands.Unsubscribe(address=address, channel="email", topic=topic))
            case 1:
                self.ask(commands.Suppress("email", [address], chance.choice(["bounced", "complained", "manual"])))
            case 2:
                self.ask(commands.Unsuppress("email", [address]))
            case _:
                self.ask(commands.Resubscribe(address=address, channel="email", topic=topic))

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
            self.look_into_the_inbox()
        offer = desk.offer(chance.choice(["email", "webhook"]), chance.randrange(1, 6))
        if offer is not None:
            self.offers.append(offer)
        for offer in list(self.offers):
            indexes = [index for index in range(len(offer.recipients)) if chance.random() < 0.6]
            for index in desk.begin(offer.batch_id, indexes).result(timeout=60):
                self.hand_off(offer, offer.recipients[index])
            self.say([one for one in self.receiver.under_way([offer.batch_id]) if chance.random() < 0.5])
            match chance.randrange(6):
                case 0:
                    desk.release(offer.batch_id)
                    self.offers.remove(offer)
                    self.released.add(offer.batch_id)
                case 1:
                    desk.abandon([offer.batch_id]).result(timeout=60)
                    self.offers.remove(offer)
                    self.lose([offer.batch_id])

    def hand_off(self, offer: Offer, given: HandOff) -> None:
        """Leave is given: for what would be rendered now, and never for what may have arrived before."""
        version = self.project.version
        definition = version.messages.get(offer.message_key)
        assert definition.state == "live"
        compiled, occurrence = compile_message(version, definition), offer.occurrence
        assert render_users(version, definition, compiled, [given.ordinal], occurrence=occurrence) == [given]
        self.consents(version, definition, given)
        arrived, dropped = self.chance.random() < 0.5, self.drops_repeated(definition)
        key, attempt = given.idempotency_key, given.attempt
        fresh = HandedOff(definition.key, occurrence, key, attempt, offer.batch_id, arrived, dropped)
        self.receiver.take(version, given.ordinal, fresh)

    def consents(self, version: Version, definition: MessageDefinition, given: HandOff) -> None:
        """Leave is given for no address that is not to be sent to, nor for one that another user had the message at."""
        if not given.to:
            return
        key = address_key(version.settings.uid, "email", given.to)
        for (_, why, topic), found in version.consent.suppressions.places():
            assert topic not in ("", definition.topic) or found.since(key) is None, f"{given.to} is {why}"
        if definition.once_per_address is not False and not definition.on_send:
            sharing = [other for other, of in self.address_keys().items() if of == key and other != given.ordinal]
            for _, ledger in version.messages.occurrences(definition.key).all():
                for other in sharing:
                    place = ledger.place(other)
                    assert place is None or place[0] not in ("begun", "sent", "ambiguous"), f"{given.to} had it"

    def drops_repeated(self, definition: MessageDefinition) -> bool:
        """Whether the receiver of a message drops what comes under the same key once more."""
        contents = [definition.content, *(variant.content for variant in definition.variants)]
        urls = {one.url if isinstance(one, WebhookSource) and one.idempotent else "" for one in contents}
        return len(urls) == 1 and urls != {""}

    def look_into_the_inbox(self) -> None:
        """What a sandbox kept counts as handed off and sent."""
        version = self.project.version
        for _, entry in version.messages.inbox.since(self.inboxed):
            ordinal = version.users.find(entry.distinct_id)
            named = read_key(entry.idempotency_key, version.settings.uid)
            assert named is not None
            attempt = version.messages.ledger(entry.message_key, named[1]).attempt(ordinal)
            dropped = self.drops_repeated(version.messages.get(entry.message_key))
            key = entry.idempotency_key
            fresh = HandedOff(entry.message_key, named[1], key, attempt, 0, True, dropped, "sent")
            self.receiver.take(version, ordinal, fresh)
        self.inboxed = version.messages.inbox.end

    def say(self, what: list[HandedOff]) -> None:
        """Tell the engine what became of hand-offs, in one request; somebody may be named twice."""
        acks = []
        for one in what:
            word = self.receiver.word(one)
            acks.append(commands.Ack(one.key, word, attempt=one.attempt))
            if word == "sent" and self._state(one) == "skipped":
                self.beyond[one.message] += 1
            one.said = word
        self.project.desk.acknowledge(acks).result(timeout=60)

    def _state(self, one: HandedOff) -> str:
        return self._state_of(one.key)

    def _state_of(self, text: str) -> str:
        """The state of whoever a hand-off's key names."""
        version = self.project.version
        named = read_key(text, version.settings.uid)
        assert named is not None
        key, occurrence, ordinal = named
        place = version.messages.ledger(key, occurrence).place(version.users.survivor(ordinal))
        return place[0] if place else ""

    def speak_late(self) -> None:
        """Workers say once more, or only now, what became of hand-offs of any time."""
        known = list(self.receiver.all.values())
        self.say(self.chance.sample(known, min(len(known), self.chance.randrange(1, 4))))

    def speak_amiss(self) -> None:
        """Word of attempts that are not under way, other than that they were sent, changes nothing."""
        known = list(self.receiver.all.values())
        if not known:
            return
        one, chance = self.chance.choice(known), self.chance
        outcome: Any = chance.choice(["failed", "ambiguous", "not_sent"])
        foreign = chance.choice([(one.key, one.attempt + 1), ("f0e." + one.key.partition(".")[2], 1), ("", 1)])
        if foreign in self.receiver.all:
            return
        before = contents(self.project.version)
        assert self.project.desk.acknowledge([commands.Ack(foreign[0], outcome, attempt=foreign[1])]).result() == 0
        assert contents(self.project.version) == before

    def report_back(self) -> None:
        """Providers tell of what they took, as often as they like: it is heard once, and what was ambiguous is sent."""
        chance, version = self.chance, self.project.version
        arrived = [one for one in self.receiver.all.values() if one.arrived]
        told: list[commands.Feedback] = []
        for one in chance.sample(arrived, min(len(arrived), chance.randrange(1, 5))):
            kind: Any = chance.choice(["delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"])
            event_id = chance.choice(["", "1", "2"])
            told.append(commands.Feedback(kind, one.key, event_id, permanent=chance.random() < 0.5))
            if self._state(one) == "ambiguous":
                one.said = "sent"
        told.append(commands.Feedback("opened", f"{version.settings.uid}.never.0.0"))
        taken = self.project.ask(commands.TakeFeedback(told))
        assert (taken.unknown, taken.errors) == (1, [])
        assert all(
            self._state(one) != "ambiguous" for one in arrived if one.key in {said.idempotency_key for said in told}
        )
        before = contents(self.project.version)
        again = self.project.ask(commands.TakeFeedback(told))
        assert again.accepted + again.duplicates == len(told) - 1
        assert contents(self.project.version) == before

    def show(self) -> None:
        """Apps fetch, show some of it at once and some only later, and tell of it as often as they like."""
        chance, version = self.chance, self.project.version
        told: list[commands.InAppReport] = []
        for distinct_id in chance.sample(IDS, 4):
            for one in shelf(version, distinct_id, chance.choice(["", "s"])).messages:
                self.fetched[one.id] = one.message_key
                if chance.random() < 0.6 and one.id not in [said.idempotency_key for said in told]:
                    ordinal, action = version.users.find(distinct_id), chance.choice(ACTIONS)
                    told.append(commands.InAppReport(one.id, action, "s"))
                    attempt = version.messages.ledger(one.message_key, one.occurrence).attempt(ordinal)
                    fresh = HandedOff(one.message_key, one.occurrence, one.id, attempt, 0, True, False, "sent")
                    self.receiver.take(version, ordinal, fresh)
        if told:
            taken = self.project.ask(commands.ReportInApp(told))
            assert (taken.accepted, taken.unknown) == (len(told), 0)
        for late in chance.sample(sorted(self.fetched), min(len(self.fetched), chance.randrange(3))):
            named = read_key(late, version.settings.uid)
            if named is None or version.users.survivor(named[2]) not in self.project.version.population.live:
                continue  # what is heard of who is deleted is kept nowhere, and so taken each time
            if self._state_of(late) == "skipped":
                self.beyond[self.fetched[late]] += 1
            told.append(commands.InAppReport(late, chance.choice(ACTIONS)))
        told.append(commands.InAppReport(f"{version.settings.uid}.never.0.0", "shown"))
        self.project.ask(commands.ReportInApp(told))
        before = contents(self.project.version)
        assert self.project.ask(commands.ReportInApp(told)).accepted == 0
        assert contents(self.project.version) == before

    def lose(self, batches: Iterable[int]) -> None:
        """The workers of these offers are gone."""
        for one in self.receiver.under_way(batches):
            one.lost = True

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
        self.released.clear()
        self.lose({one.batch for one in self.receiver.all.values()})

    # What must always hold

    def check(self) -> None:
        version = self.project.version
        self.receiver.follow(version)
        self.project.ask(commands.Lose([]))  # by now the desk has heard the answers to all that was asked before
        for batch in (*(offer.batch_id for offer in self.offers), *self.released):
            assert self.project.desk.owed([batch]) == len(self.receiver.under_way([batch]))
        for message in version.messages.all():
            report = reading.report(version, message.key)
            counts = report.counts
            parts = counts.held_out + counts.deferred + counts.queued + counts.begun + counts.sent
            parts += counts.failed + counts.ambiguous + sum(users for *_, users in counts.skipped)
            assert report.reconciled, report.problems
            assert counts.selected == parts == sum(users for _, users in report.per_day)
            for one in report.occurrences if message.max_recipients and not message.on_send else ():
                most = message.max_recipients + self.beyond[message.key]
                assert one.counts.selected - sum(users for *_, users in one.counts.skipped) <= most
            if isinstance(message.schedule, WhenMet) and message.state == "live":
                self.check_presence(message)
            if message.state == "ended":
                assert counts.queued == counts.deferred == 0
            for occurrence, _ in version.messages.occurrences(message.key).all():
                self.check_people(message.key, occurrence)
            if message.campaign:
                self.check_members(message)
            if message.state == "live" and message.channel == "email":
                self.check_addresses(message)
            self.check_timing(message)

    def check_timing(self, message: MessageDefinition) -> None:
        """Whoever is deferred is so for a reason, and, while the message goes on, until later; nobody is in a hurry."""
        version = self.project.version
        for _, ledger in version.messages.occurrences(message.key).all():
            assert "" not in dict(ledger.reasons("deferred"))
            due = ledger.next_due()
            assert due is None or due > version.now or message.state != "live"
        for scope in scopes_of(version, message, version.now):
            begun = [one for one in version.messages.begun if scope.has(one.key, one.channel)]
            lately = [one.users for one in begun if one.at > max(version.now - MICROS_PER_SECOND, self.paced_at)]
            assert sum(lately) <= scope.most

    def check_members(self, message: MessageDefinition) -> None:
        """A campaign's message selects nobody but its members, and sends to none of them who are held out."""
        version = self.project.version
        membership = version.campaigns.membership(message.campaign)
        assert membership.control.issubset(membership.members) and membership.members.issubset(version.population.live)
        assert not any(users & membership.members for users in membership.left_out.values())
        state = version.campaigns.get(message.campaign).state
        assert message.state != "live" or state == "live"
        for _, ledger in version.messages.occurrences(message.key).all():
            assert (ledger.selected & version.population.live).issubset(membership.members)
            variants = [users for name, users in ledger.groups().items() if name.startswith("variant:")]
            assert sum(map(len, variants)) == len(BitMap.union(*variants)) if variants else True

    def check_addresses(self, message: MessageDefinition) -> None:
        """Nobody waits for an address that no other user has in use."""
        version = self.project.version
        ledgers = [ledger for _, ledger in version.messages.occurrences(message.key).all()]
        waiting = BitMap()
        for ledger in ledgers:
            waiting |= dict(ledger.reasons("skipped")).get("address_in_use", BitMap())
        keys = self.address_keys() if waiting else {}
        for ordinal in waiting:
            others = [other for other, key in keys.items() if key == keys[ordinal] and other != ordinal]
            places = [place for ledger in ledgers for other in others if (place := ledger.place(other)) is not None]
            unsure = [other for ledger in ledgers for other in others if other in ledger.doubtful | ledger.contested]
            assert unsure or any(state not in ("skipped", "failed") for state, _ in places), (
                f"{ordinal} waits for nobody"
            )

    def address_keys(self) -> dict[int, int]:
        """By user, what stands for the present email address."""
        version = self.project.version
        found = {}
        for ordinal in version.population.live:
            address = version.population.profile(ordinal).get("$email")
            if isinstance(address, str):
                found[ordinal] = address_key(version.settings.uid, "email", address)
        return found

    def check_presence(self, message: MessageDefinition) -> None:
        """Of a message sent each time, who is inside matches now, and nobody else does."""
        version = self.project.version
        holding = matching(version, compile_message(version, message).targeting, None, version.now)
        presence = version.messages.occurrences(message.key).presence
        assert presence.inside == holding & audience_of(version, message, version.now)
        assert presence.waiting.issubset(presence.inside)

    def check_people(self, key: str, occurrence: int) -> None:
        """Who waits may be handed off to; who has begun is in somebody's hands; who is said to have it has it."""
        version = self.project.version
        ledger = version.messages.ledger(key, occurrence)
        queued = ledger.state("queued")
        assert queued.issubset(version.population.live - ledger.marked - ledger.contested)
        for ordinal in ledger.state("begun"):
            text = idempotency_key(version.settings.uid, key, ledger.known_as(ordinal), occurrence)
            name = (text, ledger.attempt(ordinal))
            assert self.receiver.all[name].under_way, f"nobody will ever tell what became of {name}"
        for ordinal in version.population.live:
            if any(one.said == "sent" for one in self.receiver.of_user(version, ordinal, key, occurrence)):
                place = ledger.place(ordinal)
                assert place is None or place[0] == "sent" or ordinal in ledger.marked
                assert ordinal in ledger.closed_to
