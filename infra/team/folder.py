"""The folder of a team's servers: settings, data, logs, and the secrets that they share."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headframe.digests import write_atomically
from headframe.errors import HeadframeError

SECRETS = ("postgres", "mlflow", "mlflow_auth", "headframe_owner", "admin", "flask")
"""Passwords of the database's owner and of each database, of MLflow's administrator, and the key of MLflow's forms."""

_BYTES = 24  # of randomness in a password, as 32 letters


@dataclass(frozen=True)
class Settings:
    """The options of `up`; a later `up` without options has the same.

    Attributes:
        host: address that both servers listen on.
        port: of MLflow.
        database_host: of PostgreSQL.
        database_port: of PostgreSQL.
        own: whether the cluster is ours to start and stop, or stood there before (PGHOST).
        allow: names that clients may call MLflow by, besides its address.
        workers: processes of MLflow's.
    """

    host: str
    port: int
    database_host: str
    database_port: int
    own: bool
    allow: tuple[str, ...]
    workers: int

    @property
    def uri(self) -> str:
        """MLflow's address."""
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True)
class TeamFolder:
    """The folder of a team's servers."""

    path: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data; belongs to the user that PostgreSQL runs as."""
        return self.path / "postgres"

    @property
    def artifacts(self) -> Path:
        """Files of runs and models."""
        return self.path / "artifacts"

    @property
    def logs(self) -> Path:
        """Logs of the servers."""
        return self.path / "logs"

    def settings(self) -> Settings:
        """Return the options of the last `up`.

        Raises:
            HeadframeError: no servers were ever set up here.
        """
        settings = self.saved()
        if settings is None:
            msg = f"{self.path} holds no team's servers; set them up with: python infra/team up {self.path}"
            raise HeadframeError(msg)
        return settings

    def saved(self) -> Settings | None:
        """Return the options of the last `up`; None before the first."""
        try:
            content: dict[str, Any] = json.loads((self.path / "settings.json").read_bytes())
        except FileNotFoundError:
            return None
        return Settings(**{**content, "allow": tuple(content["allow"])})

    def save(self, settings: Settings) -> None:
        """Write the options of `up`."""
        write_atomically(self.path / "settings.json", json.dumps(asdict(settings), indent=2) + "\n")

    def make(self) -> None:
        """Create the folder; PostgreSQL's user must be able to reach its own in it."""
        for folder in (self.path, self.artifacts, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)
        self.artifacts.chmod(0o700)
        self.logs.chmod(0o700)

    def secrets(self) -> dict[str, str]:
        """Return the secrets, which the first call draws.

        Raises:
            HeadframeError: others may read them.
        """
        file = self.path / "secrets.json"
        if not file.exists():
            write_secret(file, json.dumps({name: password() for name in SECRETS}, indent=2) + "\n")
        mode = file.stat().st_mode & 0o777
        if mode & 0o077:
            msg = f"{file} has mode {mode:04o}, so others may read the passwords in it; run: chmod 600 {file}"
            raise HeadframeError(msg)
        found: dict[str, str] = json.loads(file.read_bytes())
        return found


def password() -> str:
    """Return a random password, of letters that need no quoting in a shell or an address."""
    return secrets.token_urlsafe(_BYTES)


def write_secret(file: Path, content: str) -> None:
    """Write a file that only its owner may read, from the first moment on."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.rename(file)
