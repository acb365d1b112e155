"""`package:MODULE/PATH`: a file that an installed package brings along."""

import importlib.util
from pathlib import Path

from typing_extensions import override

from headframe.datasets.sources.base import SourceScheme, relative_path


class PackageScheme(SourceScheme):
    """Locates `package:MODULE/PATH` in the folder of a top-level package, which is not imported."""

    @override
    def locate(self, address: str, root: Path) -> list[Path]:
        package, _, rest = address.partition("/")
        found = importlib.util.find_spec(package) if package.isidentifier() else None
        homes = found.submodule_search_locations if found else None
        return [Path(home) / relative_path(rest.strip("/")) for home in homes or ()]
