"""`muster demo`: the whole path on real purchases, shown to people as it happens."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import muster
from rich.console import Console
from rich.progress import Progress, TaskID

from core.errors import InvalidInput
from server.demo import campaign, cdnow, play, show, show_campaign, story, truth
from server.demo.accounts import Account, settle
from server.demo.processes import Receiver, Server

_MARK: Final = ".made-by-muster-demo"
_KILLS: Final = 2
_ROUNDS: Final = 5
_WORTH_A_KILL: Final = 400  # mails of a month: enough that some are surely under way when the first have arrived


@dataclass(slots=True)
class Killer:
    """Ends the server in the middle of hand-offs, as a power cut would, and starts it again.

    Arguments:
        server: the victim.
        receiver: whose records tell that a month's mails are under way.
    """

    server: Server
    receiver: Receiver
    console: Console
    _before: int = 0
    _strike_at: int = 0
    _armed: bool = False

    def arm(self, selected: int) -> None:
        """The clock was moved and so many were selected for the mail."""
        self._armed = selected >= _WORTH_A_KILL and self.server.kills < _KILLS
        self._strike_at = self.receiver.lines() + selected // 5
        self._before = self.receiver.lines()

    def look(self) -> None:
        """Strike once a fifth of the month's mails has arrived."""
        if not self._armed or self.receiver.lines() < self._strike_at:
            return
        self._armed = False
        self.server.kill()
        arrived = self.receiver.lines() - self._before
        show.killed(self.console, arrived, self.server.start())


@dataclass(slots=True)
class Outcome:
    """What a demo came to."""

    profiles: int
    events: int
    kills: int
    accounts: dict[str, Account] = field(default_factory=dict)
    course: campaign.Course | None = None

    @property
    def reconciled(self) -> bool:
        """Whether Muster's ledgers add up and agree with the receivers' records."""
        return all(account.report.reconciled and not account.problems for account in self.accounts.values())

    @property
    def kept(self) -> bool:
        """Whether the demo showed what it promises."""
        if self.course is None or not self.course.equal:
            return False
        return self.reconciled and self.kills > 0 and not any(a.duplicates for a in self.accounts.values())

    def line(self) -> str:
        """The demo's last line."""
        return json.dumps(
            {
                "profiles": self.profiles,
                "events": self.events,
                "messages": {key: account.figures() for key, account in self.accounts.items()},
                "campaign": None if self.course is None else self.course.figures(),
                "reconciled": self.reconciled,
                "kills": self.kills,
            }
        )


def clear(store: Path) -> None:
    """Make room for the demo's store; one that an earlier demo left is removed.

    Raises:
        InvalidInput: STORE_EXISTS, where the folder holds anything else.
    """
    if store.exists() and any(store.iterdir()):
        if not (store / _MARK).exists():
            raise InvalidInput(
                f"{store} holds something that no demo made",
                field="store",
                mend="name another folder with --store",
                code="STORE_EXISTS",
            )
        shutil.rmtree(store)
    store.mkdir(parents=True, exist_ok=True)
    (store / _MARK).touch()


def run(store: Path, cache: Path, step: story.Step, console: Console) -> Outcome:
    """Play the demo; everything that it starts has ended when it returns.

    Arguments:
        store: folder for the server's store, its log and the receivers' records.
        cache: where the data file is kept.
        step: how far the clock goes at once.
        console: to print on.

    Raises:
        InvalidInput: STORE_EXISTS; DidNotStart; cdnow.NotFetched.
    """
    show.opening(console)
    file = cdnow.fetch(cache)
    people, purchases = cdnow.load(file)
    clear(store)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    with ExitStack() as stack:
        mails = stack.enter_context(Receiver("smtp", store / "mails.ndjson"))
        hooks = stack.enter_context(Receiver("http", store / "webhooks.ndjson", "--secret", secret))
        letters = stack.enter_context(Receiver("http", store / "campaign.ndjson", "--secret", secret))
        options = {
            "smtp_host": mails.host,
            "smtp_port": mails.port,
            "smtp_security": "plain",
            "webhook": True,
            "webhook_secret": secret,
        }
        server = stack.enter_context(Server(store, store / "server.log", options))
        client = stack.enter_context(muster.Client(server.target, project=story.PROJECT, timeout=120.0))
        play.prepare(client, f"http://{hooks.host}:{hooks.port}/best-customers")
        campaign.launch(client, f"http://{letters.host}:{letters.port}/first-record")
        _import(client, people, purchases, console)
        killer = Killer(server, mails, console)
        _play(client, step, killer, console)
        show.audience(console, _audience(client, file))
        mailed = _someone_mailed(client)
        show.explanation(console, mailed, client.messages.explain(story.WINBACK, mailed))
        outcome = Outcome(client.projects.get().profiles, play.purchases_held(client), server.kills)
        outcome.accounts = {
            story.WINBACK: settle(client, story.WINBACK, mails),
            story.BEST: settle(client, story.BEST, hooks),
        }
        outcome.course = campaign.simulate(client)
        show_campaign.course(console, outcome.course)
        show.received(console, mails.stop(), hooks.stop())
        show.mail(console, next(mails.records())["raw"])
        show.accounts(console, outcome.accounts)
    show.next_steps(console, store, mailed)
    return outcome


def _import(
    client: muster.Client, people: list[cdnow.Person], purchases: list[cdnow.Purchase], console: Console
) -> None:
    with show.progress(console) as bars:
        for name, count, records in (
            ("customers", len(people), play.profiles(people)),
            ("purchases", len(purchases), play.purchases(purchases)),
        ):
            bar = bars.add_task(name, total=count)
            done = client.import_records(records, import_id=f"cdnow-{name}", progress=partial(_told, bars, bar))
            if done.rejected:
                raise done.rejected[0].error
            bars.update(bar, total=done.offset, completed=done.offset)


def _told(bars: Progress, bar: TaskID, at: muster.Imported) -> None:
    bars.update(bar, completed=at.offset)


def _play(client: muster.Client, step: story.Step, killer: Killer, console: Console) -> None:
    show.play_begins(console)
    months = show.Months(console)
    before = 0
    for moment in story.instants(step):
        client.projects.move_clock(moment)
        selected = client.messages.report(story.WINBACK).counts.selected
        killer.arm(selected - before)
        before = selected
        months.told(moment, play.deliver(client, killer.look, (*story.KEYS, *campaign.KEYS)))


def _audience(client: muster.Client, file: Path) -> show.Comparison:
    started = time.perf_counter()
    with truth.load(file) as database:
        loading = time.perf_counter() - started
        answers = [client.audiences.count(story.LOYAL) for _ in range(_ROUNDS)]
        now = answers[0].now.ToDatetime(UTC)
        peers = [truth.loyal(database, now) for _ in range(_ROUNDS)]
    return show.Comparison(
        answers[0].count,
        answers[0].total,
        median(answer.elapsed_micros for answer in answers) / 1e6,
        peers[0].count,
        median(peer.seconds for peer in peers),
        loading,
        _ROUNDS,
    )


def _someone_mailed(client: muster.Client) -> str:
    deliveries = client.messages.deliveries(story.WINBACK)
    return next(delivery.distinct_id for delivery in deliveries if delivery.state == "sent")
