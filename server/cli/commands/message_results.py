"""How `muster message report` tells what came of a message: arms side by side, comparisons, days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from rich.text import Text

from server.cli.context import Call

_COUNTED: Final = (
    "delivered",
    "opened",
    "clicked",
    "bounced",
    "complained",
    "unsubscribed",
    "replied",
    "dismissed",
)
_NOT_SENT: Final = ("control", "holdout")
"""Arms whose members get nothing that could be opened."""
_SIGNIFICANT: Final = 0.05


def show_results(call: Call, found: Any, *, days: bool, always: bool = False) -> bool:
    """Arms side by side, then each comparison in a line.

    Arguments:
        days: by day, too.
        always: also where there is nothing that the accounts do not say.

    Returns:
        Whether there was anything to show.
    """
    exposed = any(arm.outcome.exposed for arm in found.arms)
    if not exposed or not (always or days or len(found.arms) > 1 or _columns(found)):
        return False
    call.out.table(["", *(_title(arm.name) for arm in found.arms)], _arms(found))
    for one in found.sample_ratios:
        _sample_ratio(call, one)
    if found.comparisons:
        call.out.say()
        call.out.table(
            ["", "", "beside", "difference", "95%", "at every look", "lift", "p", "detectable"],
            [_comparison(one) for one in found.comparisons],
        )
    if found.maturing:
        call.out.note(f"the goal's time is not over yet for {found.maturing:,} of them", "dim")
    if days:
        call.out.say()
        call.out.table(["day", "", "selected", "skipped", "exposed", *_columns(found)], list(_days(found)))
    return True


def goal_words(goal: Any) -> str:
    """A goal in a few words."""
    window = goal.window.ToTimedelta() if goal.HasField("window") else timedelta(days=7)
    condition = f" where {goal.condition}" if goal.condition else ""
    return f"{goal.event}{condition} within {window}{f', worth {goal.value}' if goal.value else ''}"


def _title(name: str) -> str:
    return name.partition(":")[2] or name.replace("_", " ")


def _columns(found: Any) -> list[str]:
    """What happened to anybody, so that a report is no wider than it must be."""
    names = [name for name in _COUNTED if any(getattr(arm.outcome, name) for arm in found.arms)]
    if found.HasField("goal"):
        names.append("converted")
        if found.goal.value:
            names.append("revenue")
    return names


def _arms(found: Any) -> list[tuple[Any, ...]]:
    reasons = sorted({one.reason for arm in found.arms for one in arm.counts.skipped})
    outcome = _columns(found)
    columns = [_arm(arm, reasons, outcome) for arm in found.arms]
    names = ["selected", "held out", "skipped", *(f"  {reason}" for reason in reasons), "exposed", *outcome]
    styles = ["", "", "", *("dim" for _ in reasons), "bold"]
    return [
        (Text(name, styles[number] if number < len(styles) else ""), *(column[number] for column in columns))
        for number, name in enumerate(names)
    ]


def _arm(arm: Any, reasons: Sequence[str], outcome: Sequence[str]) -> list[Text]:
    """One arm's column: figures stand right, what they are for each of the exposed beside them."""
    skipped = {one.reason: one.users for one in arm.counts.skipped}
    found = [
        (f"{arm.counts.selected:,}", ""),
        (f"{arm.counts.held_out:,}", ""),
        (f"{sum(skipped.values()):,}", ""),
        *((f"{skipped.get(reason, 0):,}", "") for reason in reasons),
        (f"{arm.outcome.exposed:,}", ""),
    ]
    for name in outcome:
        value, exposed = getattr(arm.outcome, name), arm.outcome.exposed
        if not exposed or (name in _COUNTED and arm.name in _NOT_SENT):
            found.append(("–", ""))
        elif name == "revenue":
            found.append((f"{value:,.2f}", f"{value / exposed:,.3f} each"))
        else:
            found.append((f"{value:,}", f"{value / exposed:.2%}"))
    width = max(len(figure) for figure, _ in found)
    return [Text.assemble(figure.rjust(width), (f"  {share}", "dim")) for figure, share in found]


def _comparison(one: Any) -> tuple[Any, ...]:
    share = one.metric != "revenue"
    write = _points if share else _plain
    least = write(one.least_detectable).lstrip("+") if one.least_detectable else None
    head = (one.metric, _title(one.arm), _title(one.baseline))
    if not one.HasField("difference"):
        return (*head, None, None, None, None, None, least)
    found = one.difference
    sure = found.p_value < _SIGNIFICANT
    style = ("green" if found.value > 0 else "red") if sure else ""
    return (
        *head,
        Text(write(found.value), style),
        f"{write(found.low)} to {write(found.high)}",
        f"{write(one.always_low)} to {write(one.always_high)}" if one.always_low or one.always_high else None,
        f"{one.lift.value:+.1%}" if one.HasField("lift") else None,
        _p(found.p_value),
        least,
    )


def _points(value: float) -> str:
    return f"{100 * value:+.2f} pp"


def _plain(value: float) -> str:
    return f"{value:+,.3f}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _sample_ratio(call: Call, one: Any) -> None:
    sizes = ", ".join(f"{_title(arm.arm)} {arm.users:,} (meant {arm.share:.1%})" for arm in one.arms)
    if one.mismatch:
        call.out.warn(
            f"users were not divided as they were to be (p = {one.p_value:.1g}): {sizes}; something took users out of"
            " one arm, and comparisons cannot be trusted"
        )
    else:
        call.out.note(f"divided as they were to be: {sizes} (p = {one.p_value:.3f})", "dim")


def _figure(outcome: Any, name: str) -> Any:
    return round(outcome.revenue, 2) if name == "revenue" else getattr(outcome, name)


def _days(found: Any) -> list[tuple[Any, ...]]:
    columns = _columns(found)
    rows = [
        (
            day.time.ToDatetime().strftime("%Y-%m-%d"),
            number,
            (
                _title(arm.name),
                day.selected,
                sum(one.users for one in day.skipped),
                day.outcome.exposed,
                *(_figure(day.outcome, name) for name in columns),
            ),
        )
        for number, arm in enumerate(found.arms)
        for day in arm.days
    ]
    return [(day, *row) for day, _, row in sorted(rows, key=lambda row: row[:2])]
