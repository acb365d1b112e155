"""`package:MODULE/PATH`: a file that an installed package brings along."""

import importlib.util
from pathlib import Path, PurePosixPath

from typing_extensions import override

from headframe.datasets.sources.base import SourceScheme


class PackageScheme(SourceScheme):
    """Locates `package:MODULE/PATH` in the folder of a top-level package, which is not imported."""

    @override
    def locate(self, address: str, root: Path) -> list[Path]:
        package, *rest = PurePosixPath(address).parts
        found = importlib.util.find_spec(package)
        return [Path(home).joinpath(*rest) for home in (found.submodule_search_locations or ())] if found else []
