"""Replays Kevin Hillstrom's e-mail experiment of 2008 through a server as a campaign with a control group.

64,000 customers were divided by chance: a third got an e-mail with men's merchandise, a third one with women's, a third
none. For two weeks it was noted who visited the shop, who bought, and for how much. The file is
`Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv` of MineThatData.

Chance has divided these customers already, and Muster divides its users by a hash of its own: a third into the
campaign's control group, the others into two variants of a message. As either is chance, any user may be any customer of the
same group: users are made, the campaign is launched, and then each customer of the file is given a user of the customer's
group. The few users left over are deleted. Who they are has nothing to do with the
file, so that nothing is chosen.

Usage: python examples/hillstrom.py FILE [--server HOST:PORT] [--project NAME], with a server running (`muster serve`).
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import muster
from muster.messages import Email
from muster.v1 import results_pb2

SEGMENTS: Final = {"control": "No E-Mail", "variant:mens": "Mens E-Mail", "variant:womens": "Womens E-Mail"}
"""By Muster's group, the segment of the file."""

START: Final = datetime(2008, 3, 3, 9, tzinfo=UTC)
DAYS: Final = 14
_SPARE: Final = 6
"""So many times the square root of the customers more users are made than there are customers."""


@dataclass(frozen=True, slots=True)
class Customer:
    """What one line of the file says of the two weeks."""

    segment: str
    visit: bool
    spend: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the reports say: of visits, and of purchases with what was spent."""

    visits: results_pb2.Results
    purchases: results_pb2.Results


def read(path: Path) -> list[Customer]:
    """The customers of the file."""
    with path.open(newline="", encoding="utf-8") as lines:
        return [
            Customer(row["segment"], row["visit"] == "1", float(row["spend"]) if row["conversion"] == "1" else 0.0)
            for row in csv.DictReader(lines)
        ]


def replay(server: str, name: str, customers: Sequence[Customer]) -> Replayed:
    """Run the experiment as a campaign in a project of its own.

    Arguments:
        server: the server's address, "" for the usual one.
        name: of the project, which must not be there yet.
    """
    users = len(customers) + math.ceil(_SPARE * math.sqrt(len(customers)))
    with muster.Client(server, project=name) if server else muster.Client(project=name) as client:
        client.projects.create(name, clock="manual", start_time=START)
        client.import_records(
            record
            for number in range(users)
            for record in muster.update(f"c{number}", set={"$email": f"c{number}@example.com"})
        )
        client.messages.create(
            "offer",
            targeting="true",
            email=_email("New this week"),
            variants=[
                {"key": "mens", "percent": 50.0, "email": _email("New for men")},
                {"key": "womens", "percent": 50.0, "email": _email("New for women")},
            ],
        )
        client.campaigns.create(
            "two-weeks",
            entry="true",
            messages=["offer"],
            control_percent=100 / 3,
            goal={"event": "Visit", "window": timedelta(days=DAYS)},
        )
        client.campaigns.launch("two-weeks", existing="send")
        groups: dict[str, list[str]] = {group: [] for group in SEGMENTS}
        for one in client.messages.deliveries("offer"):
            groups[one.group].append(one.distinct_id)
        given, left_over = _given(groups, customers)
        while (counts := client.messages.report("offer").counts).queued or counts.begun:
            time.sleep(0.1)
        client.import_records(record for user in left_over for record in muster.update(user, delete=True))
        client.import_records(_events(given))
        client.projects.move_clock(START + timedelta(days=DAYS + 1))
        visits = client.results.message("offer")
        client.campaigns.update(
            "two-weeks", goal={"event": "Purchase", "window": timedelta(days=DAYS), "value": "amount"}
        )
        return Replayed(visits, client.results.message("offer"))


def _email(subject: str) -> Email:
    return {"from": "Shop <shop@example.com>", "subject": subject, "text": "Come and have a look."}


def _given(
    groups: Mapping[str, Sequence[str]], customers: Sequence[Customer]
) -> tuple[list[tuple[str, Customer]], list[str]]:
    """Users with the customer of the same group whom each stands for, and users for whom none is left."""
    given: list[tuple[str, Customer]] = []
    left_over: list[str] = []
    for group, users in groups.items():
        own = [one for one in customers if one.segment == SEGMENTS[group]]
        if len(users) < len(own):
            raise SystemExit(f"{len(users)} users are in {group}, of {len(own)} customers: take another project name")
        given += zip(users, own, strict=False)
        left_over += users[len(own) :]
    return given, left_over


def _events(given: Sequence[tuple[str, Customer]]) -> Iterator[muster.Record]:
    """What the customers did, spread over the two weeks."""
    for number, (user, customer) in enumerate(given):
        at = START + timedelta(hours=1 + number % (24 * DAYS - 2))
        if customer.visit:
            yield muster.event("Visit", user, time=at)
        if customer.spend:
            yield muster.event("Purchase", user, {"amount": customer.spend}, time=at + timedelta(minutes=5))


def show(found: Replayed) -> None:
    """Print what was published, as the reports have it."""
    for group in ("variant:mens", "variant:womens"):
        print(f"{SEGMENTS[group]} beside {SEGMENTS['control']}")
        for what, results, metric in (
            ("visit", found.visits, "converted"),
            ("conversion", found.purchases, "converted"),
            ("spend a head", found.purchases, "revenue"),
        ):
            one = comparison(results, metric, group)
            share = metric == "converted"
            write = "{:.3%}".format if share else "{:.3f}".format
            step = f"{one.difference.value * 100:+.3f} points" if share else f"{one.difference.value:+.3f}"
            low, high = write(one.difference.low), write(one.difference.high)
            print(
                f"  {what:13} {write(one.treated.mean)} of {one.treated.users:,} against {write(one.control.mean)} of "
                f"{one.control.users:,}: {step} [{low}, {high}], {'z' if share else 't'} = {one.difference.statistic:.3f}"
            )
    (ratio,) = found.visits.sample_ratios
    print(f"Sample ratio: p = {ratio.p_value:.3f}")


def comparison(results: results_pb2.Results, metric: str, group: str) -> results_pb2.Comparison:
    """A group beside the control group."""
    return next(one for one in results.comparisons if (one.metric, one.arm, one.baseline) == (metric, group, "control"))


def main() -> None:
    """Replay the experiment and print what the reports say."""
    parser = argparse.ArgumentParser(description="Replay Hillstrom's e-mail experiment through a Muster server.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--server", default="", help="host:port; without it $MUSTER_SERVER, or 127.0.0.1:7171")
    parser.add_argument("--project", default="hillstrom", help="the name of the project to make (hillstrom)")
    given = parser.parse_args()
    show(replay(given.server, given.project, read(given.file)))


if __name__ == "__main__":
    main()
