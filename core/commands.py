"""What can be asked of an engine. `Engine.submit` takes one of these and answers after the durable commit.

Times are micros UTC. Each class names what its answer is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from core.codec import record
from core.limits import FrequencyCap, Throughput
from core.messaging.address_index import AddressKind
from core.messaging.campaign_definitions import CampaignDefinition
from core.messaging.definitions import MessageDefinition
from core.messaging.suppressions import Why
from core.profiles.batch import ChangeBatch, EventBatch, Read
from core.profiles.records import EventRecord, ProfileChange, RecordError
from core.values import Value

Outcome = Literal["sent", "failed", "ambiguous", "not_sent"]
FeedbackKind = Literal[
    "delivered",
    "opened",
    "clicked",
    "bounced",
    "complained",
    "unsubscribed",
    "replied",
    "suppressed",
    "token_removed",
    "resubscribed",
    "dismissed",
]


@dataclass(frozen=True, slots=True)
class Ingest:
    """Take events and profile changes, as records or as columns. Answer: IngestResult.

    A RecordError stands for a record that could not be read, so that indexes stay those of the request. An
    import names itself and the offset of its first record in its source.
    """

    events: Sequence[EventRecord | RecordError] | Read[EventBatch, EventRecord]
    changes: Sequence[ProfileChange | RecordError] | Read[ChangeBatch, ProfileChange]
    imported: bool = False
    import_id: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class MergeUsers:
    """Make two ids one user. Answer: whether two users with history became one."""

    distinct_id: str
    other_id: str


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """Delete a user. Answer: None."""

    distinct_id: str


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """Change a project's settings; None leaves one as it is. Answer: Settings.

    `new_link_key`, hexadecimal and by chance, is taken where the project has no key of links, or to rotate it.
    """

    sandbox: bool | None = None
    allowed_addresses: list[str] | None = None
    time_zone: str | None = None
    etag: str = ""
    late_after: int | None = None
    inbox_limit: int | None = None
    holdout_percent: float | None = None
    frequency_caps: list[FrequencyCap] | None = None
    throughput: list[Throughput] | None = None
    links_url: str | None = None
    link_opens: bool | None = None
    link_clicks: bool | None = None
    new_link_key: str = ""
    rotate_link_key: bool = False
    in_app_per_session: int | None = None


@dataclass(frozen=True, slots=True)
class MoveClock:
    """Move a manual clock. Answer: ClockAnswer."""

    to: int


@record("clock_answer")
@dataclass(frozen=True, slots=True)
class ClockAnswer:
    """Where a move of the clock arrived, and the users selected on the way, by message key."""

    now: int
    selected: dict[str, int]


@dataclass(frozen=True, slots=True)
class SaveAudience:
    """Save an audience by expression or by ids. Answer: AudienceDefinition."""

    name: str
    description: str = ""
    expression: str | None = None
    ids: list[str] | None = None
    create_missing: bool = False


@dataclass(frozen=True, slots=True)
class DeleteAudience:
    """Delete an audience that nothing uses. Answer: None."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateMessage:
    """Create a draft. Answer: MessageDefinition."""

    definition: MessageDefinition


@dataclass(frozen=True, slots=True)
class UpdateMessage:
    """Change fields of a message. Answer: MessageDefinition."""

    key: str
    changes: dict[str, object]
    etag: str = ""


