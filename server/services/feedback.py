"""FeedbackService: what providers say of messages after they took them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from muster.v1 import feedback_pb2, feedback_pb2_grpc

from core.commands import Feedback, FeedbackTaken, TakeFeedback
from core.errors import InvalidInput
from core.messaging.keys import project_of
from core.profiles.records import MAX_BATCH, RecordError
from server.auth import CALLER
from server.convert import feedback as convert
from server.projects import Project, Projects


class FeedbackService(feedback_pb2_grpc.FeedbackServiceServicer):  # type: ignore[misc]
    """See proto/muster/v1/feedback.proto.

    Arguments:
        projects: the registry.
    """

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    async def ReportFeedback(  # noqa: N802
        self, request: feedback_pb2.ReportFeedbackRequest, context: Any
    ) -> feedback_pb2.ReportFeedbackResponse:
        """Take feedback on messages of one project, or of whichever project each is of."""
        if len(request.feedback) > MAX_BATCH:
            raise InvalidInput(
                f"{len(request.feedback)} records in one batch",
                field="feedback",
                mend=f"send at most {MAX_BATCH} at once",
                code="BATCH_TOO_LARGE",
            )
        said = [convert.feedback(message) for message in request.feedback]
        if request.project:
            project = self._projects.get(request.project)
            return convert.taken(await project.submit(TakeFeedback(said), request.request_id))
        CALLER.get().require_all()
        return convert.taken(await self._spread(said, request.request_id))

    async def _spread(self, said: Sequence[Feedback | RecordError], request_id: str) -> FeedbackTaken:
        """Give each project what is of it: hand-offs by the project that their keys name, addresses to every one."""
        errors = {place: replace(one, index=place) for place, one in enumerate(said) if isinstance(one, RecordError)}
        of_project: dict[str, list[int]] = {}
        of_nobody: list[int] = []
        for place, one in enumerate(said):
            if isinstance(one, Feedback):
                named = of_project.setdefault(project_of(one.idempotency_key), []) if one.idempotency_key else of_nobody
                named.append(place)
        accepted, known = 0, len(errors)
        for project in self._projects.all():
            places = of_project.get(project.engine.version.settings.uid)
            if places:
                taken = await _take(project, said, places, request_id)
                accepted += taken.accepted
                known += len(places) - taken.unknown
                errors |= _placed(taken, places)
        best = FeedbackTaken(0, 0, len(of_nobody))
        for project in self._projects.all() if of_nobody else ():
            taken = await _take(project, said, of_nobody, request_id and f"{request_id}/addresses")
            errors |= _placed(taken, of_nobody)
            if (taken.unknown, -taken.accepted) < (best.unknown, -best.accepted):
                best = taken
        accepted += best.accepted
        unknown = len(said) - known - (len(of_nobody) - best.unknown)
        return FeedbackTaken(
            accepted, len(said) - accepted - unknown - len(errors), unknown, [errors[place] for place in sorted(errors)]
        )


async def _take(
    project: Project, said: Sequence[Feedback | RecordError], places: Sequence[int], request_id: str
) -> FeedbackTaken:
    taken: FeedbackTaken = await project.submit(TakeFeedback([said[place] for place in places]), request_id)
    return taken


def _placed(taken: FeedbackTaken, places: Sequence[int]) -> dict[int, RecordError]:
    """What was refused, by its place in the whole request."""
    return {places[error.index]: replace(error, index=places[error.index]) for error in taken.errors}
