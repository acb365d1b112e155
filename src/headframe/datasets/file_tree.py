"""The files of a folder or of a ZIP archive, by their relative names."""

import hashlib
import os
import zipfile
from functools import cached_property
from pathlib import Path

from headframe.digests import canonical, file_digest
from headframe.errors import ConfigurationError, DataError, HeadframeError

LARGEST_FILE = 2**28
"""Bytes of one file: a few bytes of an archive may unpack to any number."""


class FileTree:
    """The files of a folder or of a ZIP archive.

    Args:
        place: the folder or the archive.
    """

    def __init__(self, place: Path) -> None:
        self._place = place

    @cached_property
    def names(self) -> list[str]:
        """The files' names relative to the top, with `/` between, sorted.

        Raises:
            DataError: what is no folder is no ZIP archive, either.
            ConfigurationError: a link leads out of the folder.
        """
        if not self._place.is_dir():
            return sorted(each.filename for each in self._archive.infolist() if not each.is_dir())
        top = os.path.realpath(self._place)
        found = [file for file in self._place.rglob("*") if file.is_file()]
        for file in found:
            if not Path(os.path.realpath(file)).is_relative_to(top):
                raise ConfigurationError(f"{file} is a link out of {self._place}; put the file itself there")
        return sorted(file.relative_to(self._place).as_posix() for file in found)

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._place)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{self._place} is no folder and no ZIP archive that can be read: {error}") from error

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            DataError: it is larger than any file may be, or damaged.
            HeadframeError: it cannot be read.
        """
        try:
            if self._place.is_dir():
                size = (self._place / name).stat().st_size
            else:
                size = self._archive.getinfo(name).file_size
            if size > LARGEST_FILE:
                raise DataError(f"{self._place}: {name} has {size:,} bytes, and at most {LARGEST_FILE:,} are read")
            return (self._place / name).read_bytes() if self._place.is_dir() else self._archive.read(name)
        except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:  # also where it is encrypted
            raise DataError(f"{self._place}: {name} cannot be read: {error}") from error
        except OSError as error:
            raise HeadframeError(f"{self._place}: {name} cannot be read: {error.strerror or error}") from error


def place_digest(place: Path) -> str:
    """Return the sha256 of a file, or of a folder that of the names and digests of all files in it."""
    if not place.is_dir():
        return file_digest(place)
    listed = [[name, file_digest(place / name)] for name in FileTree(place).names]
    return hashlib.sha256(canonical(listed).encode()).hexdigest()