@dataclass(frozen=True, slots=True)
class LaunchMessage:
    """Make a draft live. Answer: MessageDefinition."""

    key: str
    existing: Literal["send", "skip"] | None = None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send a message to named users now. Answer: SendAnswer.

    `data` is for its templates. `test`: the message may be in any state, and counts nowhere as itself.
    """

    key: str
    distinct_ids: Sequence[str]
    data: Mapping[str, Value] = field(default_factory=dict)
    test: bool = False


@record("sent_to")
@dataclass(frozen=True, slots=True)
class SentTo:
    """What a call that sends a message made of one user: `queued`, or `skipped` for a reason."""

    distinct_id: str
    state: str
    reason: str
    occurrence: int
    idempotency_key: str


@record("send_answer")
@dataclass(frozen=True, slots=True)
class SendAnswer:
    """What became of each user, in the order they were named in."""

    users: list[SentTo]


@dataclass(frozen=True, slots=True)
class PauseMessages:
    """Pause live messages; None: all. Answer: list of MessageDefinition."""

    keys: list[str] | None


@dataclass(frozen=True, slots=True)
class ResumeMessage:
    """Judge everybody again and go on. Answer: MessageDefinition."""

    key: str
    max_recipients: int = 0


@dataclass(frozen=True, slots=True)
class EndMessage:
    """End a message; what is queued is skipped. Answer: MessageDefinition."""

    key: str


@dataclass(frozen=True, slots=True)
class CreateCampaign:
    """Create a draft. Answer: CampaignDefinition."""

    definition: CampaignDefinition


@dataclass(frozen=True, slots=True)
class UpdateCampaign:
    """Change fields of a campaign. Answer: CampaignDefinition."""

    key: str
    changes: dict[str, object]
    etag: str = ""


@dataclass(frozen=True, slots=True)
class LaunchCampaign:
    """Make a draft live with its messages. Answer: CampaignDefinition.

    `existing` says whether those who match already enter ("send"), or never do ("skip").
    """

    key: str
    existing: Literal["send", "skip"] | None = None
    etag: str = ""


@dataclass(frozen=True, slots=True)
class PauseCampaign:
    """Pause a live campaign with its messages. Answer: CampaignDefinition."""

    key: str


@dataclass(frozen=True, slots=True)
class ResumeCampaign:
    """Let a paused campaign and its messages go on. Answer: CampaignDefinition."""

    key: str


@dataclass(frozen=True, slots=True)
class EndCampaign:
    """End a campaign and its messages. Answer: CampaignDefinition."""

    key: str


@dataclass(frozen=True, slots=True)
class ResolveAmbiguous:
    """An operator's word on ambiguous hand-offs; no ids: all of the message. Answer: how many."""

    key: str
    distinct_ids: list[str]
    resolution: Literal["offer_again", "mark_sent", "mark_failed"]


@dataclass(frozen=True, slots=True)
class Begin:
    """Ask leave to hand off. Answer: the ordinals granted.

    `bases` are those of the hand-offs as they were rendered, by ordinal: whose basis is another by now is not granted
    and stays queued. An ordinal without one is not compared. `paced`: whether throughput bounds hold.
    """

    key: str
    ordinals: list[int]
    bases: Mapping[int, bytes] = field(default_factory=dict)
    occurrence: int = 0
    paced: bool = True


@dataclass(frozen=True, slots=True)
class Skip:
    """Take queued users out, by reason: found while rendering. Answer: None. `bases` as for Begin."""

    key: str
    reasons: dict[str, list[int]]
    bases: Mapping[int, bytes] = field(default_factory=dict)
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class Divert:
    """Lay rendered messages of a sandbox in the inbox instead of handing them off. Answer: how many.

    `bases` as for Begin.
    """

    key: str
    ordinals: list[int]
    entries: list[object] = field(default_factory=list)
    bases: Mapping[int, bytes] = field(default_factory=dict)
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of one hand-off: of which attempt, as the offer told its number.

    `removed_tokens` are device tokens that are nobody's any more, whatever became of the hand-off.
    """

    idempotency_key: str
    outcome: Outcome
    detail: str = ""
    provider_id: str = ""
    attempt: int = 1
    removed_tokens: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Record outcomes. Answer: how many changed something; a repeated one does not."""

    acks: Sequence[Ack]


