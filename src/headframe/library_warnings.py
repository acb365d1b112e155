"""Warnings of libraries as a user reads them."""

import logging
import warnings
from typing import Any

log = logging.getLogger("headframe")


def shorten_warnings() -> None:
    """Log warnings of libraries in this process as one line: no path and no source code reach the terminal."""
    warnings.showwarning = _show


def _show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    text = next(iter(str(message).strip().splitlines()), "without a text")
    log.warning("warning    %s: %s", category.__name__, text)
