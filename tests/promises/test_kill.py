"""Promise: killed with -9 at any moment, the server loses nothing it acknowledged and hands nothing off twice.

The demo's story on every tenth customer is played under a killer's hands, as often as it takes for `--kills` kills
(20; `make kill`: 200). Each time it must end with the table of an undisturbed play, sent and ambiguous taken
together, and with the receivers' own records in agreement.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import muster
import pytest

from core.engine import verify
from server.demo import cdnow, play, story
from server.demo.accounts import Account, settle
from server.demo.processes import Receiver, Server
from tests.promises import expected

PART = 10
_MEAN_SECONDS = 0.4
_SECRET = "whsec_bXVzdGVyIG11c3RlciBtdXN0ZXIgbXVzdGVyISE="

Table = dict[str, dict[str, int]]
"""By message: users by state, skips by reason, sent and ambiguous taken together."""


class Killer(threading.Thread):
    """Kills a server at random moments and starts it again, until told to stop or the kills are used up."""

    def __init__(self, server: Server, chance: random.Random, most: int) -> None:
        super().__init__(name="killer", daemon=True)
        self.phase = "prepare"
        self.struck: Counter[str] = Counter()
        self._server = server
        self._chance = chance
        self._most = most
        self._done = False
        self._wake = threading.Event()
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            while self.struck.total() < self._most:
                self._wake.wait(min(3.0, self._chance.expovariate(1 / _MEAN_SECONDS)))
                self._wake.clear()
                if self._done:
                    return
                if self.phase != "delivery" and self.struck.total() >= self._most / 3:
                    continue  # the rest is for the hand-offs
                self.struck[self.phase] += 1
                self._server.kill()
                self._server.start()
        except BaseException as error:
            self._failure = error
            raise

    def strike(self) -> None:
        """Strike now: chance must not leave a phase out."""
        self._wake.set()

    def stop(self) -> None:
        """Strike no more; the server serves when this returns."""
        self._done = True
        self._wake.set()
        self.join()
        if self._failure is not None:
            raise self._failure


@dataclass
class Played:
    """How one play ended."""

    table: Table
    accounts: dict[str, Account]
    problems: list[str]
    kills: Counter[str] = field(default_factory=Counter)


def table(accounts: dict[str, Account]) -> Table:
    """The table that kills must not change."""
    found: Table = {}
    for key, account in accounts.items():
        counts = account.report.counts
        found[key] = {f"skipped {skip.reason}": skip.users for skip in counts.skipped}
        found[key] |= {
            "selected": counts.selected,
            "sent or ambiguous": counts.sent + counts.ambiguous,
            "failed": counts.failed,
            "under way": counts.queued + counts.begun + counts.deferred + counts.held_out,
        }
    return found


@contextmanager
def struck(killer: Killer | None) -> Iterator[None]:
    """While this lasts, the killer is at work."""
    if killer is None:
        yield
        return
    killer.start()
    try:
        yield
    finally:
        killer.stop()


def story_told(folder: Path, file: Path, chance: random.Random, kills: int) -> Played:
    """Play the story once, being killed up to so many times."""
    people, purchases = cdnow.load(file, PART)
    folder.mkdir()
    with ExitStack() as stack:
        mails = stack.enter_context(Receiver("smtp", folder / "mails.ndjson", "--delay", "0.002"))
        hooks = stack.enter_context(
            Receiver("http", folder / "webhooks.ndjson", "--delay", "0.02", "--secret", _SECRET)
        )
        options = {
            "smtp_host": mails.host,
            "smtp_port": mails.port,
            "smtp_security": "plain",
            "webhook": True,
            "webhook_secret": _SECRET,
            "checkpoint_bytes": 100_000,  # so that kills fall into checkpoints, too
            "group_records": 500,
        }
        server = stack.enter_context(Server(folder / "store", folder / "server.log", options))
        patient = muster.Retry(attempts=100_000, longest_wait=0.2)
        client = stack.enter_context(muster.Client(server.target, project=story.PROJECT, timeout=240.0, retry=patient))
        killer = Killer(server, chance, kills) if kills else None
        with struck(killer):
            play.prepare(client, f"http://{hooks.host}:{hooks.port}/")
            _enter(killer, "import")
            first = chance.randrange(len(purchases) // 2)
            client.import_records(play.profiles(people), import_id="profiles", batch=50, window=3, patience=240.0)
            client.import_records(
                play.purchases(purchases),
                import_id="purchases",
                batch=50,
                window=3,
                patience=240.0,
                progress=lambda at: _strike_from(killer, first, at.offset),
            )
            _enter(killer, "delivery")
            for moment in story.instants("month"):
                client.projects.move_clock(moment)
                play.deliver(client)
        accounts = {
            story.WINBACK: settle(client, story.WINBACK, mails),
            story.BEST: settle(client, story.BEST, hooks),
        }
        held = (client.projects.get().profiles, play.purchases_held(client))
        assert held == (len(people), len(purchases))
    problems = [problem for account in accounts.values() for problem in account.problems]
    problems += [f"{account.duplicates} came twice" for account in accounts.values() if account.duplicates]
    problems += verify(folder / "store" / "projects" / story.PROJECT)
    return Played(table(accounts), accounts, problems, killer.struck if killer else Counter())


def _strike_from(killer: Killer | None, first: int, offset: int) -> None:
    """Have an import that has come to its first victim struck, unless it was struck before."""
    if killer is not None and offset >= first and not killer.struck["import"]:
        killer.strike()


def _enter(killer: Killer | None, phase: str) -> None:
    if killer is not None:
        killer.phase = phase


def wanted(file: Path) -> Table:
    """The table by DuckDB, from the raw file."""
    people, _ = cdnow.load(file, PART)
    data = expected.database(file, people)
    mailed = expected.mailed(data, people, [cdnow.START, *story.instants("month")])
    best = len(expected.spenders(data))
    rest = {"failed": 0, "under way": 0}
    return {
        story.WINBACK: {f"skipped {reason}": users for reason, users in mailed.skipped.items()}
        | {"selected": len(mailed.lapses), "sent or ambiguous": mailed.handed_off}
        | rest,
        story.BEST: {"selected": best, "sent or ambiguous": best} | rest,
    }


@pytest.mark.timeout(7200)
def test_kills_change_nothing(tmp_path: Path, cdnow_file: Path, request: pytest.FixtureRequest) -> None:
    kills = request.config.getoption("--kills")
    chance = random.Random(request.config.getoption("--kill-seed"))
    truth = wanted(cdnow_file)
    undisturbed = story_told(tmp_path / "undisturbed", cdnow_file, chance, 0)
    assert undisturbed.problems == []
    assert undisturbed.table == truth
    assert sum(account.report.counts.ambiguous for account in undisturbed.accounts.values()) == 0

    made: Counter[str] = Counter()
    while made.total() < kills:
        place = f"after {made.total()} kills, seed {request.config.getoption('--kill-seed')}"
        played = story_told(tmp_path / f"killed-{made.total()}", cdnow_file, chance, kills - made.total())
        assert played.problems == [], place
        assert played.table == truth, place
        assert played.kills, "the story ended before the first kill"
        made += played.kills
    assert made["import"] and made["delivery"], made
