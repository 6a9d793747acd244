"""What a webhook sends: URL, headers and a JSON body, compiled together and rendered together for many users."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import urlsplit

from core.errors import InvalidTemplate
from core.render.batch import RenderBatch
from core.render.columnar import Frame, Texts
from core.render.email_content import reads_of_all
from core.render.environment import RowContext
from core.render.headers import header_value
from core.render.printing import Escape, json_of
from core.render.reads import Reader, Reads
from core.render.results import Missing, RenderedWebhook, RenderError, RenderFailed, RenderRow
from core.render.template import Template, compile_template, render_columns, render_rows

MAX_URL: Final = 8_000
"""Characters of a rendered URL; common servers refuse longer request lines."""

MAX_HEADERS: Final = 32
"""Headers of one's own in a webhook."""

RESERVED_HEADERS: Final = frozenset(
    {
        *("host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer"),
        *("webhook-id", "webhook-timestamp", "webhook-signature", "idempotency-key"),
    }
)
"""Headers that the HTTP client and the signature set themselves, in lower case."""

_ORIGIN: Final = re.compile(r"https?://[^/?#{}\\\s]+(?=[/?#]|$)", re.IGNORECASE)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_NOT_IN_URL: Final = re.compile(r"[^\x21-\x7e]|[\\<>\"^`{|}]")


@dataclass(frozen=True, slots=True)
class WebhookContent(Reader):
    """The compiled templates of a webhook. Either `body` is there or `chosen` names the properties to send."""

    url: Template
    headers: Mapping[str, Template]
    body: Template | None
    chosen: tuple[str, ...]
    reads: Reads

    @property
    def batchable(self) -> bool:
        """Whether URL and headers are the same for everybody, so that one request can carry many users' bodies."""
        return self.url.constant is not None and all(value.constant is not None for value in self.headers.values())

    def render_many(self, rows: Iterable[RenderRow]) -> list[RenderedWebhook | Missing | RenderFailed]:
        """The request for each user, or why there is none, in the order of `rows`."""
        return render_rows(rows, self._render)

    def render_batch(self, batch: RenderBatch) -> list[RenderedWebhook | Missing | RenderFailed]:
        """What `render_many` gives for the rows of a batch, faster."""
        templates = (self.url, *self.headers.values(), *(() if self.body is None else (self.body,)))
        return render_columns(batch, all(one.is_fast for one in templates), self._columns, self._render)

    def _columns(self, frame: Frame) -> list[RenderedWebhook | None]:
        urls = self.url.texts(frame)
        bodies: Texts = self._chosen_bodies(frame) if self.body is None else self.body.texts(frame)
        headers = self._header_rows(frame)
        return [
            None if url is None or body is None or head is None else RenderedWebhook(url, head, body)
            for url, head, body in zip(urls, headers, bodies, strict=True)
        ]

    def _header_rows(self, frame: Frame) -> list[dict[str, str] | None]:
        """The headers of each row, None where one has no text."""
        names, columns = list(self.headers), [value.texts(frame) for value in self.headers.values()]
        found: list[dict[str, str] | None] = []
        for row in zip(*columns, strict=True) if columns else ((),) * frame.size:
            values = [value for value in row if value is not None]
            found.append(dict(zip(names, values, strict=True)) if len(values) == len(names) else None)
        return found

    def _chosen_bodies(self, frame: Frame) -> Texts:
        """What `_chosen_body` gives for each row."""
        found: Texts = []
        for place in range(frame.size):
            try:
                found.append(self._chosen_body(frame.row(place)))
            except RenderError:
                found.append(None)
        return found

    def _render(self, context: RowContext) -> RenderedWebhook:
        return RenderedWebhook(
            url=self.url.render_in(context),
            headers={name: value.render_in(context) for name, value in self.headers.items()},
            body=self.body.render_in(context) if self.body is not None else self._chosen_body(context.row),
        )

    def _chosen_body(self, row: RenderRow) -> str:
        """The JSON of the chosen properties; those that a user lacks are left out."""
        found: dict[str, object] = {
            "distinct_id": row.distinct_id,
            "message": dict(row.message),
            "user": {name: row.user[name] for name in self.chosen if row.user.get(name) is not None},
        }
        if row.event is not None:
            found["event"] = dict(row.event)
        if row.data:
            found["data"] = dict(row.data)
        return json_of(found)


