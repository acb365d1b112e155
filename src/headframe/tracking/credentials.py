"""Which credentials MLflow's client sends: those of `headframe up` to its own server alone, all others never to it.

MLflow reads them from the environment at each request, whatever server it goes to.
"""

import os

from headframe.environment import variable

USER, PASSWORD, TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"
"""Variables with the credentials of MLflow's client."""

LOCAL_SERVER = "HEADFRAME_LOCAL_MLFLOW"
"""Variable with address and password of the server that `headframe up` started, separated by a blank."""

LOCAL_USER = "headframe-up"
_given: dict[str, str] = {}


def use_credentials_for(uri: str) -> None:
    """Put into the environment what a server may get: the local server's own password, or what the user gave."""
    address, _, password = (variable(LOCAL_SERVER) or "").partition(" ")
    is_local = uri.rstrip("/") == address
    if is_local == (variable(USER) == LOCAL_USER):
        return
    before = {name: os.environ.pop(name) for name in (USER, PASSWORD, TOKEN) if name in os.environ}
    if is_local:
        _given.clear()
        _given.update(before)
        os.environ.update({USER: LOCAL_USER, PASSWORD: password})
    else:
        os.environ.update(_given)
