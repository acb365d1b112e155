"""The project a user works in: the folder that holds `conf/plan.yaml`, and its layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headframe.errors import ConfigurationError


@dataclass(frozen=True)
class Project:
    """Paths of one project; no folder is created until something is written to it."""

    root: Path

    @classmethod
    def find(cls, start: Path) -> Project:
        """Walk up from `start` to the folder that holds `conf/plan.yaml`.

        Raises:
            ConfigurationError: no folder above `start` is a project.
        """
        here = start.resolve()
        for folder in (here, *here.parents):
            if (folder / "conf" / "plan.yaml").is_file():
                return cls(folder)
        msg = (
            f"no Headframe project at {here} or above it (conf/plan.yaml is missing); create one with `headframe init`"
        )
        raise ConfigurationError(msg)

    @property
    def conf(self) -> Path:
        """What to run: YAML."""
        return self.root / "conf"

    @property
    def data(self) -> Path:
        """Tables, one folder a data set; versioned by DVC."""
        return self.root / "data"

    @property
    def state(self) -> Path:
        """Headframe's own state: finished stages, databases, logs. Never committed."""
        return self.root / ".headframe"

    @property
    def stages(self) -> Path:
        """One folder for each stage and digest."""
        return self.state / "stages"

    @property
    def raw(self) -> Path:
        """Raw files as downloaded from their source."""
        return self.state / "raw"

    @property
    def tracking_database(self) -> Path:
        """MLflow's database while no server is named."""
        return self.state / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """MLflow's files while no server is named."""
        return self.state / "artifacts"

    @property
    def packages(self) -> tuple[str, ...]:
        """Import prefixes of the project's own code in `src/`, such as `("mine.",)`."""
        source = self.root / "src"
        if not source.is_dir():
            return ()
        found = [folder.name for folder in source.iterdir() if (folder / "__init__.py").is_file()]
        return tuple(f"{name}." for name in sorted(found) if name != "headframe")

    def choices(self, group: str) -> list[str]:
        """Return the names of the choices in `conf/<group>/`; a choice exists because its file exists."""
        return sorted(path.stem for path in (self.conf / group).glob("*.yaml"))
