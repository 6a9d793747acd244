"""What a message is: its words, its schedule, its content, and its place in life."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, fields, replace
from typing import Final, Literal

from core.codec import encode, record
from core.errors import InvalidInput
from core.limits import Throughput, check_percent, check_throughput
from core.messaging.goal import Goal, check_goal
from core.messaging.in_app_source import InAppSource, check_triggers
from core.messaging.push_source import PushSource
from core.messaging.schedules import BY_MATCH, OnSend, Schedule, check_schedule
from core.messaging.schedules import Asap as Asap
from core.messaging.schedules import Once as Once
from core.messaging.translations import EmailTranslation, SmsTranslation
from core.messaging.utm import Utm, check_utm
from core.messaging.windows import QuietHours, SendWindow, check_windows
from core.values import MICROS_PER_SECOND

DEFAULT_EXPIRY: Final = 72 * 3600 * MICROS_PER_SECOND
IN_APP_EXPIRY: Final = 30 * 86_400 * MICROS_PER_SECOND
DEFAULT_WEBHOOK_BATCH: Final = 500
MAX_WEBHOOK_BATCH: Final = 5_000
_KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")

State = Literal["draft", "live", "paused", "ended"]
CarriedName = Literal["email", "webhook", "sms", "push"]
"""A channel that workers carry."""

ChannelName = Literal[CarriedName, "in_app"]


@record("email_source")
@dataclass(frozen=True, slots=True)
class EmailSource:
    """The templates of an e-mail, as written. `from_` and `reply_to` are addresses, not templates."""

    subject: str
    from_: str
    reply_to: str = ""
    preheader: str = ""
    html: str = ""
    text: str = ""
    translations: dict[str, EmailTranslation] = field(default_factory=dict)
    layout: str = ""


@record("webhook_source")
@dataclass(frozen=True, slots=True)
class WebhookSource:
    """A webhook as written: with `body` one request a user, without it batches of users with `properties`."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    properties: list[str] = field(default_factory=list)
    batch_size: int = 0
    idempotent: bool = False


@record("sms_source")
@dataclass(frozen=True, slots=True)
class SmsSource:
    """A text message as written. `from_` is no template; "" leaves the sender to the worker, 0 segments the limit."""

    text: str
    from_: str = ""
    max_segments: int = 0
    translations: dict[str, SmsTranslation] = field(default_factory=dict)


Source = EmailSource | WebhookSource | SmsSource | PushSource | InAppSource
"""A message's content, as written; each kind belongs to one channel."""

CHANNEL_OF: Final[dict[type, ChannelName]] = {
    EmailSource: "email",
    WebhookSource: "webhook",
    SmsSource: "sms",
    PushSource: "push",
    InAppSource: "in_app",
}
"""The channel that each kind of content is for."""


@record("variant")
@dataclass(frozen=True, slots=True)
class Variant:
    """Another content of a message, for a share of its users; the rest get the message's own."""

    key: str
    percent: float
    content: Source


@record("message")
@dataclass(frozen=True, slots=True)
class MessageDefinition:
    """One message. Times and durations are micros; `revision` counts changes and is the etag's ground.

    `control_percent`: of whoever is let through from now on, the share that is held out to compare with.
    `topic` is what one unsubscribes from on its own, "" for none. `once_per_address`: whether it goes to one only of the
    users who share an address; None: as is usual on the channel.
    `divided_at`: the instant at which the groups' shares were last changed after the launch, 0 for never.
    users who share an address; None: as is usual on the channel. `grace`: how late a missed run may fire; 0: as
    `core.messaging.firings.grace` says. `most_per_user`: how many occurrences may reach one user, 0: any number; 1 means
    only those who never had it. `fired_at` is of one-time messages of older releases: when it was sent.
    `campaign` is the key of the campaign whose list names the message; "" outside.
    `throughput`: how many of its hand-offs begin in a second at most; its ramp begins with the launch.
    `send_window`, `quiet_hours`: when it may go out, by the wall clock where each user lives.
    """

    key: str
    title: str
    targeting: str
    schedule: Schedule
    content: Source
    max_recipients: int = 0
    expires_after: int = 0
    state: State = "draft"
    pause_reason: str = ""
    created_at: int = 0
    launched_at: int = 0
    fired_at: int = 0
    paused_at: int = 0
    revision: int = 0
    control_percent: float = 0.0
    topic: str = ""
    once_per_address: bool | None = None
    goal: Goal | None = None
    divided_at: int = 0
    grace: int = 0
    most_per_user: int = 0
    campaign: str = ""
    variants: list[Variant] = field(default_factory=list)
    send_window: SendWindow | None = None
    quiet_hours: QuietHours | None = None
    utm: Utm | None = None
    throughput: Throughput | None = None

    @property
    def channel(self) -> ChannelName:
        """The channel that the content is for."""
        return CHANNEL_OF[type(self.content)]

    @property
    def by_match(self) -> bool:
        """Whether it is sent as users come to match, and not at a time or on a call."""
        return isinstance(self.schedule, BY_MATCH)

    @property
    def on_send(self) -> bool:
        """Whether it is sent on a call alone."""
        return isinstance(self.schedule, OnSend)

    @property
    def expiry(self) -> int:
        """How long, in micros, what was queued may wait before a resume drops it; of in-app messages, before time does."""
        return self.expires_after or (IN_APP_EXPIRY if self.channel == "in_app" else DEFAULT_EXPIRY)

    @property
    def etag(self) -> str:
        """Changes whenever the message does."""
        return hashlib.blake2b(encode(self), digest_size=8).hexdigest()


