"""What every launcher provides."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Launcher(Protocol):
    """Starts the training program somewhere and waits for its end."""

    def launch(self, plan: Path, folder: Path, root: Path, table: str, threads: int) -> None:
        """Run `python -m headframe.training` to its end.

        Args:
            plan: the file of the training plan.
            folder: where the program writes.
            root: the project's folder.
            table: sha256 of the table to train on; the program accepts no other.
            threads: of the program.

        Raises:
            HeadframeError: or one of its kinds: what ended the program.
        """
