"""Environment variables, read in one way everywhere."""

import os
from collections.abc import Mapping


def variable(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the value of an environment variable, as it is; None where it is unset, empty or blank.

    A line such as `HEADFRAME_SIGNER=` in an `.env` file or a container's settings names nothing.
    """
    value = environment.get(name, "")
    return value if value.strip() else None
