"""CDNOW: 69,659 real purchases by 23,570 customers, January 1997 to June 1998.

The file lies in the wheel of PyPI's Lifetimes 0.11.3 (MIT licence), which is fetched once, without its
dependencies, and kept in a cache folder. It has no names and no addresses: `people` makes them by seed, and
leaves a few per cent out.
"""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

PACKAGE: Final = "Lifetimes==0.11.3"
MEMBER: Final = "lifetimes/datasets/CDNOW_master.txt"
START: Final = datetime(1997, 1, 1, tzinfo=UTC)
END: Final = datetime(1998, 7, 1, tzinfo=UTC)
SEED: Final = 1997

_WITHOUT_ADDRESS: Final = 0.04
_WITHOUT_NAME: Final = 0.02
_FIRST_NAMES: Final = (
    "Ada Alan Barbara Claude Dennis Donald Edsger Evelyn Frances Grace Hedy Ivan James Jean Joan John Karen Katherine "
    "Ken Leslie Lynn Margaret Mary Niklaus Radia Richard Robin Rosa Shafi Sophie Tim Tony"
).split()
_LAST_NAMES: Final = (
    "Allen Backus Berners Boyd Clarke Dijkstra Earl Floyd Gray Hamilton Hoare Holberton Hopper Johnson Kay Knuth "
    "Lamarr Lamport Liskov Lovelace Milner Naur Perlman Ritchie Shannon Sutherland Thompson Turing Wilson Wirth"
).split()


class NotFetched(RuntimeError):
    """The data cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """One line of the file. `day` is 00:00 UTC; `line` is its 0-based place below the heading, which makes the event's identity."""

    line: int
    customer: str
    day: datetime
    discs: int
    dollars: float


@dataclass(frozen=True, slots=True)
class Person:
    """A customer with a synthetic name and address; either may be missing."""

    customer: str
    first_name: str | None
    email: str | None


def fetch(cache: Path) -> Path:
    """The data file, fetched into a cache folder where it is not there yet.

    Raises:
        NotFetched: where pip cannot fetch the wheel.
    """
    file = cache / "CDNOW_master.txt"
    if file.exists():
        return file
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--only-binary", ":all:", "--dest", str(cache), PACKAGE], capture_output=True, text=True, check=False
    )
    wheels = sorted(cache.glob("[Ll]ifetimes-0.11.3*.whl"))
    if done.returncode or not wheels:
        raise NotFetched(
            f"pip could not fetch {PACKAGE}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no wheel'}; "
            f"fetch its wheel elsewhere and put it into {cache}"
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        partial = file.with_suffix(".part")
        partial.write_bytes(wheel.read(MEMBER))
        partial.rename(file)
    return file


def purchases(file: Path) -> Iterator[Purchase]:
    """The purchases in the file's order, its heading left out.

    Raises:
        ValueError: for a line that is not four fields.
    """
    with file.open(encoding="ascii") as lines:
        next(lines)
        for number, line in enumerate(lines):
            customer, day, discs, dollars = line.split()
            moment = datetime(int(day[:4]), int(day[4:6]), int(day[6:]), tzinfo=UTC)
            yield Purchase(number, customer, moment, int(discs), float(dollars))


def people(file: Path, seed: int = SEED) -> list[Person]:
    """A synthetic person for every customer, in order of their ids; the same for the same seed."""
    chance = random.Random(seed)
    found = []
    for customer in sorted({purchase.customer for purchase in purchases(file)}):
        first, last = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
        email = f"{first}.{last}.{customer}@example.com".lower()
        found.append(
            Person(
                customer,
                None if chance.random() < _WITHOUT_NAME else first,
                None if chance.random() < _WITHOUT_ADDRESS else email,
            )
        )
    return found


def load(file: Path, part: int = 1) -> tuple[list[Person], list[Purchase]]:
    """The customers and their purchases.

    Arguments:
        part: take one customer in so many, by number.
    """
    chosen = [person for person in people(file) if int(person.customer) % part == 0]
    return chosen, [purchase for purchase in purchases(file) if int(purchase.customer) % part == 0]
