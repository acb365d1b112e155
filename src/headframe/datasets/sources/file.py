"""`file:PATH`: a file on this machine."""

from pathlib import Path

from typing_extensions import override

from headframe.datasets.sources.base import SourceScheme


class FileScheme(SourceScheme):
    """Locates `file:PATH`, absolute or relative to the project."""

    @override
    def locate(self, address: str, root: Path) -> list[Path]:
        return [root / address]
