"""First stage: a template's text is read once, `${User name}` becomes `user["User name"]`, and positions are kept.

Jinja remembers only the line of what it parses. So every token inside a tag is put on a line of its own before
Jinja sees it, and a table leads each of those lines back to a place in the author's text: every later error, even
at rendering, then knows its line and column. Text outside of tags is passed on unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from core.errors import InvalidTemplate
from core.render import liquid
from core.render.limits import MAX_EXPRESSION_DEPTH, MAX_NUMBER_DIGITS, MAX_SOURCE, MAX_TAG_TOKENS

ALLOWED_TAGS: Final = ("for", "endfor", "if", "elif", "else", "endif", "set")
"""Tags that may stand in `{% … %}`, besides `raw`, which is handled here."""

_NEWLINES: Final = re.compile(r"\r\n|\r")
_OPENING: Final = re.compile(r"\{\{[-+]?|\{%[-+]?|\{#")
_RAW: Final = re.compile(r"\{%[-+]?\s*raw\s*-?%\}")
_END_RAW: Final = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_SPACE: Final = re.compile(r"\s+")
_STRING: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_PROPERTY: Final = re.compile(r"\$\{([^{}\n]*)\}")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_DIGITS: Final = re.compile(r"\d+")
_NAME: Final = re.compile(r"[^\W\d]\w*")
_OPERATOR: Final = re.compile(r"//|\*\*|==|!=|<=|>=|[-+*/%~\[\](){}<>=.:|,;]")
_BRACKETS: Final = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Scanned:
    """A template ready for Jinja's parser, and the way back to the author's text.

    Arguments:
        text: what Jinja parses.
        offsets: for each line of `text`, the offset in `source` that it stands for.
        source: the author's text with `\\n` line ends.
        field: the caller's name of the template, for errors.
    """

    text: str
    offsets: tuple[int, ...]
    source: str
    field: str

    def refuse(self, parsed_line: int, message: str, *, mend: str = "", code: str = "TEMPLATE_NOT_ALLOWED") -> NoReturn:
        """Raise InvalidTemplate for what stands on a line of `text` (counted from 1, as Jinja does)."""
        line = min(max(parsed_line, 1), len(self.offsets))
        refuse_at(self.source, self.offsets[line - 1], message, field=self.field, mend=mend, code=code)


def refuse_at(source: str, offset: int, message: str, *, field: str, mend: str = "", code: str) -> NoReturn:
    """Raise InvalidTemplate with the line and column (both from 1) of an offset in the author's text."""
    line = source.count("\n", 0, offset) + 1
    column = offset - (source.rfind("\n", 0, offset) + 1) + 1
    raise InvalidTemplate(
        f"line {line}, column {column}: {message}", line=line, column=column, field=field, mend=mend, code=code
    )


def scan(source: str, *, field: str) -> Scanned:
    """Read a template's text up to what Jinja's parser needs.

    Arguments:
        source: the template as its author wrote it.
        field: the caller's name of it, such as `email.subject`.

    Raises:
        InvalidTemplate: TEMPLATE_TOO_LARGE, TEMPLATE_SYNTAX, TEMPLATE_NOT_ALLOWED or TEMPLATE_TOO_COMPLEX.
    """
    if len(source) > MAX_SOURCE:
        raise InvalidTemplate(
            f"a template of {len(source)} characters",
            field=field,
            mend=f"write at most {MAX_SOURCE} characters",
            code="TEMPLATE_TOO_LARGE",
        )
    surrogate = next((index for index, char in enumerate(source) if "\ud800" <= char <= "\udfff"), -1)
    if surrogate >= 0:
        refuse_at(
            source,
            surrogate,
            "half of a surrogate pair is no character",
            field=field,
            mend="send valid UTF-8",
            code="TEMPLATE_SYNTAX",
        )
    return _Scanner(_NEWLINES.sub("\n", source), field).run()


