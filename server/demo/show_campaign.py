"""What the demo prints of its campaign: the real run beside its simulation, and what came of it beside the control group."""

from __future__ import annotations

from muster.v1 import results_pb2
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.demo.campaign import CONTROL_PERCENT, FIGURES, Course


def course(console: Console, found: Course) -> None:
    """A campaign with a control group, simulated over the same past; then its results."""
    console.print()
    console.print(
        Text("A campaign to first buyers, a tenth of them held out; and the same again, simulated", style="bold cyan"),
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("")
    for name in ("as it was", "simulated"):
        table.add_column(name, justify="right")
    table.add_column("")
    _row(table, "  entered", found.entered, found.simulated_entered)
    _row(table, f"  in the control group, of {CONTROL_PERCENT:.0f}%", found.control, found.simulated_control)
    for told in found.messages:
        for name, real, simulated in zip(FIGURES, told.real, told.simulated, strict=True):
            if real or simulated or name == "selected":
                _row(table, f"  {told.key}: {name.replace('_', ' ')}", real, simulated)
    console.print(table)
    verdict = ("every count is equal", "green") if found.equal else ("the two differ", "bold red")
    console.print(Text.assemble("  ", verdict, f"; simulating 18 months took {found.seconds:.1f} s, and sent nothing"))
    console.print(
        Text(f"  {found.left_out:,} more had bought before the import, which starts no campaign", style="dim")
    )
    _results(console, found.results)


def _row(table: Table, name: str, real: int, simulated: int) -> None:
    mark = Text("✓", style="green") if real == simulated else Text("✗", style="bold red")
    table.add_row(name, f"{real:,}", f"{simulated:,}", mark)


def _results(console: Console, found: results_pb2.Results) -> None:
    """Who bought again, sent to and held out. Nobody ever read what this demo sends: no lift is the truth."""
    of_metric = {one.metric: one for one in found.comparisons if one.arm == "sent" and one.baseline == "control"}
    bought, spent = of_metric.get("converted"), of_metric.get("revenue")
    if bought is None or spent is None:
        return
    for name, share, dollars in (
        ("sent to", bought.treated, spent.treated),
        ("held out", bought.control, spent.control),
    ):
        console.print(
            f"  {name:<9}{share.users:>7,} users: {share.mean:.2%} bought again within 60 days, ${dollars.mean:.2f} each"
        )
    difference = bought.difference
    console.print(
        f"  difference {difference.value * 100:+.2f} points, 95%: {difference.low * 100:+.2f} to"
        f" {difference.high * 100:+.2f} (nobody really read these in 1997: an interval around 0 is the truth)",
        soft_wrap=True,
    )
