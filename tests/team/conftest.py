"""A team's servers, started once for the session by the command that a team starts them with."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import free_port
from team.stack import PEOPLE, Servers, installed


@pytest.fixture(scope="session")
def team() -> Iterator[Servers]:
    """PostgreSQL and MLflow of a team of three."""
    if not installed("initdb"):
        pytest.skip("PostgreSQL is not installed (no initdb)")
    # Not in pytest's own folder, which PostgreSQL's user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="headframe-team-"))
    servers = Servers(folder, free_port(), free_port(), proxied=f"localhost:{free_port()}")
    try:
        servers.up()
        yield servers.with_people(PEOPLE)
    finally:
        servers.type("down", str(folder))
        shutil.rmtree(folder)