def compile_webhook(
    *,
    url: str,
    body: str | None = None,
    properties: Sequence[str] | None = None,
    headers: Mapping[str, str] | None = None,
    field: str = "webhook",
) -> WebhookContent:
    """Compile a webhook's templates.

    Arguments:
        url: an http or https URL; after its host it may be a template, whose values are percent-encoded whole.
        body: a JSON text as a template. Either this or `properties` is needed.
        properties: names of user properties to send, where no body is written:
            `{"distinct_id": …, "message": {…}, "user": {chosen}, "event": {…}}`, the event only where there is one.
        headers: further headers; values may be templates and must come out as printable ASCII.
        field: the caller's name of the whole, before `.url` and so on in errors.

    Raises:
        InvalidTemplate: with the part's field and mend; URL_INVALID and HEADER_INVALID besides the codes of
            compile_template.
    """
    if (body is None) == (properties is None):
        raise InvalidTemplate(
            "a webhook sends either a body or chosen properties",
            field=f"{field}.body",
            mend="give one of body and properties",
            code="TEMPLATE_EMPTY",
        )
    compiled_url = _compile_url(url, f"{field}.url")
    compiled_headers = _compile_headers(headers or {}, f"{field}.headers")
    compiled_body = compile_template(body, Escape.JSON, field=f"{field}.body") if body is not None else None
    chosen = tuple(dict.fromkeys(properties or ()))
    reads = reads_of_all((compiled_url, *compiled_headers.values(), compiled_body))
    if compiled_body is None:
        reads |= Reads(properties=frozenset(chosen), event=True)
    return WebhookContent(compiled_url, compiled_headers, compiled_body, chosen, reads)


def _compile_url(source: str, field: str) -> Template:
    stripped = source.strip()
    origin = _ORIGIN.match(stripped)
    if origin is None:
        _refuse_url(field, "a URL begins with http:// or https:// and a host, written out and followed by /")
    parts = urlsplit(origin.group())
    try:
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        _refuse_url(field, "the host or port of the URL is not valid")
    if "@" in parts.netloc:
        _refuse_url(field, "a URL with a user name or password: put it into a header")
    return compile_template(stripped, Escape.URL, field=field, finish=_checked_url)


def _checked_url(text: str) -> str:
    """The URL itself. Raises RenderError URL_UNSAFE for what could change where it leads."""
    if len(text) > MAX_URL:
        raise RenderError(f"a URL of more than {MAX_URL} characters", code="URL_UNSAFE")
    if _NOT_IN_URL.search(text):
        raise RenderError(
            "a space, control character or letter outside ASCII in a URL", mend="percent-encode it", code="URL_UNSAFE"
        )
    path = urlsplit(text).path
    if any(segment in (".", "..") for segment in path.replace("%2e", ".").replace("%2E", ".").split("/")):
        raise RenderError("a value of . or .. would lead elsewhere in the path", code="URL_UNSAFE")
    return text


def _refuse_url(field: str, message: str) -> NoReturn:
    raise InvalidTemplate(
        message, field=field, mend="write https://example.com/hook?id={{ user.id }}", code="URL_INVALID"
    )


def _compile_headers(headers: Mapping[str, str], field: str) -> dict[str, Template]:
    if len(headers) > MAX_HEADERS:
        raise InvalidTemplate(
            f"{len(headers)} headers", field=field, mend=f"at most {MAX_HEADERS}", code="HEADER_INVALID"
        )
    compiled: dict[str, Template] = {}
    seen: set[str] = set()
    for name, source in headers.items():
        place = f"{field}[{name!r}]"
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidTemplate(
                "no name of a header", field=place, mend="use letters, digits and -", code="HEADER_INVALID"
            )
        if name.lower() in RESERVED_HEADERS or name.lower() in seen:
            raise InvalidTemplate(
                f"the header {name} is set already", field=place, mend="take another name", code="HEADER_INVALID"
            )
        seen.add(name.lower())
        compiled[name] = compile_template(source, Escape.TEXT, field=place, finish=header_value)
    return compiled
