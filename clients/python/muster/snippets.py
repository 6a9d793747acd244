"""Snippets: pieces of templates that messages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from muster.flow import Flow, Rpc
from muster.service import Service, Way, answered, new_request_id
from muster.v1 import snippet_pb2

_SERVICE: Final = "/muster.v1.SnippetService"
_SAVE: Final = Rpc(f"{_SERVICE}/SaveSnippet", snippet_pb2.SaveSnippetResponse)
_GET: Final = Rpc(f"{_SERVICE}/GetSnippet", snippet_pb2.GetSnippetResponse)
_LIST: Final = Rpc(f"{_SERVICE}/ListSnippets", snippet_pb2.ListSnippetsResponse)
_DELETE: Final = Rpc(f"{_SERVICE}/DeleteSnippet", snippet_pb2.DeleteSnippetResponse)


class Snippets(Service[Way]):
    """`client.snippets`: what `{% include "footer" %}` stands for, and the layouts of emails."""

    @answered
    def save(self, key: str, text: str, *, title: str = "", request_id: str = "") -> Flow[snippet_pb2.Snippet]:
        """Make a snippet, or change it; messages that use it have the new text from now on.

        Arguments:
            key: lower-case letters, digits, `-` and `_`, at most 63, starting with a letter.
            text: a template; a layout has `{{ content }}` in it, where the HTML of an email goes.
            title: for people.

        Raises:
            InvalidInput: for a text that cannot be used, or that a message could not be rendered with.

        Example::

            client.snippets.save("footer", "<p>The shop, 1 Harbour Road</p>")
        """
        request = snippet_pb2.SaveSnippetRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            snippet=snippet_pb2.Snippet(key=key, text=text, title=title),
        )
        answer = yield from self._ask(_SAVE, request)
        return answer.snippet

    @answered
    def get(self, key: str) -> Flow[snippet_pb2.Snippet]:
        """One snippet.

        Raises:
            NotFound: if there is none of that key.

        Example::

            print(client.snippets.get("footer").text)
        """
        answer = yield from self._ask(_GET, snippet_pb2.GetSnippetRequest(project=self._project, key=key))
        return answer.snippet

    @answered
    def list(self) -> Flow[Sequence[snippet_pb2.Snippet]]:
        """The snippets, by key.

        Example::

            [snippet.key for snippet in client.snippets.list()]
        """
        answer = yield from self._ask(_LIST, snippet_pb2.ListSnippetsRequest(project=self._project))
        return answer.snippets

    @answered
    def delete(self, key: str, *, request_id: str = "") -> Flow[None]:
        """Delete a snippet that nothing uses.

        Raises:
            NotFound: if there is none of that key.
            FailedPrecondition: if a message that has not ended, or another snippet, uses it.

        Example::

            client.snippets.delete("footer")
        """
        request = snippet_pb2.DeleteSnippetRequest(
            project=self._project, request_id=request_id or new_request_id(), key=key
        )
        yield from self._ask(_DELETE, request)
