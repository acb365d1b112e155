"""The state of an unfinished training on disk: written whole or not at all, read without running code."""

import io
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from headframe.digests import write_atomically
from headframe.errors import DataError, first_line
from headframe.seals import LENGTH, OtherKey, require_seal, seal

FORMAT = 2
WORK_PER_SAVE = 50
"""How many times longer than writing a checkpoint takes, training must have gone on, before one is written again.

Less work is lost by a kill than would be spent on saving it, and writing costs 2 % of the time at most.
"""


class CheckpointFile:
    """One file that holds the newest state of a training; a state with another identity is another training's."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity
        self._due = 0.0

    def is_due(self) -> bool:
        """Return whether saving now is worth its cost."""
        return time.monotonic() >= self._due

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file; a power cut leaves the old one or the new one."""
        began = time.monotonic()
        raw = io.BytesIO()
        torch.save({"format": FORMAT, "identity": self.identity, **state}, raw)
        content = raw.getvalue()
        write_atomically(self.path, seal(content).encode() + content)
        done = time.monotonic()
        self._due = done + WORK_PER_SAVE * (done - began)

    def load(self) -> dict[str, Any] | None:
        """Load the state onto the CPU; None where there is none that this training could continue from.

        Raises:
            OtherKey: it was written by somebody whose key is not on this machine.
            DataError: the file is not, byte for byte, what was written.
        """
        if not self.path.is_file():
            return None
        content = self.path.read_bytes()
        try:
            require_seal(content[LENGTH:], content[:LENGTH].decode(errors="replace"))
            # torch reads past the checksums of its own format: a flipped bit would train on, to other weights.
            state = torch.load(io.BytesIO(content[LENGTH:]), map_location="cpu", weights_only=True)
        except OtherKey:
            raise
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            msg = f"{self.path} is damaged ({first_line(error)}); remove it to train from the start"
            raise DataError(msg) from error
        fits = state.get("format") == FORMAT and state.get("identity") == self.identity
        return state if fits else None
