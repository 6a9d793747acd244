"""A message made ready to judge and to render: parsed targeting, compiled content, gates as expressions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Final, cast

from core.codec import decode, encode
from core.errors import InvalidExpression, InvalidTemplate
from core.evaluator.parse import Parsed, parse
from core.evaluator.time_use import TimeUse, analyse, launch_problems
from core.messaging.definitions import (
    CHANNEL_OF,
    ChannelName,
    EmailSource,
    MessageDefinition,
    SmsSource,
    Source,
    WebhookSource,
)
from core.messaging.in_app_source import InAppSource
from core.messaging.push_source import PushSource
from core.messaging.snippets import whole
from core.messaging.work import View
from core.render import (
    Content,
    check_tags,
    compile_email,
    compile_in_app,
    compile_push,
    compile_sms,
    compile_webhook,
    translated,
)
from core.render.locales import shorter
from core.render.results import InAppColors
from core.snippets import Snippet
from core.values import MICROS_PER_SECOND

_REACHABLE: Final = {
    "email": r'user["$email"].matches("^[^@\\s]+@[^@\\s]+$")',
    "webhook": "true",
    "sms": r'user["$phone"].matches("^\\s*\\+[0-9][0-9 ()./-]{5,30}$")',
    "push": 'user["$android_devices"].size() > 0 || user["$ios_devices"].size() > 0',
    "in_app": "true",
}
"""Who can be reached on a channel, in the targeting language itself; who errs cannot. What only looks like an address
is found out by `core.messaging.addresses` when it is rendered, and skipped for the same reason."""

ADDRESS_PROPERTIES: Final[dict[ChannelName, tuple[str, ...]]] = {
    "email": ("$email",),
    "webhook": (),
    "sms": ("$phone",),
    "push": ("$android_devices", "$ios_devices"),
    "in_app": (),
}
"""The profile properties that hold a user's addresses on a channel."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A message's working parts.

    `needs` maps each property that the content cannot do without to the expression for having it; `reads` names
    every profile property that decides whether an open skip may pass. `variants` are of the message's variants, by key.
    """

    targeting: Parsed
    time_use: TimeUse
    reachable: Parsed
    content: Content
    needs: Mapping[str, Parsed]
    reads: frozenset[str]
    variants: Mapping[str, Compiled] = field(default_factory=dict)

    def of(self, variant: str) -> Compiled:
        """The working parts for the users of a variant; of any name it has not, the message's own."""
        return self.variants.get(variant, self)

    @property
    def all(self) -> tuple[Compiled, ...]:
        """The message's own working parts, then those of each variant."""
        return (self, *self.variants.values())

    @property
    def reads_of_all(self) -> frozenset[str]:
        """What is read for any of the variants."""
        return frozenset().union(*(one.reads for one in self.all))

    @property
    def everything(self) -> bool:
        """Whether any property at all may change the answer."""
        return self.targeting.properties is None


def compile_content(source: Source) -> Content:
    """Compile a message's content, its translations included.

    Raises:
        InvalidTemplate: with the field, as `message.email.subject` or `message.email.translations['de'].subject`.
    """
    base = _compiled(source, f"message.{CHANNEL_OF[type(source)]}")
    if isinstance(source, WebhookSource) or not source.translations:
        return base
    field = f"message.{CHANNEL_OF[type(source)]}.translations"
    check_tags(source.translations, field)
    by_tag = {}
    for tag in source.translations:
        written: dict[str, str] = {}
        for nearer in reversed([one for one in shorter(tag) if one in source.translations]):
            written |= {name: text for name, text in asdict(source.translations[nearer]).items() if text}
        language = cast(Source, replace(source, **written))  # type: ignore[arg-type]
        by_tag[tag] = _compiled(language, f"{field}[{tag!r}]")
    return translated(base, by_tag)  # type: ignore[arg-type]  # what has translations is no webhook


