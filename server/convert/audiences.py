"""Counts, explanations and saved audiences as messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from muster.v1 import audience_pb2

from core.evaluator.audience import AudienceDefinition
from core.evaluator.evidence import Computed, Evidence, Satisfies
from core.values import to_micros
from server.convert.times import timestamp


def leaves(found: Iterable[Any]) -> list[audience_pb2.LeafCount]:
    """What each leaf of an expression matched and lost."""
    return [
        audience_pb2.LeafCount(
            text=leaf.text,
            position=leaf.position,
            matched=leaf.matched,
            not_matched=leaf.not_matched,
            missing=leaf.missing,
            wrong_type=leaf.wrong_type,
            other_error=leaf.other_error,
        )
        for leaf in found
    ]


def warnings(found: Iterable[Any]) -> list[audience_pb2.NameWarning]:
    """Names never seen, with the nearest that were."""
    return [
        audience_pb2.NameWarning(name=one.name, position=one.position, nearest=one.nearest, message=one.message)
        for one in found
    ]


_VERDICTS = {
    "matches": audience_pb2.VERDICT_MATCHES,
    "does_not_match": audience_pb2.VERDICT_DOES_NOT_MATCH,
    "errs": audience_pb2.VERDICT_ERRS,
}


def explanation(found: Any) -> audience_pb2.Explanation:
    """The tree that says why one user matches or does not."""
    return audience_pb2.Explanation(
        text=found.text,
        position=found.position,
        verdict=_VERDICTS[str(found.verdict)],
        reason=found.reason,
        values=list(found.values),
        parts=[explanation(part) for part in found.parts],
        computed=[_computed(part) for part in found.computed],
        evidence=[_evidence(one) for one in found.evidence],
    )


def _computed(found: Computed) -> audience_pb2.Computed:
    return audience_pb2.Computed(
        text=found.text, value=found.value, errs=found.errs, parts=[_computed(part) for part in found.parts]
    )


_SATISFIES: Final[dict[Satisfies, audience_pb2.Satisfies]] = {
    "yes": audience_pb2.SATISFIES_YES,
    "no": audience_pb2.SATISFIES_NO,
    "errs": audience_pb2.SATISFIES_ERRS,
    "not_asked": audience_pb2.SATISFIES_UNSPECIFIED,
}


def _evidence(found: Evidence) -> audience_pb2.Evidence:
    return audience_pb2.Evidence(
        event=found.event,
        condition=found.condition,
        count=found.count,
        satisfying=found.satisfying,
        events=[
            audience_pb2.SeenEvent(
                time=None if one.time is None else timestamp(to_micros(one.time)),
                values=one.values,
                satisfies=_SATISFIES[one.satisfies],
            )
            for one in found.events
        ],
    )


def audience(definition: AudienceDefinition) -> audience_pb2.Audience:
    """A saved audience; of a list only its length is told."""
    message = audience_pb2.Audience(
        name=definition.name,
        description=definition.description,
        update_time=timestamp(definition.updated_at),
        etag=definition.etag,
    )
    if definition.expression is not None:
        message.expression = definition.expression
    else:
        message.ids.SetInParent()
        message.listed = len(definition.members or ())
    return message
