"""Messages: what is sent to whom, when, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal, TypeAlias, TypedDict

from google.protobuf import field_mask_pb2

from muster import flow as flows
from muster import values
from muster.errors import InvalidInput
from muster.flow import Flow, Rpc
from muster.schedules import ASAP, Schedule, put
from muster.service import Items, Service, Way, answered, listed, new_request_id
from muster.v1 import message_pb2

_SERVICE: Final = "/muster.v1.MessageService"
_CREATE: Final = Rpc(f"{_SERVICE}/CreateMessage", message_pb2.CreateMessageResponse)
_GET: Final = Rpc(f"{_SERVICE}/GetMessage", message_pb2.GetMessageResponse)
_LIST: Final = Rpc(f"{_SERVICE}/ListMessages", message_pb2.ListMessagesResponse)
_UPDATE: Final = Rpc(f"{_SERVICE}/UpdateMessage", message_pb2.UpdateMessageResponse)
_LAUNCH: Final = Rpc(f"{_SERVICE}/LaunchMessage", message_pb2.LaunchMessageResponse)
_SEND: Final = Rpc(f"{_SERVICE}/Send", message_pb2.SendResponse)
_TEST_SEND: Final = Rpc(f"{_SERVICE}/TestSend", message_pb2.TestSendResponse)
_PAUSE: Final = Rpc(f"{_SERVICE}/PauseMessage", message_pb2.PauseMessageResponse)
_RESUME: Final = Rpc(f"{_SERVICE}/ResumeMessage", message_pb2.ResumeMessageResponse)
_END: Final = Rpc(f"{_SERVICE}/EndMessage", message_pb2.EndMessageResponse)
_PREVIEW: Final = Rpc(f"{_SERVICE}/PreviewMessage", message_pb2.PreviewMessageResponse)
_REPORT: Final = Rpc(f"{_SERVICE}/GetReport", message_pb2.GetReportResponse)
_EXPLAIN: Final = Rpc(f"{_SERVICE}/ExplainDelivery", message_pb2.ExplainDeliveryResponse)
_DELIVERIES: Final = Rpc(f"{_SERVICE}/ListDeliveries", message_pb2.ListDeliveriesResponse)
_RESOLVE: Final = Rpc(f"{_SERVICE}/ResolveAmbiguous", message_pb2.ResolveAmbiguousResponse)

# Launching and resuming judge everybody.
LONG: Final = 3600.0


class EmailTranslation(TypedDict, total=False):
    """The texts of an email in another language; what is left out is the content's own."""

    subject: str
    preheader: str
    html: str
    text: str


class SmsTranslation(TypedDict, total=False):
    """The text of a text message in another language."""

    text: str


class InAppTranslation(TypedDict, total=False):
    """The texts of an in-app message in another language; what is left out is the content's own."""

    title: str
    body: str


class PushTranslation(TypedDict, total=False):
    """The texts of a push notification in another language; what is left out is the content's own."""

    title: str
    body: str


Email = TypedDict(
    "Email",
    {
        "subject": str,
        "from": str,
        "reply_to": str,
        "preheader": str,
        "html": str,
        "text": str,
        "translations": Mapping[str, EmailTranslation],
        "layout": str,
    },
    total=False,
)
"""An email's content. All but `from` and `reply_to` are templates; one of `html` and `text` is needed.

`translations` are by BCP 47 tag, such as `de` or `pt-BR`; readers are told apart by `$locale`. `layout` is the key of a
snippet with `{{ content }}` in it, which the HTML stands in.
"""


class Webhook(TypedDict, total=False):
    """A webhook's content: one request a user where `body` is given, otherwise batches of users' `properties`."""

    url: str
    headers: Mapping[str, str]
    body: str
    properties: Sequence[str]
    batch_size: int
    idempotent: bool


Sms = TypedDict(
    "Sms",
    {"text": str, "from": str, "max_segments": int, "translations": Mapping[str, SmsTranslation]},
    total=False,
)
"""A text message's content: `text`, a template, is needed. `translations` as of an email."""


class Button(TypedDict, total=False):
    """A button: `text` and `link`, templates both; without a link it opens what a tap on the message opens."""

    text: str
    link: str