_EDITABLE_PAUSED: Final = frozenset(
    {
        "variants",
        "title",
        "content",
        "max_recipients",
        "expires_after",
        "control_percent",
        "send_window",
        "quiet_hours",
        "throughput",
        "topic",
        "once_per_address",
        "goal",
        "grace",
        "most_per_user",
        "utm",
    }
)
MAIN: Final = "main"
"""The variant of those who get a message's own content, where it has variants."""
MOST_VARIANTS: Final = 20


def of_variant(definition: MessageDefinition, key: str) -> MessageDefinition:
    """A message as the users of one of its variants get it; MAIN, and "" where it has none, is its own content."""
    contents = {variant.key: variant.content for variant in definition.variants}
    return replace(definition, content=contents.get(key, definition.content), variants=[]) if contents else definition


EDITABLE: Final = {
    "draft": _EDITABLE_PAUSED | {"targeting", "schedule"},
    "paused": _EDITABLE_PAUSED,
    "live": frozenset({"title", "throughput", "goal", "variants"}),
    "ended": frozenset({"title", "goal"}),
}
"""What may be changed in each state. Targeting and schedule are settled by the launch."""


def check_key(key: str, field: str = "message.key") -> None:
    """Refuse a key that is no short lower-case name.

    Raises:
        InvalidInput: INVALID_KEY.
    """
    if not _KEY.match(key):
        raise InvalidInput(
            f"{key!r} is no key" if key else "the key is empty",
            field=field,
            mend="a lower-case letter, then up to 62 lower-case letters, digits, `-` or `_`",
            code="INVALID_KEY",
        )


def check_definition(definition: MessageDefinition) -> None:
    """Refuse a definition whose plain fields are wrong; targeting and templates are checked where they compile.

    Raises:
        InvalidInput: with the field.
    """
    check_key(definition.key)
    if not definition.targeting.strip() and not definition.on_send:
        raise InvalidInput(
            "there is no targeting",
            field="message.targeting",
            mend="write CEL, or `true` for everybody",
            code="NO_TARGETING",
        )
    check_schedule(definition.schedule)
    if type(definition.content) not in CHANNEL_OF:
        raise InvalidInput(
            "there is no content",
            field="message.content",
            mend=f"set one of {', '.join(CHANNEL_OF.values())}",
            code="NO_CONTENT",
        )
    if definition.max_recipients < 0:
        raise InvalidInput(
            "a negative limit", field="message.max_recipients", mend="0 for no limit", code="INVALID_LIMIT"
        )
    if definition.expires_after < 0:
        raise InvalidInput(
            "a negative duration", field="message.expires_after", mend="a positive duration", code="INVALID_DURATION"
        )
    check_percent(definition.control_percent, "message.control_percent")
    if definition.goal is not None:
        check_goal(definition.goal, "message.goal")
    if definition.utm is not None:
        check_utm(definition.utm, definition.channel, "message.utm")
    if definition.grace < 0:
        raise InvalidInput(
            "a negative duration", field="message.grace", mend="a positive duration", code="INVALID_DURATION"
        )
    if definition.most_per_user < 0:
        raise InvalidInput(
            "a negative limit", field="message.most_per_user", mend="0 for no limit", code="INVALID_LIMIT"
        )
    _check_variants(definition)
    if definition.throughput is not None:
        check_throughput(definition.throughput, "message.throughput")
    check_windows(definition.send_window, definition.quiet_hours)
    _check_source(definition.content, "message")