def _compiled(source: Source, field: str) -> Content:
    if isinstance(source, EmailSource):
        return compile_email(
            subject=source.subject,
            from_=source.from_,
            reply_to=source.reply_to or None,
            preheader=source.preheader or None,
            html=source.html or None,
            text=source.text or None,
            field=field,
        )
    if isinstance(source, SmsSource):
        return compile_sms(text=source.text, from_=source.from_, max_segments=source.max_segments, field=field)
    if isinstance(source, PushSource):
        return compile_push(
            title=source.title,
            body=source.body,
            image=source.image,
            buttons=[(button.text, button.link) for button in source.buttons],
            deep_link=source.deep_link,
            silent=source.silent,
            ttl=-(-source.ttl // MICROS_PER_SECOND),
            collapse_key=source.collapse_key,
            data=source.data,
            badge=source.badge,
            sound=source.sound,
            field=field,
        )
    if isinstance(source, InAppSource):
        return _compile_in_app(source, field)
    return compile_webhook(
        url=source.url,
        headers=source.headers,
        body=source.body or None,
        properties=tuple(source.properties) if source.properties or not source.body else None,
        field=field,
    )


def _compile_in_app(source: InAppSource, field: str) -> Content:
    return compile_in_app(
        kind=source.kind,
        title=source.title,
        body=source.body,
        image=source.image,
        link=source.link,
        buttons=[
            (one.text, one.link, InAppColors(one.background_color, border=one.border_color, text=one.text_color))
            for one in source.buttons
        ],
        data=source.data,
        colors=InAppColors(
            source.background_color,
            source.title_color,
            source.body_color,
            source.close_color,
            source.border_color,
            source.image_tint_color,
        ),
        fade_image=source.fade_image,
        field=field,
    )


@lru_cache(maxsize=1024)
def _content(encoded: bytes) -> Content:
    return compile_content(decode(encoded))


def has_value(name: str) -> str:
    """The expression for having a property that is not null."""
    return f"user[{json.dumps(name, ensure_ascii=False)}] != null"


def compile_message(
    view: View, definition: MessageDefinition, snippets: Mapping[str, Snippet] | None = None
) -> Compiled:
    """The working parts of a message against the project's audiences and snippets; parts are cached by their texts.

    Arguments:
        snippets: to compile it with; None: the project's own.

    Raises:
        InvalidExpression, InvalidTemplate: with the field.
    """
    place = view.settings.uid, definition.key
    pieces = view.settings.snippets if snippets is None else snippets
    known = _latest.get(place)
    if known is not None and known[0] is definition and known[1] is pieces:
        return known[2]
    try:
        targeting = view.audiences.parse(definition.targeting if definition.targeting.strip() else "true")
    except InvalidExpression as error:
        error.field = "message.targeting"
        raise
    compiled = _with_variants(targeting, definition, pieces)
    if not targeting.audiences and snippets is None:  # else it is another as soon as one of them is
        if len(_latest) >= _MOST_LATEST:
            _latest.clear()
        _latest[place] = definition, pieces, compiled
    return compiled


_latest: dict[tuple[str, str], tuple[MessageDefinition, Mapping[str, Snippet], Compiled]] = {}
"""By project and key, what a message was last compiled to, and with which snippets: every group of commands asks that of
every live message."""
_MOST_LATEST: Final = 1 << 16


def _with_variants(targeting: Parsed, definition: MessageDefinition, pieces: Mapping[str, Snippet]) -> Compiled:
    field = f"message.{definition.channel}"
    made = _made(targeting, encode(whole(definition.content, pieces, field)), definition.channel)
    if not definition.variants:
        return made
    variants = {}
    for index, variant in enumerate(definition.variants):
        try:
            content = whole(variant.content, pieces, field)
            variants[variant.key] = _made(targeting, encode(content), definition.channel)
        except InvalidTemplate as error:
            error.field = error.field.replace("message.", f"message.variants[{index}].", 1)
            raise
    return replace(made, variants=variants)


@lru_cache(maxsize=1024)
def _made(targeting: Parsed, encoded: bytes, channel: ChannelName) -> Compiled:
    content = _content(encoded)
    return Compiled(
        targeting=targeting,
        time_use=analyse(targeting),
        reachable=parse(_REACHABLE[channel]),
        content=content,
        needs={name: parse(has_value(name)) for name in sorted(content.required)},
        reads=frozenset(content.properties) | frozenset(ADDRESS_PROPERTIES[channel]),
    )


def refuse_unknown_time(compiled: Compiled, definition: MessageDefinition) -> None:
    """Refuse to launch what would have to be judged at every instant.

    Raises:
        InvalidExpression: TIME_USE_UNKNOWN, with the position.
    """
    if not definition.by_match:
        return
    for problem in launch_problems(compiled.targeting):
        problem.field = "message.targeting"
        raise problem


def refuse_event_in_schedule(compiled: Compiled, definition: MessageDefinition) -> None:
    """Refuse a scheduled message that cannot be rendered without the event that caused a match: none does.

    Raises:
        InvalidTemplate: EVENT_WITHOUT_CAUSE.
    """
    if not definition.by_match and any(one.content.requires_event for one in compiled.all):
        raise InvalidTemplate(
            "the content reads `event`, and no event causes a scheduled message",
            field="message.content",
            mend='read profile properties, test it with {% if event %}, or give it a default: | default("…")',
            code="EVENT_WITHOUT_CAUSE",
        )


def refuse_data_without_send(compiled: Compiled, definition: MessageDefinition) -> None:
    """Refuse a message that no call sends and that cannot be rendered without a call's data.

    Raises:
        InvalidTemplate: DATA_WITHOUT_SEND.
    """
    if not definition.on_send and any(one.content.requires_data for one in compiled.all):
        raise InvalidTemplate(
            "the content reads `data`, which only a call that sends the message gives",
            field="message.content",
            mend='set the schedule on_send, or give it a default: | default("…")',
            code="DATA_WITHOUT_SEND",
        )


def listed_audiences(compiled: Compiled) -> frozenset[str]:
    """The saved audiences that the targeting names."""
    return frozenset(compiled.targeting.audiences)
