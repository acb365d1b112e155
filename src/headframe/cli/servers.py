"""`headframe up`, `down` and `status`: the servers on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headframe.cli.output import CommandResult
from headframe.cli.parser import Commands


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    up = commands.add("up", _up, "start Prefect and MLflow on this machine and wait until they respond")
    up.add_argument("--prefect-port", type=int, default=None, help="of Prefect; default: 4200")
    up.add_argument("--mlflow-port", type=int, default=None, help="of MLflow; default: 5000")
    commands.add("down", _down, "stop what `up` started")
    commands.add("status", _status, "which servers run, and where")


def _up(arguments: argparse.Namespace) -> CommandResult:
    from headframe.servers import up

    return _listed(up(_root(), prefect_port=arguments.prefect_port, mlflow_port=arguments.mlflow_port))


def _down(_: argparse.Namespace) -> CommandResult:
    from headframe.servers import down

    return _listed(down(_root()))


def _status(_: argparse.Namespace) -> CommandResult:
    from headframe.servers import status

    return _listed(status(_root()))


def _root() -> Path:
    from headframe.config.project import Project

    return Project.find(Path.cwd()).root


def _listed(servers: Sequence[Any]) -> CommandResult:
    return CommandResult([one.model_dump(mode="json") for one in servers], [one.summary for one in servers])
