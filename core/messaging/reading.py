"""Reads messages from a pinned version: forecast, report, preview, explanation, deliveries, inbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

from core.errors import InvalidInput, NotFound
from core.evaluator.asking import LeafCount, NameWarning, explain_user, leaf_counts, warnings
from core.messaging.cause import causes_of, latest_event
from core.messaging.compiled import compile_message
from core.messaging.definitions import MAIN, MessageDefinition, State, of_variant
from core.messaging.dividing import by_variant
from core.messaging.effects import STATES, DeliveryState, InboxEntry, is_open
from core.messaging.firings import next_run
from core.messaging.gates import CONSENT, Asked, concerning, matching, stopped, through
from core.messaging.keys import TEST, idempotency_key
from core.messaging.launches import users_past
from core.messaging.ledger import Ledger
from core.messaging.outcomes import DELIVERED
from core.messaging.refusals import words_of_refusal
from core.messaging.render import HandOff, Obstacle, is_allowed, render_users
from core.messaging.rows import at_once
from core.messaging.runs import Fired
from core.messaging.work import View
from core.profiles.reading import find
from core.render.locales import locale_of_tag

_ROWS: Final = 10_000
_RUNS: Final = 100


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a launch would do now.

    `missing`: of the reachable, how many lack each property the template needs. `ready`: of the reachable, who lack
    nothing, and so would be sent to. `blocked`: those who lack nothing and are kept from it, by reason: unsubscribed,
    suppressed, or another user of the address gets it. `past`: of the matching, in whose own zone the time of sending is past.
    """

    matching: int
    reachable: int
    ready: int
    missing: dict[str, int]
    warnings: list[NameWarning]
    leaves: list[LeafCount]
    past: int = 0
    blocked: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Counts:
    """Users by present state; `skipped` is (reason, open, users). They add up to `selected`.

    `failures` splits `failed`: (reason, users).
    """

    selected: int
    held_out: int
    skipped: list[tuple[str, bool, int]]
    deferred: int
    queued: int
    begun: int
    sent: int
    failed: int
    ambiguous: int
    failures: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class OccurrenceCounts:
    """One occurrence accounted for: its number, and the instants (micros) of its first and last decisions."""

    number: int
    first_at: int
    last_at: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Report:
    """A message accounted for, over all its occurrences and by each that selected anybody.

    `per_day`: (start of a UTC day in micros, users selected). `runs`: the newest runs of one that is sent by time, and
    `next_run` the instant (micros) of the next, while it is live.
    """

    definition: MessageDefinition
    counts: Counts
    reconciled: bool
    problems: list[str]
    per_day: list[tuple[int, int]]
    now: int
    occurrences: list[OccurrenceCounts]
    runs: list[Fired] = field(default_factory=list)
    next_run: int | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """A message as one user would read it now, or the first obstacle. `explanation` is the evaluator's tree.

    `variant`: which is shown; "" where the message has none.
    """

    rendered: HandOff | None
    would_send: bool
    reason: str
    detail: str
    explanation: Any
    variant: str = ""


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """What a gate says of one user; `due` is when one that defers would let the user through, in micros, 0 otherwise."""

    name: str
    passed: bool
    detail: str
    due: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryExplanation:
    """Why one user did or did not get a message, in the last occurrence that has the user. Instants are micros.

    `gates` stand in their order. `detail`: what the provider said where it refused. `group`: the groups the user was assigned to. `due_at`: when whoever is deferred is judged
    again. `sent_at`: when the provider took it.
    """

    state: str
    reason: str
    decided_at: int | None
    gates: list[GateAnswer]
    explanation: Any
    detail: str
    occurrence: int
    group: str
    due_at: int | None
    sent_at: int | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One (message, user) pair with the instant of the decision and the present state.

    `detail`: what the provider said where it refused. `group`: the groups the user was assigned to.
    """

    message_key: str
    distinct_id: str
    decided_at: int
    state: str
    reason: str
    idempotency_key: str
    detail: str
    occurrence: int
    group: str


def message(view: View, key: str) -> MessageDefinition:
    """One message.

    Raises:
        NotFound: MESSAGE_NOT_FOUND.
    """
    return view.messages.get(key)


def messages_page(
    view: View, after: str, limit: int, state: State | None = None
) -> tuple[list[MessageDefinition], str | None]:
    """Messages by key; those that stand for others in tests are not among them.

    Arguments:
        after: the key to go on after, "" to begin.

    Returns:
        The messages, and the key to go on after, None on the last page.
    """
    every = (m for m in view.messages.all() if not m.key.endswith(TEST))
    found = [m for m in every if m.key > after and state in (None, m.state)]
    return found[:limit], found[limit - 1].key if len(found) > limit else None


def name_warnings(view: View, key: str) -> list[NameWarning]:
    """Names in a message's targeting that were never seen, with the nearest that were.

    Raises:
        NotFound: MESSAGE_NOT_FOUND.
    """
    return warnings(view.population, compile_message(view, view.messages.get(key)).targeting)


def forecast(view: View, key: str, among: BitMap | None = None) -> Forecast:
    """What launching a message now would do; users already selected are left out.

    Arguments:
        among: only these users; None: everybody.

    Raises:
        NotFound: MESSAGE_NOT_FOUND.
    """
    definition = view.messages.get(key)
    compiled = compile_message(view, definition)
    matched = matching(view, compiled.targeting, among, view.now) - view.messages.ledger(key).closed_to
    reachable = matching(view, compiled.reachable, matched, view.now)
    missing: Counter[str] = Counter()
    ready = BitMap()
    latest = view.messages.occurrences(key).latest
    for variant, users in by_variant(view, definition, latest, reachable):
        rest = users
        for name, parsed in compiled.of(variant).needs.items():
            having = matching(view, parsed, users, view.now)
            missing[name] += len(users) - len(having)
            rest = rest & having
        if compiled.of(variant).content.requires_event and definition.by_match:
            rest = BitMap(causes_of(view, compiled, at_once(rest, view.now)))
        ready |= rest
    asked = Asked(view, definition, compiled, latest, "ask", view.now)
    stops = through(asked, ready, CONSENT)
    return Forecast(
        len(matched),
        len(reachable),
        len(ready) - len(stopped(stops)),
        {name: count for name, count in missing.items() if count},
        warnings(view.population, compiled.targeting),
        leaf_counts(view.population, compiled.targeting, view.now),
        len(matched & users_past(view, definition)),
        [(stop.reason, len(stop.users)) for stop in stops],
    )


def counts(ledgers: Sequence[Ledger], *, ended: bool = False, among: Sequence[BitMap] | None = None) -> Counts:
    """Users of ledgers by present state, together. Once a message has `ended`, no skip is open any more.

    Arguments:
        among: for each ledger the users to count; None: everybody.
    """
    sizes: dict[DeliveryState, Counter[str]] = {state: Counter() for state in STATES}
    for number, ledger in enumerate(ledgers):
        for state in STATES:
            for reason, users in ledger.reasons(state):
                size = len(users) if among is None else users.intersection_cardinality(among[number])
                if size:
                    sizes[state][reason] += size
    entered = [ledger.selected if among is None else ledger.selected & among[n] for n, ledger in enumerate(ledgers)]
    skipped = [(reason, is_open(reason) and not ended, users) for reason, users in sorted(sizes["skipped"].items())]
    return Counts(
        selected=sum(map(len, entered)),
        skipped=skipped,
        failures=sorted(sizes["failed"].items()),
        **{state: sizes[state].total() for state in STATES if state != "skipped"},
    )


def report(view: View, key: str) -> Report:
    """A message accounted for, with the proof.

    Raises:
        NotFound: MESSAGE_NOT_FOUND.
    """
    definition = view.messages.get(key)
    ended = definition.state == "ended"
    ledgers = view.messages.occurrences(key).all()
    problems: list[str] = []
    per_day: Counter[int] = Counter()
    occurrences = []
    for number, ledger in ledgers:
        problems += [f"occurrence {number}: {text}" for text in ledger.problems()]
        per_day.update(dict(ledger.per_day()))
        span = ledger.span()
        if span is not None:
            occurrences.append(OccurrenceCounts(number, *span, counts([ledger], ended=ended)))
    together = counts([ledger for _, ledger in ledgers], ended=ended)
    runs = view.messages.occurrences(key).runs.newest(_RUNS, key)
    following = next_run(view, definition.schedule, view.now) if definition.state == "live" else None
    return Report(
        definition, together, not problems, problems, sorted(per_day.items()), view.now, occurrences, runs, following
    )


def preview(view: View, key: str, distinct_id: str, locale: str = "", variant: str = "") -> Preview:
    """A message as one user would read it, and whether the user would get it now.

    Arguments:
        locale: as if the user's `$locale` were this; "": as it is.
        variant: of the message; "": the one that the user gets.

    Raises:
        NotFound: MESSAGE_NOT_FOUND, USER_NOT_FOUND, VARIANT_NOT_FOUND.
        InvalidInput: LOCALE_UNKNOWN.
    """
    if locale and locale_of_tag(locale) is None:
        raise InvalidInput(
            f"{locale!r} is no language that is known",
            field="locale",
            mend="write a BCP 47 tag such as de-CH",
            code="LOCALE_UNKNOWN",
        )
    definition = view.messages.get(key)
    ordinal = find(view, distinct_id)
    [(own, _)] = by_variant(view, definition, view.messages.occurrences(key).latest, BitMap([ordinal]))
    if variant not in ("", *(one.key for one in definition.variants), MAIN):
        raise NotFound(
            f"the message has no variant {variant!r}",
            field="variant",
            mend=f"one of {', '.join([*(one.key for one in definition.variants), MAIN])}",
            code="VARIANT_NOT_FOUND",
        )
    shown = variant or own
    definition = of_variant(definition, shown)
    compiled = compile_message(view, definition)
    explained = explain_user(view, compiled.targeting, ordinal)
    occurrence = view.messages.occurrences(key).latest
    ledger = view.messages.ledger(key, occurrence)
    cause = ledger.cause(ordinal)
    example = latest_event(view, compiled, ordinal) if cause is None and compiled.content.needs_event else None
    examples = {} if example is None else {ordinal: example}
    result = render_users(
        view, definition, compiled, [ordinal], examples, occurrence=occurrence, preview=True, locale=locale
    )[0]
    rendered = result if isinstance(result, HandOff) else None
    asked = Asked(view, definition, compiled, occurrence, "ask", view.now)
    for gate in concerning(view, definition):
        stops = through(asked, BitMap([ordinal]), (gate,)) if gate.name != "live" else []
        if stops:
            reason = gate.name if gate.kind == "selecting" else stops[0].reason
            return Preview(rendered, False, reason, gate.stopping(asked, stops[0]), explained, shown)
    if isinstance(result, Obstacle):
        return Preview(None, False, result.reason, result.detail, explained, shown)
    notes = []
    if view.settings.sandbox and not is_allowed(view, result):
        notes.append("the project is a sandbox: it would land in the inbox")
    if example is not None:
        notes.append(
            "`event` is shown as the user's latest that the targeting reads; the one that causes a match may differ"
        )
    return Preview(rendered, True, "", "; ".join(notes), explained, shown)


def explain_delivery(view: View, key: str, distinct_id: str) -> DeliveryExplanation:
    """Why one user did or did not get a message: present state, and every gate as it stands now.

    Raises:
        NotFound: MESSAGE_NOT_FOUND, USER_NOT_FOUND.
    """
    definition = view.messages.get(key)
    ordinal = find(view, distinct_id)
    compiled = compile_message(view, definition)
    occurrence, ledger = _last_of(view, key, ordinal)
    place = ledger.place(ordinal)
    user = BitMap([ordinal])
    asked = Asked(view, definition, compiled, occurrence, "ask", view.now)
    gates = []
    for gate in concerning(view, definition):
        stops = through(asked, user, (gate,))
        if stops:
            gates.append(GateAnswer(gate.name, False, gate.stopping(asked, stops[0]), stops[0].due))
        else:
            gates.append(GateAnswer(gate.name, True, gate.passing(asked)))
    state, reason = place or ("none", "")
    return DeliveryExplanation(
        state,
        reason,
        ledger.decided_at(ordinal),
        gates,
        explain_user(view, compiled.targeting, ordinal),
        words_of_refusal(view, key, occurrence, user & ledger.state("failed")).get(ordinal, ""),
        occurrence,
        ledger.group_of(ordinal),
        ledger.due_of(ordinal),
        _sent_at(view, key, occurrence, ordinal) if state == "sent" else None,
    )


def _sent_at(view: View, key: str, occurrence: int, ordinal: int) -> int | None:
    """When a provider took a message, in micros; None where the event that tells is gone."""
    table = view.population.events(DELIVERED)
    for time, _, about in [] if table is None else table.history(ordinal, view.now):
        if about.get("message_id") == key and about.get("occurrence", 0) == occurrence:
            return time
    return None


def _last_of(view: View, key: str, ordinal: int) -> tuple[int, Ledger]:
    """The last occurrence that has a user, or the latest where none has."""
    occurrences = view.messages.occurrences(key)
    for number, ledger in reversed(occurrences.all()):
        if ordinal in ledger.closed_to:
            return number, ledger
    return occurrences.latest, occurrences.ledger(occurrences.latest)


def deliveries(view: View, key: str) -> Iterator[list[DeliveryRow]]:
    """Every decision with its present state, in the order of deciding, in parts.

    Arguments:
        key: a message, or "" for all.

    Raises:
        NotFound: MESSAGE_NOT_FOUND.
    """
    for definition in [view.messages.get(key)] if key else view.messages.all():
        for occurrence, ledger in view.messages.occurrences(definition.key).all():
            yield from _rows(view, definition.key, occurrence, ledger)


def _rows(view: View, key: str, occurrence: int, ledger: Ledger) -> Iterator[list[DeliveryRow]]:
    places = [(state, reason, users) for state in STATES for reason, users in ledger.reasons(state)]
    for ordinals, instants in ledger.decisions():
        for first in range(0, len(ordinals), _ROWS):
            part, times = ordinals[first : first + _ROWS], instants[first : first + _ROWS]
            of_row: dict[int, tuple[str, str]] = {}
            inside = BitMap(part)
            for state, reason, users in places:
                of_row.update(dict.fromkeys(inside & users, (state, reason)))
            words = words_of_refusal(view, key, occurrence, inside & ledger.state("failed"))
            group_of: dict[int, str] = {}
            for name, users in sorted(ledger.groups().items()):
                group_of.update(
                    (one, f"{group_of[one]}, {name}" if one in group_of else name) for one in inside & users
                )
            yield [
                DeliveryRow(
                    key,
                    distinct_id,
                    int(instant),
                    *of_row[int(ordinal)],
                    idempotency_key(view.settings.uid, key, ledger.known_as(int(ordinal)), occurrence),
                    words.get(int(ordinal), ""),
                    occurrence,
                    group_of.get(int(ordinal), ""),
                )
                for ordinal, instant, distinct_id in zip(part, times, view.users.names(np.asarray(part)), strict=True)
            ]


def inbox_page(
    view: View, message_key: str, distinct_id: str, limit: int, before: int = 0
) -> tuple[list[InboxEntry], int | None, int]:
    """What the sandbox kept, newest first.

    Arguments:
        message_key, distinct_id: only these, where not "".
        before: number of the entry to go on before, as the page before gave it; 0 to begin.

    Returns:
        The entries, the number to go on before for the next page (None on the last), and how many there are in all.

    Raises:
        StoreError: STORE_DAMAGED.
    """
    inbox = view.messages.inbox
    found = list(islice(inbox.newest(message_key, distinct_id, before or inbox.end), limit + 1))
    page = found[:limit]
    following = page[-1][0] if len(found) > limit else None
    return [entry for _, entry in page], following, inbox.count(message_key, distinct_id)
