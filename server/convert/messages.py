"""Message definitions between protobuf and core, and what an update mask changes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from google.protobuf import field_mask_pb2
from muster.v1 import message_pb2

from core.errors import InvalidInput
from core.messaging.definitions import (
    CHANNEL_OF,
    EmailSource,
    MessageDefinition,
    SmsSource,
    Source,
    Variant,
    WebhookSource,
)
from core.messaging.in_app_source import InAppSource
from core.messaging.push_source import PushSource
from core.messaging.translations import EmailTranslation, SmsTranslation
from core.messaging.utm import Utm
from server.convert import in_app, pushes, schedules, throughputs, windows
from server.convert.goals import goal, goal_message
from server.convert.times import duration, duration_micros, timestamp

STATES: Final = {
    "draft": message_pb2.MESSAGE_STATE_DRAFT,
    "live": message_pb2.MESSAGE_STATE_LIVE,
    "paused": message_pb2.MESSAGE_STATE_PAUSED,
    "ended": message_pb2.MESSAGE_STATE_ENDED,
}
"""A message's state in core's words."""

_CONTENTS: Final[tuple[str, ...]] = tuple(CHANNEL_OF.values())
_EDITABLE: Final = (
    "title",
    "targeting",
    *schedules.KINDS,
    *_CONTENTS,
    "max_recipients",
    "expires_after",
    "control_percent",
    "topic",
    "once_per_address",
    "goal",
    "most_per_user",
    "utm",
    "grace",
    "send_window",
    "quiet_hours",
    "variants",
    "throughput_per_second",
    "ramp",
)
_FIELD_OF: Final[dict[str, str]] = {**dict.fromkeys(schedules.KINDS, "schedule"), **dict.fromkeys(_CONTENTS, "content")}
_PART_OF: Final = {"throughput_per_second": "throughput", "ramp": "throughput"}
_ONEOFS: Final = ("schedule", "content")


def definition(message: message_pb2.Message) -> MessageDefinition:
    """What a client asks for; output-only fields are not read.

    Raises:
        InvalidInput: NO_SCHEDULE, NO_CONTENT, TIME_OUT_OF_RANGE, DURATION_OUT_OF_RANGE.
    """
    return MessageDefinition(
        key=message.key,
        title=message.title,
        targeting=message.targeting,
        schedule=schedules.schedule(message),
        content=_content(message, "message"),
        max_recipients=message.max_recipients,
        expires_after=duration_micros(message.expires_after, "message.expires_after")
        if message.HasField("expires_after")
        else 0,
        control_percent=message.control_percent,
        topic=message.topic,
        once_per_address=message.once_per_address if message.HasField("once_per_address") else None,
        goal=goal(message.goal, "message.goal") if message.HasField("goal") else None,
        most_per_user=message.most_per_user,
        utm=_utm(message.utm) if message.HasField("utm") else None,
        grace=duration_micros(message.grace, "message.grace") if message.HasField("grace") else 0,
        send_window=windows.send_window(message),
        quiet_hours=windows.quiet_hours(message),
        variants=[
            Variant(variant.key, variant.percent, _content(variant, f"message.variants[{index}]"))
            for index, variant in enumerate(message.variants)
        ],
        throughput=throughputs.of_message(message),
    )


def _utm(sent: message_pb2.Utm) -> Utm:
    return Utm(sent.source, sent.medium, sent.campaign, sent.term, sent.content)


def _content(message: message_pb2.Message | message_pb2.MessageVariant, field: str) -> Source:
    kind = message.WhichOneof("content")
    if kind == "email":
        email = message.email
        return EmailSource(
            subject=email.subject,
            from_=getattr(email, "from"),
            reply_to=email.reply_to,
            preheader=email.preheader,
            html=email.html,
            text=email.text,
            translations={
                tag: EmailTranslation(one.subject, one.preheader, one.html, one.text)
                for tag, one in email.translations.items()
            },
            layout=email.layout,
        )
    if kind == "webhook":
        webhook = message.webhook
        return WebhookSource(
            url=webhook.url,
            headers=dict(webhook.headers),
            body=webhook.body,
            properties=list(webhook.properties),
            batch_size=webhook.batch_size,
            idempotent=webhook.idempotent,
        )
    if kind == "sms":
        sms = message.sms
        translations = {tag: SmsTranslation(one.text) for tag, one in sms.translations.items()}
        return SmsSource(sms.text, getattr(sms, "from"), sms.max_segments, translations)
    if kind == "in_app":
        return in_app.source(message.in_app, f"{field}.in_app")
    if kind == "push":
        return pushes.source(message.push)
    raise InvalidInput(
        "there is no content",
        field=f"{field}.content",
        mend=f"set one of {', '.join(CHANNEL_OF.values())}",
        code="NO_CONTENT",
    )


def message(found: MessageDefinition) -> message_pb2.Message:
    """A definition as clients see it."""
    made = message_pb2.Message(
        key=found.key,
        title=found.title,
        targeting=found.targeting,
        max_recipients=found.max_recipients,
        most_per_user=found.most_per_user,
        state=STATES[found.state],
        pause_reason=found.pause_reason,
        etag=found.etag,
        control_percent=found.control_percent,
        topic=found.topic,
        once_per_address=found.once_per_address,
        campaign=found.campaign,
    )
    schedules.fill(made, found.schedule)
    for variant in found.variants:
        _lay_content(variant.content, made.variants.add(key=variant.key, percent=variant.percent))
    _lay_content(found.content, made)
    windows.lay_windows(found, made)
    throughputs.lay_throughput(found.throughput, made)
    if found.expires_after:
        made.expires_after.CopyFrom(duration(found.expires_after))
    if found.utm is not None:
        made.utm.CopyFrom(message_pb2.Utm(**asdict(found.utm)))
    if found.goal is not None:
        made.goal.CopyFrom(goal_message(found.goal))
    if found.grace:
        made.grace.CopyFrom(duration(found.grace))
    if found.created_at:
        made.create_time.CopyFrom(timestamp(found.created_at))
    if found.launched_at:
        made.launch_time.CopyFrom(timestamp(found.launched_at))
    return made


def _lay_content(source: Source, made: message_pb2.Message | message_pb2.MessageVariant) -> None:
    if isinstance(source, EmailSource):
        made.email.CopyFrom(
            message_pb2.EmailContent(
                subject=source.subject,
                reply_to=source.reply_to,
                preheader=source.preheader,
                html=source.html,
                text=source.text,
                layout=source.layout,
                translations={
                    tag: message_pb2.EmailTranslation(**asdict(one)) for tag, one in source.translations.items()
                },
                **{"from": source.from_},
            )
        )
    elif isinstance(source, SmsSource):
        made.sms.CopyFrom(
            message_pb2.SmsContent(
                text=source.text,
                max_segments=source.max_segments,
                translations={
                    tag: message_pb2.SmsTranslation(text=one.text) for tag, one in source.translations.items()
                },
                **{"from": source.from_},
            )
        )
    elif isinstance(source, InAppSource):
        made.in_app.CopyFrom(in_app.content(source))
    elif isinstance(source, PushSource):
        made.push.CopyFrom(pushes.content(source))
    else:
        made.webhook.CopyFrom(
            message_pb2.WebhookContent(
                url=source.url,
                headers=source.headers,
                body=source.body,
                properties=source.properties,
                batch_size=source.batch_size,
                idempotent=source.idempotent,
            )
        )


def paths(mask: field_mask_pb2.FieldMask, sent: message_pb2.Message) -> list[str]:
    """The paths to update, checked: those of the mask, or every field that was sent where it is empty.

    `schedule` and `content` stand for whichever of theirs was sent.

    Raises:
        InvalidInput: UNKNOWN_FIELD, with the fields there are; NO_VALUE.
    """
    if not mask.paths:
        return [item.name for item, _ in sent.ListFields() if item.name in _EDITABLE]
    found = []
    for path in mask.paths:
        if path in _ONEOFS:
            kind = sent.WhichOneof(path)
            if kind is None:
                raise InvalidInput(
                    f"the mask names {path}, and none was sent",
                    field=f"message.{path}",
                    mend="send one",
                    code="NO_VALUE",
                )
            path = kind
        top, _, rest = path.partition(".")
        kind = sent.DESCRIPTOR.fields_by_name.get(top)
        inner = kind.message_type if kind is not None else None
        known = top in _EDITABLE and (not rest or (inner is not None and rest in inner.fields_by_name))
        if not known:
            raise InvalidInput(
                f"{path!r} cannot be updated",
                field="update_mask",
                mend=f"paths of {', '.join((*_EDITABLE, *_ONEOFS))}",
                code="UNKNOWN_FIELD",
            )
        found.append(path)
    return found


def changes(present: MessageDefinition, sent: message_pb2.Message, wanted: list[str]) -> dict[str, object]:
    """What an update changes, by field of `MessageDefinition`.

    Arguments:
        present: the message as it is, which fills in what a path such as `email.subject` leaves alone.
        sent: the client's message.
        wanted: checked paths.

    Raises:
        InvalidInput: as `definition`.
    """
    merged = message(present)
    for path in wanted:
        # Another kind of schedule or content replaces the present one as a whole.
        top = path.partition(".")[0]
        if top in _FIELD_OF and merged.WhichOneof(_FIELD_OF[top]) != top:
            merged.ClearField(merged.WhichOneof(_FIELD_OF[top]))
            getattr(merged, top).SetInParent()
    field_mask_pb2.FieldMask(paths=wanted).MergeMessage(
        sent, merged, replace_message_field=True, replace_repeated_field=True
    )
    for path in wanted:
        if path in schedules.KINDS and sent.HasField(path):
            getattr(merged, path).SetInParent()  # a message without fields is lost in a merge
    fresh = definition(merged)
    names = {_FIELD_OF.get(top, top) for path in wanted for top in (path.partition(".")[0],)}
    names = {_FIELD_OF.get(top, _PART_OF.get(top, top)) for top in (path.partition(".")[0] for path in wanted)}
    return {name: getattr(fresh, name) for name in sorted(names)}
