"""What can be set about a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpora import FOLDER


@dataclass(frozen=True, slots=True)
class Options:
    """Common to all benchmarks.

    Arguments:
        profiles: how many people the corpus has.
        seed: of the corpus and of everything else that is drawn.
        rounds: how many are timed.
        corpora: the folder of cached corpora.
    """

    profiles: int = 10_000_000
    seed: int = 7
    rounds: int = 9
    corpora: Path = FOLDER
