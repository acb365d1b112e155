"""What every launcher provides."""

from pathlib import Path
from typing import Protocol


class Launcher(Protocol):
    """Starts the training program somewhere and waits for its end."""

    def launch(self, job: Path, folder: Path, root: Path, threads: int) -> None:
        """Run `python -m headframe.training` to its end.

        Args:
            job: the file of the training job.
            folder: where the program writes.
            root: the project's folder.
            threads: of the program.

        Raises:
            HeadframeError: or one of its kinds: what ended the program.
        """
