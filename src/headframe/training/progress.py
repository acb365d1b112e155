"""What a person sees of a training: bars on a terminal, plain lines anywhere else; all of it on stderr."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Reporter(NamedTuple):
    """Receives the progress of one training.

    Attributes:
        steps: called with the number of optimiser steps done, and of all.
        line: called with one fact, such as the figures of an epoch.
    """

    steps: Callable[[int, int], None]
    line: Callable[[str], None]


class Display:
    """Shows trainings side by side, each under its name; the name of the only one is empty."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._tasks: dict[str, TaskID] = {}
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
                TimeRemainingColumn(),
                console=console,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bars is not None:
            self._bars.stop()

    def steps(self, name: str, done: int, total: int) -> None:
        """Move the bar of a training."""
        if self._bars is not None:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name or "training", total=total)
            self._bars.update(self._tasks[name], completed=done)

    def line(self, name: str, text: str) -> None:
        """Show a fact above the bars, or as a plain line where there are none."""
        text = f"{name}: {text}" if name else text
        if self._bars is not None:
            self._bars.console.print(text, style="dim", highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - a program's log

    def reporter(self, name: str) -> Reporter:
        """Return the reporter of one training."""
        return Reporter(partial(self.steps, name), partial(self.line, name))