def _check_source(content: Source, field: str) -> None:
    if isinstance(content, InAppSource):
        check_triggers(content, f"{field}.in_app.triggers")
    if isinstance(content, WebhookSource) and not 0 <= content.batch_size <= MAX_WEBHOOK_BATCH:
        raise InvalidInput(
            f"a batch of {content.batch_size}",
            field=f"{field}.webhook.batch_size",
            mend=f"0 to {MAX_WEBHOOK_BATCH}",
            code="INVALID_BATCH_SIZE",
        )


def _check_variants(definition: MessageDefinition) -> None:
    variants = definition.variants
    if len(variants) > MOST_VARIANTS:
        raise InvalidInput(
            f"{len(variants)} variants",
            field="message.variants",
            mend=f"at most {MOST_VARIANTS}",
            code="INVALID_VARIANTS",
        )
    for index, variant in enumerate(variants):
        place = f"message.variants[{index}]"
        check_key(variant.key, f"{place}.key")
        if variant.key == MAIN or variant.key in [other.key for other in variants[:index]]:
            raise InvalidInput(
                f"{variant.key!r} is the name of another variant",
                field=f"{place}.key",
                mend=f"a key of its own; {MAIN!r} is the message's own content",
                code="VARIANT_TWICE",
            )
        check_percent(variant.percent, f"{place}.percent")
        if type(variant.content) is not type(definition.content):
            raise InvalidInput(
                "a variant of another channel",
                field=place,
                mend=f"all contents of a message are of one channel, here {definition.channel}",
                code="VARIANT_CHANNEL",
            )
        _check_source(variant.content, place)
    if sum(variant.percent for variant in variants) > 100:
        raise InvalidInput(
            "the variants' percentages add up to more than 100",
            field="message.variants",
            mend="100 together at most; what is left over gets the message's own content",
            code="INVALID_PERCENT",
        )


def changed(definition: MessageDefinition, changes: dict[str, object]) -> MessageDefinition:
    """The definition with changes a client asked for.

    Raises:
        InvalidInput: UNKNOWN_FIELD, or NOT_EDITABLE for what the state has settled.
    """
    known = {item.name for item in fields(MessageDefinition)}
    for name in changes:
        if name not in known or name == "key":
            raise InvalidInput(
                f"{name!r} cannot be updated",
                field="update_mask",
                mend="one of " + ", ".join(sorted(EDITABLE["draft"])),
                code="UNKNOWN_FIELD",
            )
        if name not in EDITABLE[definition.state]:
            raise InvalidInput(
                f"{name} cannot change while the message is {definition.state}",
                field=f"message.{name}",
                mend="end it and make a new message"
                if name in ("targeting", "schedule")
                else "pause the message first",
                code="NOT_EDITABLE",
            )
    if (
        "content" in changes
        and definition.state != "draft"
        and type(changes["content"]) is not type(definition.content)
    ):
        raise InvalidInput(
            "the channel cannot change after the launch",
            field="message.content",
            mend="make a new message",
            code="NOT_EDITABLE",
        )
    fresh = replace(definition, **changes, revision=definition.revision + 1)  # type: ignore[arg-type]
    check_definition(fresh)
    if definition.state != "draft":
        _refuse_lost_variants(definition, fresh)
    return fresh


def _refuse_lost_variants(present: MessageDefinition, fresh: MessageDefinition) -> None:
    """Once launched, a variant has users: it stays, and its content changes only in a pause."""
    before = {variant.key: variant.content for variant in present.variants}
    now = {variant.key: variant.content for variant in fresh.variants}
    lost = sorted(before.keys() - now.keys())
    if lost or (present.state == "live" and before != now):
        raise InvalidInput(
            f"the variant {lost[0]!r} has users"
            if lost
            else "only percentages of variants can change while it is live",
            field="message.variants",
            mend="give it 0 percent to choose nobody any more" if lost else "pause the message first",
            code="NOT_EDITABLE",
        )
