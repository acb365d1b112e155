"""What every source scheme provides."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path


class SourceScheme(ABC):
    """Locates raw files at their origin.

    A scheme `abc:` is a class `AbcScheme` in a module `abc` of this package; there is no list of schemes to edit.
    """

    @abstractmethod
    def locate(self, address: str, root: Path) -> Sequence[Path]:
        """Return the paths at which the origin may hold the file, most likely first; they need not exist.

        Args:
            address: the URI without its scheme.
            root: the project's folder.
        """
