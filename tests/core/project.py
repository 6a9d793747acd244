"""A project for tests: an engine in a folder of its own, asked in few words, and what a version holds as plain values."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from core import commands
from core.engine import Engine, EngineConfig
from core.messaging import campaign_reading, reading
from core.messaging.campaign_definitions import CampaignDefinition
from core.messaging.definitions import Asap, EmailSource, MessageDefinition, Once, WebhookSource
from core.messaging.desk import Desk
from core.messaging.effects import STATES
from core.profiles import reading as profiles
from core.profiles.records import EventRecord, IngestResult, Operation, ProfileChange
from core.settings import Settings
from core.storage.faults import NO_FAULTS, Faults
from core.version import Version

HOUR: Final = 3600 * 1_000_000
DAY: Final = 24 * HOUR
START: Final = 10_000 * DAY
"""Where manual clocks start: 1997-05-19."""

EMAIL: Final = EmailSource("Hello", "Shop <shop@example.com>", text="Hello")
HOOK: Final = WebhookSource("https://example.com/hook", properties=["name"])
FREE: Final = 'user.plan == "free"'
SMALL: Final = EngineConfig(checkpoint_bytes=1 << 40, checkpoint_seconds=1e9)
"""No checkpoint unless asked for, so that recovery reads the log."""


def email(**fields: str) -> EmailSource:
    """An email with some of its texts replaced."""
    return EmailSource(**{"subject": "Hello", "from_": "Shop <shop@example.com>", "text": "Hello", **fields})


class Project:
    """An engine with a manual clock, live unless told otherwise. Close it, or `crash` it."""

    def __init__(
        self,
        folder: Path,
        *,
        sandbox: bool = False,
        config: EngineConfig = SMALL,
        faults: Faults = NO_FAULTS,
        start: int = START,
        uid: str = "5eed",
    ) -> None:
        self.folder = folder
        self.config = config
        if not folder.exists():
            Engine.create(folder, Settings("test", uid, clock="manual", sandbox=sandbox), start)
        self.engine = Engine.open(folder, clock=_never, config=config, faults=faults)
        self.desk = Desk(self.engine, clock=time.monotonic)

    # Asking

    def ask(self, command: commands.Command, request_id: str = "") -> Any:
        """The answer to a command."""
        return self.engine.submit(command, request_id).result(timeout=60)

    @property
    def version(self) -> Version:
        """The newest version."""
        return self.engine.version

    @property
    def now(self) -> int:
        """The clock, in micros."""
        return self.version.now

    def track(
        self,
        distinct_id: str,
        name: str,
        *,
        at: int | None = None,
        insert_id: str = "",
        imported: bool = False,
        **properties: Any,
    ) -> IngestResult:
        """Store one event."""
        return self.ingest([EventRecord(name, distinct_id, at, insert_id, properties)], imported=imported)

    def ingest(
        self, events: Sequence[Any] = (), changes: Sequence[Any] = (), *, imported: bool = False, request_id: str = ""
    ) -> IngestResult:
        """Ingest a batch."""
        result: IngestResult = self.ask(commands.Ingest(events, changes, imported=imported), request_id)
        return result

    def change(
        self, distinct_id: str, operation: Operation, properties: Mapping[str, Any], *, imported: bool = False
    ) -> IngestResult:
        """Change one profile."""
        return self.ingest([], [ProfileChange(distinct_id, operation, dict(properties))], imported=imported)

    def set(self, distinct_id: str, *, imported: bool = False, **properties: Any) -> IngestResult:
        """Set properties; a name that is no identifier is given as `**{"$email": …}`."""
        return self.change(distinct_id, Operation.SET, properties, imported=imported)

    def unset(self, distinct_id: str, *names: str) -> IngestResult:
        """Remove properties."""
        return self.ingest([], [ProfileChange(distinct_id, Operation.UNSET, {}, list(names))])

    def reach(self, *distinct_ids: str) -> None:
        """Give users an address each."""
        for distinct_id in distinct_ids:
            self.set(distinct_id, **{"$email": f"{distinct_id}@example.com"})

    def reach_many(self, distinct_ids: Sequence[str]) -> None:
        """Give many users an address each, at once."""
        changes = [ProfileChange(one, Operation.SET, {"$email": f"{one}@example.com"}) for one in distinct_ids]
        self.ingest([], changes)

    def merge(self, distinct_id: str, other_id: str) -> bool:
        """Merge users."""
        return bool(self.ask(commands.MergeUsers(distinct_id, other_id)))

    def delete(self, distinct_id: str) -> None:
        """Delete a user."""
        self.ask(commands.DeleteUser(distinct_id))

    def move(self, to: int) -> dict[str, int]:
        """Move the clock."""
        answer: commands.ClockAnswer = self.ask(commands.MoveClock(to))
        return answer.selected

    def message(
        self,
        key: str,
        targeting: str,
        *,
        at: int | None = None,
        content: EmailSource | WebhookSource = EMAIL,
        launch: Literal["send", "skip"] | None = "send",
        **fields: Any,
    ) -> MessageDefinition:
        """Create a message, as soon as possible or `at` an instant, and launch it unless `launch` is None."""
        schedule = fields.pop("schedule", None) or (Asap() if at is None else Once(at))
        created: MessageDefinition = self.ask(
            commands.CreateMessage(MessageDefinition(key, key, targeting, schedule, content, **fields))
        )
        if launch is None:
            return created
        launched: MessageDefinition = self.ask(commands.LaunchMessage(key, launch))
        return launched

    def campaign(
        self,
        key: str,
        entry: str,
        messages: Sequence[str],
        *,
        launch: Literal["send", "skip"] | None = "send",
        **fields: Any,
    ) -> CampaignDefinition:
        """Create a campaign of drafts, and launch it unless `launch` is None."""
        created: CampaignDefinition = self.ask(
            commands.CreateCampaign(CampaignDefinition(key, key, entry, list(messages), **fields))
        )
        if launch is None:
            return created
        launched: CampaignDefinition = self.ask(commands.LaunchCampaign(key, launch))
        return launched

    # Reading

    def entered(self, key: str) -> dict[str, int]:
        """Distinct id to the instant at which the user entered a campaign."""
        ordinals, instants = campaign_reading.entries(self.version, key)
        return dict(zip(self.version.users.names(ordinals), instants.tolist(), strict=True))

    def places(self, key: str) -> dict[str, str]:
        """Distinct id to `state` or `state:reason`, for everybody selected."""
        found: dict[str, str] = {}
        for rows in reading.deliveries(self.version, key):
            found.update((row.distinct_id, f"{row.state}:{row.reason}".rstrip(":")) for row in rows)
        return found

    def instants(self, key: str) -> dict[str, int]:
        """Distinct id to the instant of its selection."""
        return {row.distinct_id: row.decided_at for rows in reading.deliveries(self.version, key) for row in rows}

    def profile(self, distinct_id: str) -> dict[str, Any]:
        """A user's properties."""
        return profiles.profile(self.version, distinct_id).properties

    def state(self, key: str) -> str:
        """A message's state, with why it paused or ended."""
        definition = self.version.messages.get(key)
        return f"{definition.state}:{definition.pause_reason}".rstrip(":")

    def send_all(self, channel: Literal["email", "webhook"] = "email") -> list[str]:
        """Be a worker until nothing is left: the distinct ids sent to, in order."""
        sent: list[str] = []
        while (offer := self.desk.offer(channel, 100)) is not None:
            granted = self.desk.begin(offer.batch_id, range(len(offer.recipients))).result(timeout=60)
            chosen = [offer.recipients[index] for index in granted]
            self.desk.acknowledge([commands.Ack(one.idempotency_key, "sent") for one in chosen]).result(timeout=60)
            sent += [one.distinct_id for one in chosen]
        return sent

    # Ending and beginning again

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def copy_files(self, folder: Path) -> None:
        """Copy what a crash at this instant would leave."""
        shutil.copytree(self.folder, folder)

    def copy(self, folder: Path) -> Project:
        """What a crash at this instant would leave, opened: a project in a copy of the files."""
        self.copy_files(folder)
        return Project(folder, config=self.config)

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _never() -> int:
    raise AssertionError("a project with a manual clock asks for the time")