class _Scanner:
    """The state of one pass over a template."""

    def __init__(self, source: str, field: str) -> None:
        self.source = source
        self.field = field
        self.parts: list[str] = []
        self.offsets = [0]

    def run(self) -> Scanned:
        source = self.source
        position = 0
        while (opening := _OPENING.search(source, position)) is not None:
            start = opening.start()
            self._copy(position, start)
            if opening.group().startswith("{#"):
                end = source.find("#}", opening.end())
                if end < 0:
                    self._refuse(start, "this {# is never closed", mend="close the comment with #}")
                position = end + 2
                self._copy(start, position)
            elif (raw := _RAW.match(source, start)) is not None:
                closing = _END_RAW.search(source, raw.end())
                if closing is None:
                    self._refuse(start, "this {% raw %} is never closed", mend="close it with {% endraw %}")
                position = closing.end()
                self._copy(start, position)
            else:
                position = self._tag(opening)
        self._copy(position, len(source))
        return Scanned("".join(self.parts), tuple(self.offsets), source, self.field)

    def _refuse(self, offset: int, message: str, *, mend: str = "", code: str = "TEMPLATE_SYNTAX") -> NoReturn:
        refuse_at(self.source, offset, message, field=self.field, mend=mend, code=code)

    def _copy(self, start: int, end: int) -> None:
        """Pass on text as it stands."""
        text = self.source[start:end]
        self.parts.append(text)
        at = text.find("\n")
        while at >= 0:
            self.offsets.append(start + at + 1)
            at = text.find("\n", at + 1)

    def _emit(self, token: str, offset: int) -> None:
        """Put a token on a line of its own; a string that goes over lines keeps pointing at its beginning."""
        self.parts.append("\n" + token)
        self.offsets.extend([offset] * (1 + token.count("\n")))

    def _tag(self, opening: re.Match[str]) -> int:
        """Rewrite one `{{ … }}` or `{% … %}`; returns the offset after it."""
        source = self.source
        sign = opening.group()
        position = opening.end()
        self.parts.append(sign)
        closing = re.compile(r"-?\}\}" if sign.startswith("{{") else r"[-+]?%\}")
        brackets: list[str] = []
        tokens: list[str] = []
        while position < len(source):
            space = _SPACE.match(source, position)
            if space is not None:
                position = space.end()
                continue
            end = closing.match(source, position) if not brackets else None
            if end is not None:
                self._emit(end.group(), position)
                return end.end()
            if len(tokens) >= MAX_TAG_TOKENS:
                self._refuse(
                    opening.start(),
                    f"more than {MAX_TAG_TOKENS} words and signs in one tag",
                    mend="split the expression with {% set … %}",
                    code="TEMPLATE_TOO_COMPLEX",
                )
            position = self._token(position, tokens, brackets, in_block=sign.startswith("{%"))
        mend = "close it with }}" if sign.startswith("{{") else "close it with %}"
        self._refuse(opening.start(), f"this {sign[:2]} is never closed", mend=mend)

    def _token(self, position: int, tokens: list[str], brackets: list[str], *, in_block: bool) -> int:
        """Rewrite the token at `position`; returns the offset after it."""
        source = self.source
        before = tokens[-1] if tokens else ""
        if (match := _PROPERTY.match(source, position)) is not None:
            name = match.group(1).strip()
            if not name:
                self._refuse(position, "${} names no property", mend="write ${User name}")
            quoted = name.replace("\\", "\\\\").replace('"', '\\"')
            self._emit(f'user["{quoted}"]', position)
        elif (match := _STRING.match(source, position)) is not None:
            self._emit(match.group(), position)
        elif (match := (_DIGITS if before == "." else _NUMBER).match(source, position)) is not None:
            if len(match.group()) > MAX_NUMBER_DIGITS:
                self._refuse(position, "a number longer than 64 bits", mend=f"at most {MAX_NUMBER_DIGITS} characters")
            self._emit(match.group(), position)
        elif (match := _NAME.match(source, position)) is not None:
            if in_block and not tokens:
                self._check_tag_name(match.group(), position)
            self._emit(match.group(), position)
        elif (match := _OPERATOR.match(source, position)) is not None:
            self._operator(match.group(), position, tokens, brackets)
            self._emit(match.group(), position)
        else:
            self._refuse_character(position)
        tokens.append(match.group())
        return match.end()

    def _check_tag_name(self, name: str, position: int) -> None:
        if name in ALLOWED_TAGS:
            return
        if name in liquid.TAGS:
            self._refuse(position, f"{{% {name} %}} is Liquid", mend=f"in Jinja: {liquid.TAGS[name]}")
        allowed = ", ".join((*ALLOWED_TAGS, "raw"))
        self._refuse(
            position, f"{{% {name} %}} is not allowed", mend=f"the tags are {allowed}", code="TEMPLATE_NOT_ALLOWED"
        )

    def _operator(self, sign: str, position: int, tokens: list[str], brackets: list[str]) -> None:
        """Keep the brackets, and recognise Liquid's `| filter: argument`."""
        if sign in _BRACKETS:
            brackets.append(_BRACKETS[sign])
            if len(brackets) > MAX_EXPRESSION_DEPTH:
                self._refuse(
                    position,
                    f"brackets nested deeper than {MAX_EXPRESSION_DEPTH}",
                    mend="split the expression with {% set … %}",
                    code="TEMPLATE_TOO_COMPLEX",
                )
        elif sign in _BRACKETS.values():
            if not brackets or brackets[-1] != sign:
                expected = f"expected {brackets[-1]!r}" if brackets else "nothing is open"
                self._refuse(position, f"unexpected {sign!r}", mend=expected)
            brackets.pop()
        elif sign == ":" and len(tokens) >= 2 and tokens[-2] == "|":
            name = tokens[-1]
            mend = f"in Jinja: {liquid.FILTERS[name]}" if name in liquid.FILTERS else f"in Jinja: | {name}(…)"
            self._refuse(position, f"“| {name}: …” is Liquid", mend=mend)

    def _refuse_character(self, position: int) -> NoReturn:
        char = self.source[position]
        if char in "'\"":
            self._refuse(position, f"the string that begins with {char} never ends", mend=f"close it with {char}")
        if char == "$":
            self._refuse(position, "a $ stands alone", mend='write ${$email} or user["$email"]')
        if char == "!":
            self._refuse(position, "“!” is no operator", mend="write not")
        if char == "&":
            self._refuse(position, "“&” is no operator", mend="write and")
        self._refuse(position, f"unexpected {char!r}", mend="see docs/templates.md")
