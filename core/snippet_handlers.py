"""Answers commands about snippets: a project's settings hold them, so that a change of one is a change of those."""

from __future__ import annotations

from dataclasses import replace

from core import commands
from core.errors import FailedPrecondition, InvalidTemplate, NotFound
from core.messaging.compiled import compile_message
from core.messaging.snippets import users_of
from core.render import Escape, compile_template
from core.snippets import Snippet, check_snippet, expanded, includes, without_content
from core.version import Draft, SettingsChanged


def save(work: Draft, command: commands.SaveSnippet) -> Snippet:
    """Make a snippet, or change it: it has to compile on its own, and so has every message that uses it.

    What of those is leased to workers is rendered anew, as the settings are another version now.

    Raises:
        InvalidInput: INVALID_KEY, SNIPPET_TOO_LONG, TOO_MANY_SNIPPETS; InvalidTemplate: of the snippet, or of a message
            that could not be compiled with it, which is named.
    """
    snippets = work.settings.snippets
    present = snippets.get(command.key)
    fresh = Snippet(command.key, command.text, command.title, 1 if present is None else present.revision + 1)
    check_snippet(fresh, snippets)
    together = {**snippets, fresh.key: fresh}
    compile_template(expanded(without_content(fresh.text), together, "snippet.text"), Escape.HTML, field="snippet.text")
    for message in users_of(work, fresh.key):
        try:
            compile_message(work, message, together)
        except InvalidTemplate as error:
            raise InvalidTemplate(
                f"the message {message.key!r} could not be rendered with it: {error.message}",
                field="snippet.text",
                mend=error.mend,
                code=error.code,
            ) from error
    work.do(SettingsChanged(replace(work.settings, snippets=together)))
    return fresh


def delete(work: Draft, command: commands.DeleteSnippet) -> None:
    """Delete a snippet that neither a message nor another snippet uses.

    Raises:
        NotFound: SNIPPET_NOT_FOUND; FailedPrecondition: SNIPPET_IN_USE.
    """
    snippets = work.settings.snippets
    if command.key not in snippets:
        raise NotFound(
            f"there is no snippet {command.key!r}", field="key", mend="list the snippets", code="SNIPPET_NOT_FOUND"
        )
    using = [f"the snippet {one.key!r}" for one in snippets.values() if command.key in includes(one.text)]
    using += [f"the message {one.key!r}" for one in users_of(work, command.key)]
    if using:
        raise FailedPrecondition(
            f"{using[0]} uses it", field="key", mend="take it out there first", code="SNIPPET_IN_USE"
        )
    left = {key: one for key, one in snippets.items() if key != command.key}
    work.do(SettingsChanged(replace(work.settings, snippets=left)))
