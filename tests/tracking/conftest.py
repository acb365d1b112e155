"""What tests of tracking share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from workshop import Made, World

# The small models that tracking, promotion and serving are tried on are made by one module.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tracking"))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> World:
    """Four registered models; for reading only."""
    import workshop

    return workshop.world(tmp_path_factory.getbasetemp() / "world", mirror)


@pytest.fixture
def digits(world: World, tmp_path: Path) -> Made:
    """A trained digits network in a project of its own, not registered yet."""
    import workshop

    return workshop.moved(world.made["digits"], tmp_path)
