"""Compile a project's own modules each time they are imported.

Python runs byte code that was compiled from a source of the same size and of the same time of change, in whole seconds.
Of two edits within one second the first could run while the digest of the second is recorded.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from typing_extensions import override

_LIBRARIES = ("site-packages", "dist-packages")


def compile_own_sources() -> None:
    """Have this process ignore byte code of all sources but Headframe's and those of installed libraries."""
    if _finder not in sys.path_hooks:
        sys.path_hooks.insert(0, _finder)
        for entry in filter(_is_own, [*sys.path_importer_cache]):
            del sys.path_importer_cache[entry]


class _Source(SourceFileLoader):
    @override
    def get_code(self, fullname: str) -> CodeType | None:
        if fullname.partition(".")[0] == "headframe":  # of a clone, whose every start would take longer
            return super().get_code(fullname)
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _is_own(entry: str) -> bool:
    path = Path(entry)
    libraries = any(path.is_relative_to(prefix) for prefix in (sys.prefix, sys.base_prefix))
    return not libraries and not {*_LIBRARIES} & {*path.parts}


_of_source = FileFinder.path_hook((ExtensionFileLoader, EXTENSION_SUFFIXES), (_Source, SOURCE_SUFFIXES))


def _finder(entry: str) -> Any:
    if not _is_own(entry):
        raise ImportError(entry)
    return _of_source(entry)
