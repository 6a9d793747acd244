"""Corpora on disk: a store filled through the engine's own bulk load, made once and kept by name, size, seed and format."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from pyroaring import BitMap

from benchmarks import history, people
from benchmarks.history import History
from benchmarks.people import NOW, PROJECT, People
from core.bitmaps.population import Population
from core.engine import Engine
from core.errors import StoreError
from core.profiles.identity import Users
from core.settings import ClockKind, Settings
from core.storage.folder import FORMAT as STORE_FORMAT
from core.values import ValueType

FOLDER: Final = Path(__file__).parent / ".corpora"
_FACTS: Final = "corpus.json"
_OF_NO_USE: Final = frozenset({"STORE_DAMAGED", "STORE_TRUNCATED", "STORE_FORMAT_NEWER", "STORE_FORMAT_OLDER"})
_WIDE_FORMAT: Final = 1
_WIDE_DRAW: Final = 400  # a stream of the seed, apart from the others
_CITIES: Final = 1_000
_UNIQUE: Final = {"handle": "h{:08d}", "phone": "+4915{:09d}", "device": "d{:08x}-0000-4000-8000-{:012d}"}
_IDS_AT_ONCE: Final = 500_000
Fill = Callable[[Population, Users], None]
Progress = Callable[[str], None]
"""Told what begins now, in a few words."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A cached corpus.

    Arguments:
        folder: a server's store folder with one project, `PROJECT`; not to be changed.
        key: name, size, seed and format version.
    """

    folder: Path
    key: str

    def open(self) -> Engine:
        """Its engine; nobody may write to it.

        Raises:
            StoreError: as `Engine.open`, with what to do where the cached store is of no use any more.
        """
        try:
            return Engine.open(project_folder(self.folder), clock=lambda: NOW)
        except StoreError as error:
            if error.code not in _OF_NO_USE:
                raise
            mend = "delete this folder: it is made anew"
            raise StoreError(error.message, field=str(self.folder), mend=mend, code=error.code) from error


def disk_bytes(folder: Path) -> int:
    """What the files of a folder take on disk: blocks, not lengths, as files are lengthened ahead of their use."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def project_folder(store: Path) -> Path:
    """Where a server's store folder keeps the engine's store of `PROJECT`."""
    return store / "projects" / PROJECT


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside the corpora, gone afterwards."""
    made = folder / f".run-{uuid.uuid4().hex}"
    made.mkdir(parents=True)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def copied(corpus: Corpus, folder: Path) -> Iterator[Path]:
    """A new folder beside the corpora with a copy of one in `store`, which may be written to; gone afterwards."""
    with scratch_folder(folder) as scratch:
        shutil.copytree(corpus.folder, scratch / "store")
        os.sync()  # so that writing the copy back is not measured
        yield scratch


def people_corpus(who: People, seed: int, folder: Path, progress: Progress, clock: ClockKind = "manual") -> Corpus:
    """The store that holds these people, made where there is none yet.

    Arguments:
        who: as `people.generate(len(who), seed)` gave them.
        folder: where corpora are kept; made where it does not exist.
        clock: of its project; a real one goes on from `NOW` to the present as soon as it is served.

    Raises:
        StoreError: CORPORA_UNUSABLE, where the folder or the disk does not take it.
    """
    name = "people" if clock == "manual" else f"people-{clock}-clock"
    key = f"{name}-{len(who)}-seed{seed}-format{people.FORMAT}.{STORE_FORMAT}"

    def fill(population: Population, users: Users) -> None:
        _fill(who, population, users, progress)
        progress("writing the checkpoint")

    return _kept(key, who.digest(), folder, [fill], clock)


def wide_corpus(who: People, seed: int, folder: Path, progress: Progress) -> Corpus:
    """The store that holds these people with twelve properties, four of them strings that nobody shares.

    Arguments and errors as for `people_corpus`.
    """

    def fill(population: Population, users: Users) -> None:
        _fill(who, population, users, progress)
        draw = np.random.default_rng([seed, _WIDE_DRAW])
        progress("loading visits, city")
        population.bulk_column("visits", ValueType.INT, draw.geometric(1 / 40, len(who)))
        cities = [f"city-{number}" for number in range(_CITIES)]
        population.bulk_column("city", ValueType.STRING, (draw.integers(0, _CITIES, len(who), np.uint32), cities))
        for name, pattern in _UNIQUE.items():
            progress(f"loading {name}")
            texts = [pattern.format(ordinal, ordinal) for ordinal in range(len(who))]
            population.bulk_column(name, ValueType.STRING, (np.arange(len(who), dtype=np.uint32), texts))
        progress("writing the checkpoint")

    key = f"wide-{len(who)}-seed{seed}-format{people.FORMAT}.{_WIDE_FORMAT}.{STORE_FORMAT}"
    return _kept(key, who.digest(), folder, [fill])


def history_corpus(who: People, what: History, folder: Path, progress: Progress) -> Corpus:
    """The store that holds these people and what they did, made where there is none yet.

    Events are drawn and written by slices, so that memory does not grow with them.

    Arguments:
        who: as `people.generate(what.people, what.seed)` gave them.
        folder: as for `people_corpus`.

    Raises:
        StoreError: CORPORA_UNUSABLE, where the folder or the disk does not take it.
    """
    formats = f"format{people.FORMAT}.{history.FORMAT}.{STORE_FORMAT}"

    slices = what.slices()

    def fill(population: Population, users: Users) -> None:
        _fill(who, population, users, progress)
        progress("writing the checkpoint")

    def add(number: int, population: Population, users: Users) -> None:
        progress(f"loading {what.events:,} events: part {number + 1} of {len(slices)}")
        history.load(what, slices[number], population)

    key = f"history-{len(who)}-events{what.events}-seed{what.seed}-{formats}"
    parts = [partial(add, number) for number in range(len(slices))]
    return _kept(key, f"{who.digest()}{what.digest()}", folder, [fill, *parts])


def _kept(key: str, digest: str, folder: Path, fills: Sequence[Fill], clock: ClockKind = "manual") -> Corpus:
    try:
        return _made(key, digest, folder, fills, clock)
    except OSError as error:
        raise StoreError(
            f"the corpora cannot be kept: {error.strerror}",
            field=str(folder),
            mend="name another folder with --corpora",
            code="CORPORA_UNUSABLE",
        ) from error


def _made(key: str, digest: str, folder: Path, fills: Sequence[Fill], clock: ClockKind) -> Corpus:
    final = folder / key
    folder.mkdir(parents=True, exist_ok=True)
    if _digest_of(final) == digest:
        return Corpus(final, key)
    making = folder / f".making-{uuid.uuid4().hex}"
    try:
        project_folder(making).parent.mkdir(parents=True)
        _load(project_folder(making), fills, clock)
        (making / _FACTS).write_text(json.dumps({"key": key, "digest": digest}) + "\n", encoding="utf-8")
        if final.exists():  # of another generator: numpy's streams may change between versions
            shutil.rmtree(final)
        making.rename(final)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return Corpus(final, key)


def _digest_of(folder: Path) -> str:
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return ""
    return str(facts.get("digest", ""))


def _load(folder: Path, fills: Sequence[Fill], clock: ClockKind) -> None:
    Engine.create(folder, Settings(PROJECT, uid="be9c4", clock=clock, created_at=NOW), NOW)
    engine = Engine.open(folder, clock=lambda: NOW)
    try:
        for fill in fills:  # each ends in a checkpoint, and what that wrote is no longer held in memory
            engine.load(fill)
    finally:
        engine.close()


def _fill(who: People, population: Population, users: Users, progress: Progress) -> None:
    progress("loading ids")
    for first in range(0, len(who), _IDS_AT_ONCE):
        last = min(first + _IDS_AT_ONCE, len(who))
        users.load_bulk([people.id_of(ordinal) for ordinal in range(first, last)])
    population.issue(users.issued)
    progress("loading country, plan, age")
    population.bulk_column("country", ValueType.STRING, (who.country, list(people.COUNTRIES)))
    population.bulk_column("plan", ValueType.STRING, (who.plan, list(people.PLANS)))
    population.bulk_column("age", ValueType.INT, who.age)
    progress("loading last_seen, ltv, unsubscribed")
    population.bulk_column("last_seen", ValueType.TIMESTAMP, who.last_seen)
    population.bulk_column("ltv", ValueType.DOUBLE, who.ltv)
    population.bulk_column("unsubscribed", ValueType.BOOL, who.unsubscribed)
    progress("loading email")
    members = np.flatnonzero(who.has_email)
    codes = np.maximum(np.cumsum(who.has_email) - 1, 0).astype(np.uint32)
    emails = [people.email_of(ordinal) for ordinal in members.tolist()]
    if emails:
        population.bulk_column("email", ValueType.STRING, (codes, emails), BitMap(members.astype(np.uint32)))
