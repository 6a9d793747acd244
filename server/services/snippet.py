"""SnippetService: pieces of templates that messages share."""

from __future__ import annotations

from typing import Any

from muster.v1 import snippet_pb2, snippet_pb2_grpc

from core.commands import DeleteSnippet, SaveSnippet
from core.errors import NotFound
from core.snippets import Snippet
from server.projects import Projects


class SnippetService(snippet_pb2_grpc.SnippetServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/snippet.proto.

    Arguments:
        projects: the registry.
    """

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    async def SaveSnippet(  # noqa: N802
        self, request: snippet_pb2.SaveSnippetRequest, context: Any
    ) -> snippet_pb2.SaveSnippetResponse:
        """Make a snippet, or change it."""
        sent = request.snippet
        command = SaveSnippet(sent.key, sent.text, sent.title)
        made = await self._projects.get(request.project).submit(command, request.request_id)
        return snippet_pb2.SaveSnippetResponse(snippet=_message(made))

    async def GetSnippet(  # noqa: N802
        self, request: snippet_pb2.GetSnippetRequest, context: Any
    ) -> snippet_pb2.GetSnippetResponse:
        """One snippet."""
        found = self._snippets(request.project).get(request.key)
        if found is None:
            raise NotFound(
                f"there is no snippet {request.key!r}", field="key", mend="list the snippets", code="SNIPPET_NOT_FOUND"
            )
        return snippet_pb2.GetSnippetResponse(snippet=_message(found))

    async def ListSnippets(  # noqa: N802
        self, request: snippet_pb2.ListSnippetsRequest, context: Any
    ) -> snippet_pb2.ListSnippetsResponse:
        """All of them, by key."""
        found = sorted(self._snippets(request.project).items())
        return snippet_pb2.ListSnippetsResponse(snippets=[_message(one) for _, one in found])

    async def DeleteSnippet(  # noqa: N802
        self, request: snippet_pb2.DeleteSnippetRequest, context: Any
    ) -> snippet_pb2.DeleteSnippetResponse:
        """Delete a snippet that nothing uses."""
        await self._projects.get(request.project).submit(DeleteSnippet(request.key), request.request_id)
        return snippet_pb2.DeleteSnippetResponse()

    def _snippets(self, project: str) -> dict[str, Snippet]:
        return self._projects.get(project).engine.version.settings.snippets


def _message(found: Snippet) -> snippet_pb2.Snippet:
    return snippet_pb2.Snippet(key=found.key, title=found.title, text=found.text, revision=found.revision)