class Push(TypedDict, total=False):
    """A push notification's content: `title` or `body` is needed, or `silent`. Texts, links and data are templates."""

    title: str
    body: str
    image: str
    buttons: Sequence[Button]
    deep_link: str
    silent: bool
    ttl: timedelta
    collapse_key: str
    data: Mapping[str, str]
    badge: int
    sound: str
    translations: Mapping[str, PushTranslation]


class Variant(TypedDict, total=False):
    """Another content of a message, of the same channel, for `percent` of its users; `key` is not "main"."""

    key: str
    percent: float
    email: Email
    webhook: Webhook
    sms: Sms
    push: Push
    in_app: InAppContent


class Utm(TypedDict, total=False):
    """Parameters for the links of an email that lack them; the campaign is the message's key where it is left out."""

    source: str
    medium: str
    campaign: str
    term: str
    content: str


class Goal(TypedDict, total=False):
    """What results count as a conversion: an event, within `window` of the message (7 days by default).

    `condition` is CEL with the event as `e`; `value` names the event's property that is added up as revenue.
    """

    event: str
    condition: str
    window: timedelta
    value: str


Day: TypeAlias = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
SendWindow = TypedDict("SendWindow", {"from": str, "to": str, "days": Sequence[Day]}, total=False)
"""When a message may go out, by the wall clock where each user lives: `from` and `to`, such as "09:00", are needed.

Where `to` is not later than `from`, it closes on the day after. Without `days`, on which it opens, every day.
"""


class DailyRamp(TypedDict):
    """How a throughput grows: `start` a second on the first day, multiplied by `factor` each day."""

    start: int
    factor: float


QuietHours = TypedDict("QuietHours", {"from": str, "to": str})
"""When no message may go out, by the same clock."""


class InAppButton(TypedDict, total=False):
    """A button of an in-app message: `text` and `link` are templates, colours `#RRGGBB` or `#AARRGGBB`."""

    text: str
    link: str
    text_color: str
    background_color: str
    border_color: str


class DisplayTrigger(TypedDict, total=False):
    """Lets an in-app message be shown when the user has such an event; `condition` is CEL with the event as `e`."""

    event: str
    condition: str


class InAppContent(TypedDict, total=False):
    """An in-app message's content: `kind` is needed, and one of title, body and image. Texts and links are templates."""

    kind: Literal["takeover", "mini"]
    title: str
    body: str
    image: str
    buttons: Sequence[InAppButton]
    link: str
    background_color: str
    title_color: str
    body_color: str
    close_color: str
    border_color: str
    image_tint_color: str
    fade_image: bool
    data: Mapping[str, str]
    triggers: Sequence[DisplayTrigger]
    translations: Mapping[str, InAppTranslation]


State: TypeAlias = Literal["draft", "live", "paused", "ended"]
Existing: TypeAlias = Literal["send", "skip"]
Resolution: TypeAlias = Literal["offer_again", "mark_sent", "mark_failed"]

EXISTING: Final = {"send": message_pb2.EXISTING_SEND, "skip": message_pb2.EXISTING_SKIP}
STATES: Final = {
    "draft": message_pb2.MESSAGE_STATE_DRAFT,
    "live": message_pb2.MESSAGE_STATE_LIVE,
    "paused": message_pb2.MESSAGE_STATE_PAUSED,
    "ended": message_pb2.MESSAGE_STATE_ENDED,
}
_DAYS: Final = {
    name.removeprefix("DAY_OF_WEEK_").lower(): number for name, number in message_pb2.DayOfWeek.items() if number
}
_RESOLUTIONS: Final = {
    "offer_again": message_pb2.RESOLUTION_OFFER_AGAIN,
    "mark_sent": message_pb2.RESOLUTION_MARK_SENT,
    "mark_failed": message_pb2.RESOLUTION_MARK_FAILED,
}


