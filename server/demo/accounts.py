"""Everybody accounted for, twice: by Muster's reports, and by what the receivers themselves wrote down."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import muster
from muster.v1 import message_pb2

from server.demo.processes import Receiver

_STATES = ("held_out", "deferred", "queued", "begun", "sent", "failed", "ambiguous")


@dataclass(frozen=True, slots=True)
class Account:
    """One message at the end.

    Arguments:
        report: Muster's own.
        received: mails, or users in webhooks, that the receiver took, repeats included.
        duplicates: how many of them were repeats of an idempotency key.
        problems: what does not add up, in words; empty where all does.
    """

    report: message_pb2.GetReportResponse
    received: int
    duplicates: int
    problems: tuple[str, ...]

    @property
    def skipped(self) -> int:
        """Users skipped, for whatever reason."""
        return sum(skip.users for skip in self.report.counts.skipped)

    def figures(self) -> dict[str, int | dict[str, int]]:
        """The account as JSON."""
        counts = self.report.counts
        found: dict[str, int | dict[str, int]] = {"selected": counts.selected, "skipped": self.skipped}
        found |= {state: getattr(counts, state) for state in _STATES}
        found["skipped_by_reason"] = {skip.reason: skip.users for skip in counts.skipped}
        return found | {"received": self.received, "duplicates": self.duplicates}


def settle(client: muster.Client, key: str, receiver: Receiver) -> Account:
    """Hold a message's ledger against its receiver's records, key by key."""
    report = client.messages.report(key)
    taken = Counter(one for record in receiver.records() for one in record["keys"])
    by_state: dict[str, set[str]] = {}
    for delivery in client.messages.deliveries(key):
        by_state.setdefault(delivery.state, set()).add(delivery.idempotency_key)
    sent, unknown = by_state.get("sent", set()), by_state.get("ambiguous", set())
    counts = report.counts
    total = sum(getattr(counts, state) for state in _STATES) + sum(skip.users for skip in counts.skipped)
    problems = list(report.problems)
    if total != counts.selected:
        problems.append(f"{counts.selected} were selected and {total} are accounted for")
    if len(sent) != counts.sent or len(unknown) != counts.ambiguous:
        problems.append("the list of deliveries and the report disagree")
    if sent - taken.keys():
        problems.append(f"{len(sent - taken.keys())} are called sent, and the receiver never saw them")
    if taken.keys() - sent - unknown:
        problems.append(f"{len(taken.keys() - sent - unknown)} were received that are neither sent nor ambiguous")
    return Account(report, taken.total(), taken.total() - len(taken), tuple(problems))
