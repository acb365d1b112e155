"""What the tests of promotion share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres import postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL for this session."""
    with postgres() as server:
        yield server