class Unchanged(Enum):
    """The type of UNCHANGED."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
"""Leaves a field of a message as it is."""


class Messages(Service[Way]):
    """`client.messages`: drafts, launches and reads messages."""

    @answered
    def create(
        self,
        key: str,
        *,
        targeting: str = "",
        schedule: Schedule = ASAP,
        email: Email | None = None,
        webhook: Webhook | None = None,
        sms: Sms | None = None,
        push: Push | None = None,
        in_app: InAppContent | None = None,
        title: str = "",
        max_recipients: int = 0,
        expires_after: timedelta | None = None,
        control_percent: float = 0.0,
        topic: str = "",
        once_per_address: bool | None = None,
        goal: Goal | None = None,
        most_per_user: int = 0,
        utm: Utm | None = None,
        grace: timedelta | None = None,
        send_window: SendWindow | None = None,
        quiet_hours: QuietHours | None = None,
        variants: Sequence[Variant] = (),
        throughput_per_second: int = 0,
        ramp: DailyRamp | None = None,
        request_id: str = "",
    ) -> Flow[message_pb2.CreateMessageResponse]:
        """Create a draft. The answer holds the message, and warnings of names in its targeting never seen.

        Arguments:
            key: lower-case letters, digits, `-` and `_`, at most 63, starting with a letter.
            targeting: whom it is for, in CEL; may be left empty where the schedule is "on_send".
            schedule: "asap"; the instant, aware, at which it is sent; `muster.Once`, `muster.Recurring` or `muster.WhenMet`; or "on_send".
            email, webhook, sms, push, in_app: its content; one of them.
            title: for people.
            max_recipients: pause instead of selecting more; 0: no limit.
            expires_after: who waits longer, for its time or in the queue, is skipped; None: 72 h, after a resume only.
            control_percent: of those let through, how many are held out to compare with; 0 to 100.
            topic: the key of one that people may unsubscribe from on its own; "": none.
            once_per_address: whether only one of the users who share an address gets it; None: yes, for email and texts.
            goal: what results count as a conversion.
            utm: parameters for the links of an email that lack them, for a site's own analytics.
            most_per_user: how many occurrences may reach one user; 0: any number.
            grace: how late a missed run may fire; None: an hour, or of one sent once `expires_after`.
            send_window, quiet_hours: when it may go out, and when not, where each user lives.
            variants: other contents of the same channel, each for a share of the users; the rest get the message's own.
            throughput_per_second: how many of its hand-offs may begin in any second; 0: no bound of its own.
            ramp: how that grows from day to day, from the launch on.

        Raises:
            AlreadyExists: if the key is taken.
            InvalidInput: for targeting or a template that cannot be used, at `position`, or `line` and `column`.

        Example::

            client.messages.create(
                "welcome",
                targeting='user.plan == "free"',
                email={"from": "Shop <hi@example.com>", "subject": "Hi {{ user.name }}", "text": "Welcome!"},
            )
        """
        message = message_of(
            key,
            targeting=targeting,
            schedule=schedule,
            email=email,
            webhook=webhook,
            sms=sms,
            push=push,
            in_app=in_app,
            title=title,
            max_recipients=max_recipients,
            expires_after=expires_after,
            control_percent=control_percent,
            topic=topic,
            once_per_address=once_per_address,
            goal=goal,
            most_per_user=most_per_user,
            utm=utm,
            grace=grace,
            send_window=send_window,
            quiet_hours=quiet_hours,
            variants=variants,
            throughput_per_second=throughput_per_second,
            ramp=ramp,
        )
        request = message_pb2.CreateMessageRequest(
            project=self._project, request_id=request_id or new_request_id(), message=message
        )
        return (yield from self._ask(_CREATE, request))

    @answered
    def get(self, key: str) -> Flow[message_pb2.Message]:
        """One message.

        Raises:
            NotFound: if there is none of that key.

        Example::

            client.messages.get("welcome").state == message_pb2.MESSAGE_STATE_LIVE
        """
        answer = yield from self._ask(_GET, message_pb2.GetMessageRequest(project=self._project, key=key))
        return answer.message

    @listed
    def list(self, *, state: State | None = None, page_size: int = 0) -> Items[message_pb2.Message]:
        """The messages, by key.

        Arguments:
            state: only those in it.

        Example::

            for message in client.messages.list(state="live"):
                print(message.key, message.targeting)
        """

        def page(token: str) -> Flow[message_pb2.ListMessagesResponse]:
            request = message_pb2.ListMessagesRequest(project=self._project, page_size=page_size, page_token=token)
            if state is not None:
                request.state = choice(state, STATES, "state")
            return self._ask(_LIST, request)

        return Items(message_pb2.Message, flows.pages(page, lambda found: found.messages))

    @answered
    def update(
        self,
        key: str,
        *,
        targeting: str | Unchanged = UNCHANGED,
        schedule: Schedule | Unchanged = UNCHANGED,
        email: Email | Unchanged = UNCHANGED,
        webhook: Webhook | Unchanged = UNCHANGED,
        sms: Sms | Unchanged = UNCHANGED,
        push: Push | Unchanged = UNCHANGED,
        in_app: InAppContent | Unchanged = UNCHANGED,
        title: str | Unchanged = UNCHANGED,
        max_recipients: int | Unchanged = UNCHANGED,
        expires_after: timedelta | Unchanged | None = UNCHANGED,
        control_percent: float | Unchanged = UNCHANGED,
        topic: str | Unchanged = UNCHANGED,
        once_per_address: bool | Unchanged | None = UNCHANGED,
        goal: Goal | Unchanged | None = UNCHANGED,
        most_per_user: int | Unchanged = UNCHANGED,
        utm: Utm | Unchanged | None = UNCHANGED,
        grace: timedelta | Unchanged | None = UNCHANGED,
        send_window: SendWindow | Unchanged | None = UNCHANGED,
        quiet_hours: QuietHours | Unchanged | None = UNCHANGED,
        variants: Sequence[Variant] | Unchanged = UNCHANGED,
        throughput_per_second: int | Unchanged = UNCHANGED,
        ramp: DailyRamp | Unchanged | None = UNCHANGED,
        etag: str = "",
        request_id: str = "",
    ) -> Flow[message_pb2.UpdateMessageResponse]:
        """Change a draft, or a paused message's content and limits; what is not given stays as it is.

        Arguments:
            email, webhook, sms, push, in_app: replace the whole content.
            expires_after: None: back to 72 h.
            utm: None: none.
            goal: None: none. It may change at any time, as it decides nothing.
            grace: None: back to what it is where nothing is said.
            expires_after: None: back to 72 h, after a resume only.
            send_window, quiet_hours: None: none any more.
            variants: all of them; while it is live only their percentages change, and nobody who has one gets another.
            etag: of the message as it was read. "": no check.
            others: as for `create`.

        Raises:
            StaleEtag: if the message has changed since that etag.
            FailedPrecondition: if its state does not allow the change.

        Example::

            message = client.messages.get("welcome")
            client.messages.update("welcome", title="Welcome, 2nd try", etag=message.etag)
        """
        given = {
            "targeting": targeting,
            "schedule": schedule,
            "email": email,
            "webhook": webhook,
            "sms": sms,
            "push": push,
            "in_app": in_app,
            "title": title,
            "max_recipients": max_recipients,
            "expires_after": expires_after,
            "control_percent": control_percent,
            "topic": topic,
            "once_per_address": once_per_address,
            "goal": goal,
            "most_per_user": most_per_user,
            "utm": utm,
            "grace": grace,
            "send_window": send_window,
            "quiet_hours": quiet_hours,
            "variants": variants,
            "throughput_per_second": throughput_per_second,
            "ramp": ramp,
        }
        changes = {name: value for name, value in given.items() if value is not UNCHANGED}
        message = message_of(key, **changes)
        message.etag = etag
        request = message_pb2.UpdateMessageRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            message=message,
            update_mask=field_mask_pb2.FieldMask(paths=list(changes)),
        )
        return (yield from self._ask(_UPDATE, request))

    @answered
    def launch(
        self,
        key: str,
        *,
        existing: Existing | None = None,
        validate_only: bool = False,
        etag: str = "",
        timeout: float = LONG,
        request_id: str = "",
    ) -> Flow[message_pb2.LaunchMessageResponse]:
        """Make a draft live; or only tell how many match and are reachable.

        Arguments:
            existing: what becomes of those who match an "asap" message already: "send" or "skip". Needed there.
            validate_only: change nothing; the answer's `forecast` tells.
            etag: of the message as it was read. "": no check.
            timeout: seconds; everybody is judged.

        Raises:
            FailedPrecondition: if it is no draft.
            InvalidInput: if its targeting cannot be followed as time passes, at `position`.

        Example::

            forecast = client.messages.launch("welcome", validate_only=True).forecast
            print(forecast.reachable, "of", forecast.matching)
        """
        request = message_pb2.LaunchMessageRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            key=key,
            validate_only=validate_only,
            etag=etag,
        )
        if existing is not None:
            request.existing = choice(existing, EXISTING, "existing")
        return (yield from self._ask(_LAUNCH, request, timeout))

    @answered
    def send(
        self,
        key: str,
        distinct_ids: Sequence[str] | str,
        *,
        data: Mapping[str, Any] | None = None,
        request_id: str = "",
    ) -> Flow[Sequence[message_pb2.SentTo]]:
        """Send a live message whose schedule is "on_send", now; what becomes of each user.

        Arguments:
            distinct_ids: to whom: one id, or up to 1,000.
            data: read by the templates as `data`.
            request_id: repeated within 24 hours, it is answered as the first time, and sends nothing. Give one of your
                own where you may call again for the same reason.

        Raises:
            NotFound: for a user that there is not, at `field`.
            InvalidInput: if the templates need more data, at `field`.
            FailedPrecondition: if the message is not live, or not "on_send".

        Example::

            client.messages.send("receipt", "u1", data={"order": "A-17", "total": 12.5}, request_id="receipt-A-17")
        """
        request = message_pb2.SendRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            key=key,
            distinct_ids=_ids(distinct_ids),
        )
        values.write_properties(data or {}, request.data, "data")
        answer = yield from self._ask(_SEND, request)
        return answer.users

    @answered
    def test_send(
        self,
        key: str,
        distinct_ids: Sequence[str] | str,
        *,
        data: Mapping[str, Any] | None = None,
        request_id: str = "",
    ) -> Flow[Sequence[message_pb2.SentTo]]:
        """Send a message of any state to named users as a test: it counts in no report, and waits for no schedule.

        Arguments:
            data: read by the templates as `data`, and laid over the user's latest event where they read `event`.

        Example::

            client.messages.test_send("welcome", "u1")
        """
        request = message_pb2.TestSendRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            key=key,
            distinct_ids=_ids(distinct_ids),
        )
        values.write_properties(data or {}, request.data, "data")
        answer = yield from self._ask(_TEST_SEND, request)
        return answer.users

    @answered
    def pause(self, key: str, *, request_id: str = "") -> Flow[message_pb2.Message]:
        """Stop a live message: nothing of it begins any more.

        Example::

            client.messages.pause("welcome")
        """
        request = message_pb2.PauseMessageRequest(
            project=self._project, request_id=request_id or new_request_id(), key=key
        )
        answer = yield from self._ask(_PAUSE, request)
        return answer.messages[0]

    @answered
    def pause_all(self, *, request_id: str = "") -> Flow[Sequence[message_pb2.Message]]:
        """Stop every live message; those that were.

        Example::

            print([message.key for message in client.messages.pause_all()])
        """
        request = message_pb2.PauseMessageRequest(
            project=self._project, request_id=request_id or new_request_id(), all=True
        )
        answer = yield from self._ask(_PAUSE, request)
        return answer.messages

    @answered
    def resume(
        self, key: str, *, max_recipients: int = 0, timeout: float = LONG, request_id: str = ""
    ) -> Flow[message_pb2.Message]:
        """Judge everybody again and go on.

        Arguments:
            max_recipients: a new limit where it paused at the old one; 0: as it is.
            timeout: seconds.

        Example::

            client.messages.resume("welcome")
        """
        request = message_pb2.ResumeMessageRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            key=key,
            max_recipients=max_recipients,
        )
        answer = yield from self._ask(_RESUME, request, timeout)
        return answer.message

    @answered
    def end(self, key: str, *, request_id: str = "") -> Flow[message_pb2.Message]:
        """End a message for good.

        Example::

            client.messages.end("welcome")
        """
        request = message_pb2.EndMessageRequest(
            project=self._project, request_id=request_id or new_request_id(), key=key
        )
        answer = yield from self._ask(_END, request)
        return answer.message

    @answered
    def preview(
        self, key: str, distinct_id: str, *, locale: str = "", variant: str = ""
    ) -> Flow[message_pb2.PreviewMessageResponse]:
        """The message as one user would read it, and whether they would get it now.

        Arguments:
            locale: as if the user's `$locale` were this BCP 47 tag; "": as it is.
            variant: of the message; "": the one that the user gets.

        Raises:
            NotFound: if there is no such message, user or variant.
            InvalidInput: if there is no such language.

        Example::

            preview = client.messages.preview("welcome", "u1")
            print(preview.rendered.subject, preview.would_send, preview.reason)
        """
        request = message_pb2.PreviewMessageRequest(
            project=self._project, key=key, distinct_id=distinct_id, locale=locale, variant=variant
        )
        return (yield from self._ask(_PREVIEW, request))

    @answered
    def report(self, key: str) -> Flow[message_pb2.GetReportResponse]:
        """Every selected user accounted for, and whether it all adds up.

        Example::

            report = client.messages.report("welcome")
            print(report.counts.selected, report.counts.sent, report.reconciled)
        """
        return (yield from self._ask(_REPORT, message_pb2.GetReportRequest(project=self._project, key=key)))

    @answered
    def explain(
        self, key: str, distinct_id: str, *, at: datetime | None = None
    ) -> Flow[message_pb2.ExplainDeliveryResponse]:
        """Why one user did or did not get the message, gate by gate.

        Arguments:
            at: as it was known then, aware; None: now.

        Raises:
            FailedPrecondition: HISTORY_GONE where that is too long ago, with the earliest time that can be had.

        Example::

            for gate in client.messages.explain("welcome", "u1").gates:
                print(gate.name, gate.passed, gate.detail)
        """
        request = message_pb2.ExplainDeliveryRequest(project=self._project, key=key, distinct_id=distinct_id)
        if at is not None:
            request.at.CopyFrom(values.timestamp(at, "at"))
        return (yield from self._ask(_EXPLAIN, request))

    @listed
    def deliveries(self, key: str = "") -> Items[message_pb2.Delivery]:
        """Every decision with its instant and present state, as a stream.

        Arguments:
            key: of one message; "": all messages.

        Example::

            skipped = [one for one in client.messages.deliveries("welcome") if one.state == "skipped"]
        """
        request = message_pb2.ListDeliveriesRequest(project=self._project, key=key)
        retry = self._transport.connection.retry
        return Items(message_pb2.Delivery, flows.stream(_DELIVERIES, request, retry, lambda part: part.deliveries))

    @answered
    def resolve_ambiguous(
        self, key: str, resolution: Resolution, *, distinct_ids: Sequence[str] = (), request_id: str = ""
    ) -> Flow[int]:
        """An operator's word on hand-offs that began and were never acknowledged; how many were resolved.

        Arguments:
            key: of the message.
            resolution: "offer_again" (may send twice), "mark_sent" or "mark_failed".
            distinct_ids: whose; empty: all ambiguous users of the message.

        Example::

            client.messages.resolve_ambiguous("welcome", "mark_sent")
        """
        request = message_pb2.ResolveAmbiguousRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            key=key,
            distinct_ids=distinct_ids,
            resolution=choice(resolution, _RESOLUTIONS, "resolution"),
        )
        answer = yield from self._ask(_RESOLVE, request)
        return answer.resolved


def message_of(key: str, **fields: Any) -> message_pb2.Message:
    """A message of the fields given; None is the protocol's unset.

    Raises:
        InvalidInput: for a field of the wrong kind, named.
    """
    schedule, expires_after = fields.pop("schedule", None), fields.pop("expires_after", None)
    grace = fields.pop("grace", None)
    window = fields.pop("send_window", None)
    if window is not None:
        days = [choice(one, _DAYS, "send_window.days") for one in window.get("days", ())]
        fields["send_window"] = {**window, "days": days}
    fields = _of_kind(fields)
    if isinstance(fields.get("variants"), Sequence):
        fields["variants"] = [_of_kind(one) if isinstance(one, Mapping) else one for one in fields["variants"]]
    try:
        message = message_pb2.Message(key=key, **fields)
    except (TypeError, ValueError) as error:
        raise InvalidInput(str(error), field="message", mend="see Messages.create", code="VALUE_TYPE") from error
    put(schedule, message)
    if grace is not None:
        message.grace.CopyFrom(values.duration(grace))
    if expires_after is not None:
        message.expires_after.CopyFrom(values.duration(expires_after))
    return message


def _of_kind(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Contents with the kind of an in-app message in the protocol's word for it."""
    found = dict(contents)
    content = found.get("in_app")
    if isinstance(content, Mapping) and "kind" in content:
        found["in_app"] = {**content, "kind": f"IN_APP_KIND_{str(content['kind']).upper()}"}
    return found


def _ids(distinct_ids: Sequence[str] | str) -> Sequence[str]:
    return [distinct_ids] if isinstance(distinct_ids, str) else distinct_ids


def choice(word: str, choices: Mapping[str, Any], field: str) -> Any:
    """What a word stands for.

    Raises:
        InvalidInput: CHOICE, where it is none of the choices.
    """
    if word not in choices:
        raise InvalidInput(f"{word!r} is none of the choices", field=field, mend=" or ".join(choices), code="CHOICE")
    return choices[word]
