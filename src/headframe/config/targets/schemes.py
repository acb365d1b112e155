"""Which URI schemes raw files can come from: one module of `headframe.datasets.sources` each."""

from __future__ import annotations

from headframe.config.targets.definitions import module_file
from headframe.config.targets.nearest import nearest
from headframe.errors import ConfigurationError

PACKAGE = "headframe.datasets.sources"


def scheme_module(uri: str) -> str:
    """Return the name of the module that locates raw files of a URI's scheme, without importing it.

    Raises:
        ConfigurationError: there is no such scheme.
    """
    scheme = uri.partition(":")[0]
    package = module_file(PACKAGE)
    known = {file.stem for file in package.parent.glob("*.py")} - {"__init__", "base"} if package else set()
    if scheme not in known:
        schemes = ", ".join(f"{name}:" for name in sorted(known))
        msg = f"{uri!r} begins with none of the known schemes ({schemes}); {nearest(scheme, known)}"
        raise ConfigurationError(msg)
    return f"{PACKAGE}.{scheme}"
