"""Where a run works; nothing of it decides a result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from headframe.environment import variable

if TYPE_CHECKING:
    from headframe.config.plan.trainer import LauncherConfig


@dataclass(frozen=True)
class Places:
    """The one argument of a step that never enters its key.

    Attributes:
        root: the project's folder.
        mirror: a folder with raw files, searched before their origin.
        tracking_uri: MLflow's address; empty where a flow needs none.
        launcher: where the training program runs; None: nothing is trained.
        step: the folder of the step that is called, below `root`; it survives a kill. Set by `headframe.stages`.
    """

    root: Path
    mirror: Path | None = None
    tracking_uri: str = ""
    launcher: LauncherConfig | None = None
    step: Path | None = None

    @classmethod
    def of(cls, root: Path, *, tracking_uri: str = "", launcher: LauncherConfig | None = None) -> Self:
        """Return the places of a flow; the mirror is the folder that `HEADFRAME_MIRROR` names."""
        mirror = variable("HEADFRAME_MIRROR")
        return cls(root, Path(mirror) if mirror else None, tracking_uri, launcher)

    def of_step(self, folder: Path) -> Self:
        """Return the same places for one step."""
        return replace(self, step=folder)

    @property
    def folder(self) -> Path:
        """The folder of the step that is called.

        Raises:
            ValueError: no step was called with these places.
        """
        if self.step is None:
            msg = "these places have no step folder; call the function as a step, or with places.of_step(folder)"
            raise ValueError(msg)
        return self.step
