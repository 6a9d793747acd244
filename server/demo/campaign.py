"""The demo's campaign: two messages to whoever buys for the first time, with a control group; and the same simulated."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import muster
from muster.messages import Webhook
from muster.v1 import results_pb2, simulation_pb2

from server.demo.cdnow import END, START

CAMPAIGN: Final = "first-record"
THANKS: Final = "thank-you"
COME_BACK: Final = "come-back"
KEYS: Final = (THANKS, COME_BACK)
"""Its messages, in the order of their priority."""

ENTRY: Final = 'events["Purchase"].size() > 0'
QUIET: Final = (
    f'events["$campaign_delivery"].exists(e, e.message_id == "{THANKS}" && e.time < now - duration("720h"))'
    ' && events["Purchase"].size() == 1'
)
"""Thanked a month ago, and no second purchase since."""
FIGURES: Final = ("selected", "sent", "held_out", "skipped")
CONTROL_PERCENT: Final = 10.0
GOAL_WINDOW: Final = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Told:
    """One message of the campaign, as it came and as it was simulated: users by `FIGURES`."""

    key: str
    real: tuple[int, int, int, int]
    simulated: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Course:
    """What became of the campaign.

    Arguments:
        entered, control: how many entered, and how many of them are of the control group.
        left_out: how many never will: they had bought before the import, which starts no campaign.
        simulated_entered, simulated_control: the same, simulated over the same past.
        seconds: that the simulation took.
    """

    entered: int
    control: int
    left_out: int
    simulated_entered: int
    simulated_control: int
    messages: tuple[Told, ...]
    results: results_pb2.Results
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether the simulation came to what really was."""
        entry = (self.entered, self.control) == (self.simulated_entered, self.simulated_control)
        return entry and all(told.real == told.simulated for told in self.messages)

    def figures(self) -> dict[str, Any]:
        """The course as JSON."""
        return {
            "entered": self.entered,
            "control": self.control,
            "left_out": self.left_out,
            "messages": {told.key: dict(zip(FIGURES, told.real, strict=True)) for told in self.messages},
            "simulation_equal": self.equal,
        }


def launch(client: muster.Client, url: str) -> None:
    """Write its messages, and make it live.

    Arguments:
        url: where its webhooks go; the receiver there is taken to drop what comes under the same key once more, so that
            nothing stays ambiguous after a kill.
    """
    hook: Webhook = {"url": url, "properties": ["First name"], "batch_size": 100, "idempotent": True}
    client.messages.create(THANKS, title="Thank you", targeting="true", webhook=hook)
    client.messages.create(COME_BACK, title="Your next record", targeting=QUIET, webhook=hook)
    client.campaigns.create(
        CAMPAIGN,
        title="First record",
        entry=ENTRY,
        messages=KEYS,
        control_percent=CONTROL_PERCENT,
        goal={"event": "Purchase", "window": GOAL_WINDOW, "value": "amount"},
    )
    client.campaigns.launch(CAMPAIGN, existing="send")


def simulate(client: muster.Client) -> Course:
    """Decide all of it again, over the past as it was, and hold what comes of that against what came of it."""
    started = time.perf_counter()
    simulated = client.simulation.run(campaigns=[CAMPAIGN], start=START, end=END, existing="send", examples=0)
    seconds = time.perf_counter() - started
    counted = client.campaigns.count(CAMPAIGN)
    entry = next(one for one in simulated.campaigns if one.campaign.key == CAMPAIGN)
    return Course(
        counted.entered,
        counted.control,
        sum(one.users for one in counted.left_out),
        entry.entered,
        entry.control,
        tuple(_told(client, key, simulated) for key in KEYS),
        client.results.campaign(CAMPAIGN),
        seconds,
    )


def _told(client: muster.Client, key: str, simulated: simulation_pb2.SimulationResult) -> Told:
    counts = client.messages.report(key).counts
    found = next(one for one in simulated.messages if one.message.key == key)
    states = {one.state: one.users for one in found.counts}
    return Told(
        key,
        (counts.selected, counts.sent, counts.held_out, sum(skip.users for skip in counts.skipped)),
        (found.selected, states.get("sent", 0), states.get("held_out", 0), states.get("skipped", 0)),
    )
