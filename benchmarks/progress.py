"""The bar on stderr: what a run is doing, and how far it is."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Bar:
    """One task's bar; shows nothing where stderr is no terminal. A context manager."""

    def __init__(self, name: str) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._name = name
        self._task = self._progress.add_task(name, total=None)

    def stage(self, text: str, steps: int | None = None) -> None:
        """Begin something of so many steps; None where nobody knows how many."""
        self._progress.reset(self._task, total=steps, description=f"{self._name}: {text}")

    def step(self) -> None:
        """One step is done."""
        self._progress.advance(self._task)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
