"""Who matches: counts, selections, explanations, saved audiences."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from google.protobuf import timestamp_pb2

from muster import flow as flows
from muster import values
from muster.flow import Flow, Rpc
from muster.service import Items, Service, Way, answered, listed, new_request_id
from muster.v1 import audience_pb2

_SERVICE: Final = "/muster.v1.AudienceService"
_COUNT: Final = Rpc(f"{_SERVICE}/Count", audience_pb2.CountResponse)
_SELECT: Final = Rpc(f"{_SERVICE}/Select", audience_pb2.SelectResponse)
_DIFF: Final = Rpc(f"{_SERVICE}/Diff", audience_pb2.DiffResponse)
_EXPLAIN: Final = Rpc(f"{_SERVICE}/Explain", audience_pb2.ExplainResponse)
_SAVE: Final = Rpc(f"{_SERVICE}/SaveAudience", audience_pb2.SaveAudienceResponse)
_GET: Final = Rpc(f"{_SERVICE}/GetAudience", audience_pb2.GetAudienceResponse)
_LIST: Final = Rpc(f"{_SERVICE}/ListAudiences", audience_pb2.ListAudiencesResponse)
_DELETE: Final = Rpc(f"{_SERVICE}/DeleteAudience", audience_pb2.DeleteAudienceResponse)


class Audiences(Service[Way]):
    """`client.audiences`: asks who matches an expression in CEL.

    Expressions read `user` (the profile), `events` (lists of the user's events by name), `now`, `params` (given with
    the call) and `audiences["name"]` (saved ones). Everywhere here InvalidInput names what is wrong with an
    expression, at `error.position`.
    """

    @answered
    def count(
        self,
        expression: str,
        *,
        params: Mapping[str, Any] | None = None,
        explain: bool = False,
        at: datetime | None = None,
    ) -> Flow[audience_pb2.CountResponse]:
        """How many users match, and of how many.

        Arguments:
            expression: targeting in CEL.
            params: what `params` stands for in it.
            explain: also what each leaf matched and lost, and the plan.
            at: as it was then, aware; None: as it is.

        Raises:
            FailedPrecondition: HISTORY_GONE where that is too long ago, with the earliest time that can be had.

        Example::

            answer = client.audiences.count("user.seats >= params.least", params={"least": 5})
            print(answer.count, "of", answer.total)
        """
        request = audience_pb2.CountRequest(
            project=self._project,
            expression=expression,
            params=values.from_python(params or {}),
            explain=explain,
            at=_at(at),
        )
        return (yield from self._ask(_COUNT, request))

    @listed
    def select(
        self,
        expression: str,
        *,
        params: Mapping[str, Any] | None = None,
        limit: int = 0,
        at: datetime | None = None,
    ) -> Items[str]:
        """The ids of the users who match, in order of first sight, as a stream.

        Arguments:
            expression: targeting in CEL.
            params: what `params` stands for in it.
            limit: at most so many; 0: all.
            at: as it was then, aware; None: as it is.

        Raises:
            FailedPrecondition: as `count`.
            Unavailable: also in mid-stream, when the connection breaks: what came until then is part of the answer.

        Example::

            ids = list(client.audiences.select('user.plan == "free"'))
        """
        request = self._selection(expression, params, limit, audience_pb2.SELECT_FORMAT_DISTINCT_IDS, at)
        retry = self._transport.connection.retry
        return Items(str, flows.stream(_SELECT, request, retry, lambda part: part.distinct_ids))

    @answered
    def ordinals(
        self,
        expression: str,
        *,
        params: Mapping[str, Any] | None = None,
        limit: int = 0,
        at: datetime | None = None,
    ) -> Flow[array[int]]:
        """The ordinals of the users who match, as an array of unsigned 32-bit numbers, ascending.

        Arguments: as `select`.

        Example::

            import numpy
            ordinals = numpy.frombuffer(client.audiences.ordinals("user.seats > 3"), numpy.uint32)
        """
        request = self._selection(expression, params, limit, audience_pb2.SELECT_FORMAT_ORDINALS, at)
        found = array("I")

        def keep(part: audience_pb2.SelectResponse) -> None:
            found.frombytes(part.ordinals)

        yield from flows.stream(_SELECT, request, self._transport.connection.retry, keep)
        if sys.byteorder == "big":
            found.byteswap()
        return found

    @answered
    def bitmap(
        self,
        expression: str,
        *,
        params: Mapping[str, Any] | None = None,
        limit: int = 0,
        at: datetime | None = None,
    ) -> Flow[bytes]:
        """The ordinals of the users who match, as one bitmap in the portable Roaring format.

        Arguments: as `select`.

        Example::

            from pyroaring import BitMap
            users = BitMap.deserialize(client.audiences.bitmap("user.seats > 3"))
        """
        request = self._selection(expression, params, limit, audience_pb2.SELECT_FORMAT_BITMAP, at)
        parts: list[bytes] = []

        def keep(part: audience_pb2.SelectResponse) -> None:
            parts.append(part.bitmap)

        yield from flows.stream(_SELECT, request, self._transport.connection.retry, keep)
        return b"".join(parts)

    @answered
    def diff(
        self,
        before: str,
        after: str,
        *,
        params: Mapping[str, Any] | None = None,
        limit: int | None = 100,
        at: datetime | None = None,
    ) -> Flow[audience_pb2.DiffResponse]:
        """Who would come in and who would leave if an expression were another: counts, and ids in order of first sight.

        Arguments:
            before, after: targeting in CEL; a saved audience is `audiences["name"]`.
            params: what `params` stands for in either.
            limit: at most so many ids of each kind; None: all.
            at: as it was then, aware; None: as it is.

        Raises:
            FailedPrecondition: as `count`.

        Example::

            answer = client.audiences.diff('user.plan == "free"', 'user.plan in ["free", "trial"]')
            print(answer.counts.entering, list(answer.entering), answer.counts.leaving)
        """
        request = audience_pb2.DiffRequest(
            project=self._project,
            before=before,
            after=after,
            params=values.from_python(params or {}),
            limit=limit or 0,
            counts_only=limit == 0,
            at=_at(at),
        )
        found = audience_pb2.DiffResponse()
        yield from flows.stream(_DIFF, request, self._transport.connection.retry, found.MergeFrom)
        return found

    @answered
    def explain(
        self,
        expression: str,
        distinct_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> Flow[audience_pb2.ExplainResponse]:
        """Why one user matches or does not, part by part.

        Arguments:
            expression: targeting in CEL.
            distinct_id: any of the user's ids.
            params: what `params` stands for in it.
            at: as it was then, aware; None: as it is.

        Raises:
            NotFound: if no user has that id.
            FailedPrecondition: as `count`.

        Example::

            answer = client.audiences.explain('user.plan == "free"', "u1")
            print(answer.explanation.verdict, list(answer.explanation.values))
        """
        request = audience_pb2.ExplainRequest(
            project=self._project,
            expression=expression,
            params=values.from_python(params or {}),
            distinct_id=distinct_id,
            at=_at(at),
        )
        return (yield from self._ask(_EXPLAIN, request))

    @answered
    def save(
        self,
        name: str,
        expression: str | None = None,
        *,
        ids: Iterable[str] | None = None,
        description: str = "",
        create_missing: bool = False,
        etag: str = "",
        request_id: str = "",
    ) -> Flow[audience_pb2.Audience]:
        """Save an audience, new or in place of an older one: an expression, or a list of ids.

        Arguments:
            name: how targeting speaks of it, `audiences["name"]`.
            expression: targeting in CEL; or
            ids: the users themselves.
            description: for people.
            create_missing: make users of ids that are not known yet; otherwise they are refused.
            etag: of the audience as it was read; refused with StaleEtag where it has changed since. "": no check.

        Example::

            client.audiences.save("whales", "user.spent > 1000.0")
            client.audiences.save("testers", ids=["u1", "u2"], create_missing=True)
        """
        audience = audience_pb2.Audience(name=name, description=description, etag=etag)
        if expression is not None:
            audience.expression = expression
        elif ids is not None:
            audience.ids.distinct_ids.extend(ids)
            audience.ids.SetInParent()
        request = audience_pb2.SaveAudienceRequest(
            project=self._project,
            request_id=request_id or new_request_id(),
            audience=audience,
            create_missing=create_missing,
        )
        answer = yield from self._ask(_SAVE, request)
        return answer.audience

    @answered
    def get(self, name: str) -> Flow[audience_pb2.Audience]:
        """One saved audience.

        Raises:
            NotFound: if there is none of that name.

        Example::

            client.audiences.get("whales").expression
        """
        answer = yield from self._ask(_GET, audience_pb2.GetAudienceRequest(project=self._project, name=name))
        return answer.audience

    @listed
    def list(self, *, page_size: int = 0) -> Items[audience_pb2.Audience]:
        """The saved audiences, by name.

        Example::

            for audience in client.audiences.list():
                print(audience.name, audience.expression or audience.listed)
        """

        def page(token: str) -> Flow[audience_pb2.ListAudiencesResponse]:
            return self._ask(
                _LIST,
                audience_pb2.ListAudiencesRequest(project=self._project, page_size=page_size, page_token=token),
            )

        return Items(audience_pb2.Audience, flows.pages(page, lambda found: found.audiences))

    @answered
    def delete(self, name: str, *, request_id: str = "") -> Flow[None]:
        """Delete a saved audience.

        Raises:
            FailedPrecondition: while another audience, or a message that has not ended, uses it.

        Example::

            client.audiences.delete("whales")
        """
        request = audience_pb2.DeleteAudienceRequest(
            project=self._project, request_id=request_id or new_request_id(), name=name
        )
        yield from self._ask(_DELETE, request)

    def _selection(
        self, expression: str, params: Mapping[str, Any] | None, limit: int, form: Any, at: datetime | None
    ) -> audience_pb2.SelectRequest:
        return audience_pb2.SelectRequest(
            project=self._project,
            expression=expression,
            params=values.from_python(params or {}),
            format=form,
            limit=limit,
            at=_at(at),
        )


def _at(at: datetime | None) -> timestamp_pb2.Timestamp | None:
    return None if at is None else values.timestamp(at, "at")
