"""The command line of `infra/team`, as whoever runs a team's servers types it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PEOPLE = {"anna": ("author",), "ben": ("approver",), "cleo": ("reader",)}


def installed(program: str) -> bool:
    return shutil.which(program) is not None or any(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))


def plain(**more: str) -> dict[str, str]:
    """The environment of somebody who has set nothing yet."""
    foreign = ("PREFECT_", "MLFLOW_", "PG", "HEADFRAME_LEDGER")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "OMP_NUM_THREADS": "1", "PREFECT_HOME": "/nonexistent", **more}


@dataclass(frozen=True)
class Servers:
    """A team's servers in a folder, and what each person sets in their shell."""

    folder: Path
    port: int
    database_port: int
    people: dict[str, dict[str, str]] = field(default_factory=dict)
    proxied: str = ""  # what clients of a proxy with TLS call MLflow

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def type(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Run the command; give its exit code, what it printed to stdout and to stderr."""
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "infra" / "team"), *arguments],
            cwd=REPOSITORY, env=plain(**more), text=True, capture_output=True, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def up(self, **more: str) -> str:
        code, _, output = self.type(
            "up", str(self.folder), "--port", str(self.port), "--database-port", str(self.database_port),
            "--workers", "1", *(("--allow", self.proxied) if self.proxied else ()), **more,
        )  # fmt: skip
        assert code == 0, output
        return output

    def with_people(self, people: dict[str, tuple[str, ...]], **more: str) -> Servers:
        return replace(self, people={name: self.let_in(name, *roles, **more) for name, roles in people.items()})

    def let_in(self, name: str, *roles: str, **more: str) -> dict[str, str]:
        code, printed, output = self.type("person", str(self.folder), name, *roles, **more)
        assert code == 0, output
        lines = [line.removeprefix("export ").split("=", maxsplit=1) for line in printed.splitlines()]
        return dict(lines)