@dataclass(frozen=True, slots=True)
class Lose:
    """Hand-offs that began and whose worker is gone; None: all that began. Answer: how many.

    Each is named by idempotency key and number of the attempt.
    """

    hand_offs: Sequence[tuple[str, int]] | None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a provider says of a hand-off after it took it, or of an address.

    Arguments:
        kind: what happened.
        idempotency_key: of the hand-off; "" for word about an address alone, such as a reply.
        event_id: tells apart what the same provider says of the same thing: a repeated one changes nothing. "": there
            is one of this kind at most for a hand-off.
        time: when it happened, in micros; None: the project's clock at arrival.
        channel, address: the email address, telephone number or device token that it is about. For a hand-off both
            may be "": the message's channel, and the user's present address.
        permanent: of a bounce: the address takes no mail at all, so nothing is sent to it again.
        detail: in the provider's words, for people.
        url: of a click: where it led.
    """

    kind: FeedbackKind
    idempotency_key: str = ""
    event_id: str = ""
    time: int | None = None
    channel: str = ""
    address: str = ""
    permanent: bool = False
    detail: str = ""
    url: str = ""


InAppAction = Literal["shown", "clicked", "dismissed"]


@dataclass(frozen=True, slots=True)
class InAppReport:
    """What a user did with an in-app message, named by its hand-off's idempotency key. Each means that it was shown.

    `session_id` is the app's name of the session, `link` what a click opened; both may be "".
    """

    idempotency_key: str
    action: InAppAction
    session_id: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class ReportInApp:
    """Take what apps say of in-app messages. Answer: InAppTaken. What was said before changes nothing."""

    reports: Sequence[InAppReport]


@record("in_app_taken")
@dataclass(frozen=True, slots=True)
class InAppTaken:
    """What became of reports: how many were new, were known, or are of no message that the user could be shown."""

    accepted: int
    duplicates: int
    unknown: int


@dataclass(frozen=True, slots=True)
class TakeFeedback:
    """Take what providers say. Answer: FeedbackTaken.

    A RecordError stands for feedback that could not be read, so that indexes stay those of the request.
    """

    feedback: Sequence[Feedback | RecordError]


@record("feedback_taken")
@dataclass(frozen=True, slots=True)
class FeedbackTaken:
    """What became of feedback: how much was taken, was known already, and is of no hand-off or user of the project."""

    accepted: int
    duplicates: int
    unknown: int
    errors: list[RecordError] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SaveTopic:
    """Make a topic, or name it anew. Answer: Topic."""

    key: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class DeleteTopic:
    """Delete a topic that no message uses. Answer: None."""

    key: str


@dataclass(frozen=True, slots=True)
class SaveSnippet:
    """Make a snippet, or change it. Answer: Snippet."""

    key: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class DeleteSnippet:
    """Delete a snippet that no message uses. Answer: None."""

    key: str


@dataclass(frozen=True, slots=True)
class Suppress:
    """Keep addresses from being sent to; `topic` "" is everything. Answer: SuppressAnswer."""

    channel: AddressKind
    addresses: Sequence[str]
    why: Why = "manual"
    topic: str = ""


@record("refused_address")
@dataclass(frozen=True, slots=True)
class RefusedAddress:
    """One that is no address of the channel: its index in the request, and why."""

    index: int
    message: str


@record("suppress_answer")
@dataclass(frozen=True, slots=True)
class SuppressAnswer:
    """How many addresses were suppressed now, how many were so before, and which are none."""

    added: int
    known: int
    refused: list[RefusedAddress] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unsuppress:
    """Let addresses be sent to again; `why` None is whichever. Answer: how many were kept from it."""

    channel: AddressKind
    addresses: Sequence[str]
    why: Why | None = None
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """A person's word to hear no more of a topic, "" being everything. Answer: how many addresses are new to it.

    The person is a user, on one channel or (None) on all where there is an address; or an address of a channel, as a
    text or by its key. `hand_off`: the idempotency key of the hand-off that led to it, "" where none did.
    """

    distinct_id: str = ""
    channel: AddressKind | None = None
    address: str = ""
    topic: str = ""
    address_key: int = 0
    hand_off: str = ""


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """Take an unsubscription back, named as in Unsubscribe. Answer: how many addresses are subscribed again."""

    distinct_id: str = ""
    channel: AddressKind | None = None
    address: str = ""
    topic: str = ""
    address_key: int = 0


Command = (
    Ingest
    | MergeUsers
    | DeleteUser
    | UpdateSettings
    | MoveClock
    | SaveAudience
    | DeleteAudience
    | CreateMessage
    | UpdateMessage
    | LaunchMessage
    | PauseMessages
    | ResumeMessage
    | SendMessage
    | EndMessage
    | CreateCampaign
    | UpdateCampaign
    | LaunchCampaign
    | PauseCampaign
    | ResumeCampaign
    | EndCampaign
    | ResolveAmbiguous
    | Begin
    | Skip
    | Divert
    | Acknowledge
    | Lose
    | TakeFeedback
    | ReportInApp
    | SaveSnippet
    | DeleteSnippet
    | SaveTopic
    | DeleteTopic
    | Suppress
    | Unsuppress
    | Unsubscribe
    | Resubscribe
)
