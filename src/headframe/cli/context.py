"""What commands share: the project they run in, the engine, and the plan of their overrides."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from headframe.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from headframe.config.project import Project


def find_project() -> Project:
    """Find the project of the working folder."""
    from pathlib import Path

    from headframe.config.project import Project

    return Project.find(Path.cwd())


def keep_to_owner(project: Project) -> None:
    """Make private what an earlier version left readable or writable for others, and log that once."""
    from headframe.permissions import make_private

    count = make_private(project.state)
    if count:
        from headframe.orchestration import log

        log.info("others could read or write %d files and folders in %s; now only you can", count, project.state.name)


def open_project() -> Project:
    """Find the project, make its code importable, and use its servers where they are running.

    Raises:
        HeadframeError: this process may use less memory than what commands import needs.
    """
    from headframe.exhaustion import require_memory
    from headframe.own_source import compile_own_sources

    require_memory()
    compile_own_sources()
    project = find_project()
    os.chdir(project.root)
    keep_to_owner(project)
    for folder in (project.root, project.root / "src"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    if project.servers.is_file():
        from headframe.environment import variable
        from headframe.servers import environment

        for variables in environment(project.root).values():
            address = next(iter(variables))
            if variable(address) in (None, variables[address]):  # secrets go with the address that they open
                os.environ.update(variables)
    return project


def prepare_engine() -> None:
    """Log once where the run is executed, and check that a configured Prefect API is reachable."""
    from headframe.orchestration import api_url, engine, log, quiet_prefect, require_api

    if engine() == "inline":
        log.info("engine: inline, no Prefect API is configured (headframe up starts one)")
        return
    require_api()
    quiet_prefect()
    log.info("engine: Prefect at %s", api_url())


def load_flow(name: str) -> Callable[..., Any]:
    """Import a flow of the project, as in `flows.train:train_flow`.

    Raises:
        ConfigurationError: it imports what there is not, as the flows of a project do that an older Headframe made.
    """
    import pkgutil

    try:
        found: Callable[..., Any] = pkgutil.resolve_name(name)
    except (ImportError, AttributeError) as error:
        file = f"{name.partition(':')[0].replace('.', '/')}.py"
        raise ConfigurationError(
            f"{file} cannot be loaded ({error}); if another version of Headframe "
            "made this project, take over flows/ of a new one (headframe init FOLDER) and repeat your changes in it"
        ) from error
    return found


def single_plan(arguments: argparse.Namespace) -> list[str]:
    """Return the overrides of a command that takes one plan.

    Raises:
        ConfigurationError: they are several plans.
    """
    from headframe.config.load import expand

    choices = expand(arguments.overrides)
    if len(choices) > 1:
        msg = f"{' '.join(arguments.overrides)}: these are {len(choices)} plans, but this command takes one; give one"
        raise ConfigurationError(msg)
    return choices[0]