def live_a_little(project: Project) -> None:
    """A bit of everything."""
    project.reach("a", "b", "c")
    project.message("hi", FREE)
    project.message("sale", "true", at=START + DAY, content=HOOK)
    project.set("a", plan="free", tags=["x", {"deep": [1, 2.5, None, True]}])
    project.track("a", "Visit", at=START + 3 * DAY, page="home")
    project.message("step", "true", content=HOOK, launch=None)
    project.campaign("journey", FREE, ["step"], exit='events["Buy"].size() > 0')
    project.ask(commands.SaveAudience("list", ids=["a", "b"]))
    project.ask(commands.SaveAudience("free", expression=FREE))
    project.merge("a", "alias")
    project.merge("b", "c")
    project.delete("b")
    project.set("b", plan="free")
    project.ask(commands.Ingest([EventRecord("Buy", "d", START - DAY, "1", {})], [], True, "file"))
    project.move(START + 2 * DAY)
    project.send_all()
    project.ask(commands.UpdateSettings(time_zone="Europe/Berlin"))


def contents(version: Version) -> dict[str, Any]:
    """Everything a version holds, as plain values that can be compared."""
    users = {}
    for ordinal in version.population.live:
        users[ordinal] = (
            version.users.ids_of(ordinal),
            version.population.profile(ordinal),
            version.population.timeline(ordinal, 2**62, 1_000_000, False),
        )
    messages = {}
    for definition in version.messages.all():
        ledgers = version.messages.occurrences(definition.key).all()
        places = {
            (number, state, reason): sorted(found)
            for number, ledger in ledgers
            for state in STATES
            for reason, found in ledger.reasons(state)
        }
        decided = sorted(
            (number, int(ordinal), int(instant))
            for number, ledger in ledgers
            for ordinals, instants in ledger.decisions()
            for ordinal, instant in zip(ordinals, instants, strict=True)
        )
        rest = [
            (
                number,
                {ordinal: ledger.cause(ordinal) for ordinal in ledger.state("queued")},
                {ordinal: ledger.known_as(ordinal) for ordinal in ledger.selected},
                sorted(ledger.marked),
                [(due, sorted(users)) for due, users in ledger.dues(2**62)],
                sorted(zip(*(column.tolist() for column in ledger.joined(ledger.selected)), strict=True)),
                {name: sorted(users) for name, users in ledger.groups().items()},
                sorted(ledger.let_through),
                ledger.problems(),
            )
            for number, ledger in ledgers
        ]
        runs = version.messages.occurrences(definition.key).runs.all(definition.key)
        rest.append(version.messages.occurrences(definition.key).presence.contents())
        messages[definition.key] = (definition, places, decided, runs, rest)
    return {
        "now": version.now,
        "settings": version.settings,
        "issued": version.users.issued,
        "users": users,
        "messages": messages,
        "campaigns": {
            definition.key: (
                definition,
                sorted(version.campaigns.membership(definition.key).members),
                sorted(version.campaigns.membership(definition.key).control),
                {reason: sorted(u) for reason, u in version.campaigns.membership(definition.key).left_out.items() if u},
            )
            for definition in version.campaigns.all()
        },
        "inbox": list(version.messages.inbox),
        "imports": dict(version.imports),
        "audiences": [
            (a.name, a.expression, a.members and sorted(a.members)) for a in version.audiences.page("", 1000)
        ],
        "topics": version.consent.topics(),
        "suppressed": {place: found.entries() for place, found in version.consent.suppressions.places()},
        "schema": profiles.schema(version),
    }
