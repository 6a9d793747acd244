"""The demo's course, call by call through the SDK: a project, its messages, an import, the months, the hand-offs.

Nothing here prints or kills. `run.py` shows it to people; tests play it in other steps and under a killer's hands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import muster
from muster.v1 import message_pb2

from server.demo import story
from server.demo.cdnow import END, START, Person, Purchase

_POLL_SECONDS = 0.02
Reports = dict[str, message_pb2.GetReportResponse]
"""A report for each of the demo's messages, by key."""


def prepare(client: muster.Client, url: str, project: str = story.PROJECT) -> None:
    """Make the project, on a clock that stands at the beginning, and launch both messages.

    Arguments:
        client: of that project.
        url: where the webhook goes.
    """
    client.projects.create(project, clock="manual", start_time=START, live=True)
    messages = client.messages
    messages.create(story.WINBACK, title="We miss you", targeting=story.LAPSED, email=story.EMAIL)
    messages.create(
        story.BEST, title="Best customers", targeting=story.SPENDERS, schedule=END, webhook=story.webhook(url)
    )
    messages.launch(story.WINBACK, existing="send")
    messages.launch(story.BEST)


def profiles(people: Sequence[Person]) -> Iterator[muster.Record]:
    """Everybody's profile, as records for an import."""
    for person in people:
        yield from muster.update(person.customer, set=story.profile(person))


def purchases(bought: Sequence[Purchase]) -> Iterator[muster.Record]:
    """Every purchase, as records for an import: its line in the file tells it from an equal one."""
    for purchase in bought:
        yield muster.event(
            "Purchase",
            purchase.customer,
            story.properties(purchase),
            time=purchase.day,
            insert_id=f"line-{purchase.line}",
        )


def reports(client: muster.Client, keys: Sequence[str] = story.KEYS) -> Reports:
    """What became of everybody, message by message, as of now."""
    return {key: client.messages.report(key) for key in keys}


def under_way(found: Reports) -> int:
    """How many wait to be handed off or are being handed off."""
    return sum(report.counts.queued + report.counts.begun for report in found.values())


def deliver(
    client: muster.Client, watch: Callable[[], None] = lambda: None, keys: Sequence[str] = story.KEYS
) -> Reports:
    """Wait until nothing is queued or under way.

    Arguments:
        keys: of the messages that are waited for.
        watch: called at every look, and may stop the server and start it again.

    Returns:
        The reports then.
    """
    while under_way(found := reports(client, keys)):
        watch()
        time.sleep(_POLL_SECONDS)
    return found


def play(client: muster.Client, step: story.Step, told: Callable[[datetime, Reports], None]) -> None:
    """Move the clock from the beginning to the end, handing off everything due before each next move.

    Arguments:
        told: called after each move, when its hand-offs are done.
    """
    for moment in story.instants(step):
        client.projects.move_clock(moment)
        told(moment, deliver(client))


def purchases_held(client: muster.Client) -> int:
    """The imported events that the store holds; Muster's own, such as `$campaign_delivery`, are apart."""
    return sum(event.count for event in client.profiles.schema().events if event.name == "Purchase")
