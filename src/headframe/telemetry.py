"""Telemetry of every dependency, off; a switch that the environment sets already is left as it is."""

import os

from headframe.environment import variable

OFF = {
    "DO_NOT_TRACK": "true",  # mlflow honours no other spelling
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GIT_PYTHON_REFRESH": "quiet",  # mlflow's git import prints a page where git is missing
}


def switch_off() -> None:
    """Set the switches that are not set yet, for this process and its children; entry points call this first."""
    for name, value in OFF.items():
        os.environ[name] = variable(name) or value
