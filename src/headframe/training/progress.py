"""What a person sees of a training: bars on a terminal, plain lines anywhere else; all of it on stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Reporter(Protocol):
    """Takes in how a training goes on."""

    def steps(self, done: int, total: int) -> None:
        """Learn how many optimiser steps are done."""

    def line(self, text: str) -> None:
        """Learn one fact worth keeping, such as an epoch's figures."""


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        """Give the reporter of one training."""
        return _Named(self, name)


class _Named:
    def __init__(self, display: Display, name: str) -> None:
        self._display, self._name = display, name

    def steps(self, done: int, total: int) -> None:
        self._display.steps(self._name, done, total)

    def line(self, text: str) -> None:
        self._display.line(self._name, text)
