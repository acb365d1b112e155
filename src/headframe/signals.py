"""Signals that ask a process to end, as exceptions: what it has begun is cleaned up as after Ctrl-C."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_REPEATED_SECONDS = 1.0
"""A signal that comes again so soon is the same request, sent to a process and to its group."""


class Terminated(KeyboardInterrupt):
    """A signal asked this process to end; libraries treat it like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def raising_terminated() -> Iterator[None]:
    """Raise `Terminated` in the main thread for SIGTERM and SIGHUP, unless the process ignores or handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last = -_REPEATED_SECONDS

    def end(number: int, _: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > _REPEATED_SECONDS:
            raise Terminated(number)

    ours = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def stop_message(stop: KeyboardInterrupt) -> tuple[str, int]:
    """Return the sentence and the exit code, as shells have it, for what stopped a process."""
    number = stop.number if isinstance(stop, Terminated) else signal.SIGINT
    how = f"ended by {stop}" if isinstance(stop, Terminated) else "interrupted"
    return f"{how}; the same command continues where this one stopped", 128 + number
