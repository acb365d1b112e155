"""Environment variables, read in one way everywhere."""

import os
from collections.abc import Mapping
from pathlib import Path

KEYS = "HEADFRAME_KEYS"  # names the folder of keys


def variable(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the value of an environment variable, as it is; None where it is unset, empty or blank.

    A line such as `HEADFRAME_SIGNER=` in an `.env` file or a container's settings names nothing.
    """
    value = environment.get(name, "")
    return value if value.strip() else None


def keys_folder() -> Path:
    """Return the folder of keys: `HEADFRAME_KEYS`, else `headframe/keys` in the user's configuration folder (XDG)."""
    if named := variable(KEYS):
        return Path(named)
    return Path(variable("XDG_CONFIG_HOME") or Path.home() / ".config") / "headframe" / "keys"
