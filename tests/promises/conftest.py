"""The project in which choices of `conf/` are trained tiny."""

import pytest
from tiny import TinyProject


@pytest.fixture(scope="session")
def tiny_project(tmp_path_factory: pytest.TempPathFactory) -> TinyProject:
    """A project with made-up tables."""
    return TinyProject(tmp_path_factory.mktemp("promises") / "project")
