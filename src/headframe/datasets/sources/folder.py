"""`folder:PATH`: a folder of the project with many small files, which become one table."""

from pathlib import Path

from typing_extensions import override

from headframe.datasets.sources.base import SourceScheme, path_within


class FolderScheme(SourceScheme):
    """Locates `folder:PATH`, relative to the project; its sha256 is that of the names and digests of its files."""

    @override
    def locate(self, address: str, root: Path) -> list[Path]:
        return [path_within(root, address)]

    @override
    def is_there(self, place: Path) -> bool:
        return place.is_dir()
