"""The project a user works in: the folder that holds `conf/plan.yaml`, and its layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headframe.errors import ConfigurationError

IMPOSSIBLE = "%?#:;\\{}"
"""What the path of a project cannot hold: it is part of addresses of MLflow and SQLAlchemy, which read these as marks
and decode what follows `%`, of search paths, and of texts that DVC formats. Files would end up outside the project."""


class _Within:
    """A path in the project's folder."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, project: Project, _: type[Project]) -> Path:
        return project.root / self._path


@dataclass(frozen=True)
class Project:
    """Paths of one project; no folder is created until something is written to it."""

    root: Path

    conf = _Within("conf")  # what to run: YAML
    data = _Within("data")  # tables, one folder a data set; versioned by DVC
    state = _Within(".headframe")  # Headframe's own: never committed
    stages = _Within(".headframe/stages")  # a folder for each step, and in it for each key
    raw = _Within(".headframe/raw")  # raw files as downloaded from their source
    tracking_database = _Within(".headframe/mlflow.db")  # MLflow's, while no server is named
    artifacts = _Within(".headframe/artifacts")  # MLflow's files, while no server is named
    servers = _Within(".headframe/servers.json")  # the servers that were started on this machine

    @classmethod
    def find(cls, start: Path) -> Project:
        """Walk up from `start` to the folder that holds `conf/plan.yaml`.

        Raises:
            ConfigurationError: no folder above `start` is a project, or its path cannot be one's.
        """
        here = start.resolve()
        for folder in (here, *here.parents):
            if (folder / "conf" / "plan.yaml").is_file():
                require_usable(folder)
                return cls(folder)
        advice = "create one with `headframe init`"
        raise ConfigurationError(f"no Headframe project at {here} or above it (conf/plan.yaml is missing); {advice}")

    @property
    def packages(self) -> tuple[str, ...]:
        """Import prefixes of the project's own code in `src/`, such as `("mine.",)`."""
        found = sorted(file.parent.name for file in (self.root / "src").glob("*/__init__.py"))
        return tuple(f"{name}." for name in found if name != "headframe")

    def choices(self, group: str) -> list[str]:
        """Return the names of the choices in `conf/<group>/`; a choice exists because its file exists."""
        return sorted(path.stem for path in (self.conf / group).glob("*.yaml") if path.is_file())


def require_usable(root: Path) -> None:
    """Raise a ConfigurationError if a project cannot lie in a folder because of its path."""
    path = str(root)
    wrong = [character for character in path if character in IMPOSSIBLE or not character.isprintable()]
    if wrong:
        shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in path)
        raise ConfigurationError(
            f"a project cannot lie in {shown}: its path holds {wrong[0]!r}, which addresses of databases and search "
            "paths read as a mark of their own; rename that folder"
        )
