"""The socket between a training process and whoever started it.

It stays open as long as both live. When the one who started it ends, however abruptly, the kernel closes the other
end and the training ends, too. Before that, the sentence that a training failed with travels over it.
"""

from __future__ import annotations

import json
import os
import socket
import threading

from headframe import errors
from headframe.errors import HeadframeError

ORPHANED = 125
"""Exit code of a training whose starter is gone; nobody is left to read it."""


class ParentWatch:
    """The training's end.

    Args:
        descriptor: of the inherited socket.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        threading.Thread(target=self._watch, daemon=True).start()

    def tell(self, error: HeadframeError) -> None:
        """Hand over what the training failed with."""
        self._socket.sendall(json.dumps({"type": type(error).__name__, "sentence": str(error)}).encode())

    def _watch(self) -> None:
        self._socket.recv(1)  # nothing is ever sent this way, so this returns at the end only
        os._exit(ORPHANED)


def heard(end: socket.socket) -> HeadframeError | None:
    """Read, at the starter's end and after the training ended, what it failed with; None if it said nothing.

    Args:
        end: the starter's end of the socket.
    """
    raw = b""
    while piece := end.recv(65536):
        raw += piece
    if not raw:
        return None
    said = json.loads(raw)
    kind = getattr(errors, said["type"], HeadframeError)
    return kind(said["sentence"])
