"""What every source scheme provides."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from headframe.errors import ConfigurationError


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

    def is_there(self, place: Path) -> bool:
        """Return whether a place holds what such a URI names."""
        return place.is_file()


_ADVICE = "put the file into the project or into the folder that HEADFRAME_MIRROR names, and give its path there"


def relative_path(address: str) -> PurePosixPath:
    """Return an address as a path below some folder.

    Raises:
        ConfigurationError: it is absolute, or holds `..`: a plan may come from somebody who shall not choose among all
            files of this machine.
    """
    path = PurePosixPath(address)
    if path.is_absolute() or ".." in path.parts or "\0" in address:
        raise ConfigurationError(f"source {address!r} leads out of the project; {_ADVICE}")
    return path


def path_within(folder: Path, address: str) -> Path:
    """Return the path that an address has in a folder; it need not exist.

    Raises:
        ConfigurationError: as `relative_path`; or it leads out of the folder by a link.
    """
    place = folder / relative_path(address)
    real = os.path.realpath(place)
    if not Path(real).is_relative_to(os.path.realpath(folder)):
        raise ConfigurationError(f"{place} is a link out of {folder}, to {real}; {_ADVICE}")
    return place
