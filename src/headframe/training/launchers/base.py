"""What every launcher provides."""

from abc import ABC, abstractmethod
from pathlib import Path


class Launcher(ABC):
    """Starts the training program somewhere and waits for its end."""

    @abstractmethod
    def launch(self, job: Path, folder: Path, root: Path, threads: int) -> None:
        """Run `python -m headframe.training` to its end.

        An error that the program knows of comes back as `error.json` in its folder, which whoever launches it reads.

        Args:
            job: the file of the training job.
            folder: where the program writes.
            root: the project's folder.
            threads: of the program.

        Raises:
            HeadframeError: the program ended without a result, or did not begin.
        """
