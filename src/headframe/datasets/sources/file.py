"""`file:PATH`: a file of the project."""

from pathlib import Path

from typing_extensions import override

from headframe.datasets.sources.base import SourceScheme, path_within


class FileScheme(SourceScheme):
    """Locates `file:PATH`, relative to the project."""

    @override
    def locate(self, address: str, root: Path) -> list[Path]:
        return [path_within(root, address)]
