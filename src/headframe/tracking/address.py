"""The address of MLflow."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from headframe.config.plan.plan import Plan
from headframe.config.plan.serving import TrackingConfig
from headframe.config.project import Project
from headframe.environment import variable
from headframe.errors import ConfigurationError
from headframe.places import Places
from headframe.tracking.credentials import PASSWORD, USER

SQLITE = "sqlite:///"
SERVER_SCHEMES = ("http", "https")


def is_server(uri: str) -> bool:
    """Return whether an address is a server's, not a file's."""
    return urlsplit(uri).scheme in SERVER_SCHEMES


def tracking_uri(tracking: TrackingConfig, root: Path) -> str:
    """Return MLflow's address: the plan's, else `MLFLOW_TRACKING_URI`, else a database in the project's own folder.

    Raises:
        ConfigurationError: the address names neither a server nor an SQLite file, or holds a password.
    """
    uri = tracking.uri or variable("MLFLOW_TRACKING_URI")
    if not uri:
        return f"{SQLITE}{Project(root).tracking_database}"
    try:
        scheme, host, _ = urlsplit(uri).scheme, urlsplit(uri).hostname, urlsplit(uri).port
    except ValueError as error:
        msg = f"tracking.uri (or MLFLOW_TRACKING_URI) is {uri!r}, which is no address: {error}"
        raise ConfigurationError(msg) from error
    if scheme not in (*SERVER_SCHEMES, "sqlite") or (scheme in SERVER_SCHEMES and not host):
        raise ConfigurationError(
            f"tracking.uri (or MLFLOW_TRACKING_URI) is {uri!r}; expected http(s)://HOST:PORT of an MLflow server "
            "or sqlite:////ABSOLUTE/PATH.db"
        )
    if (
        scheme in SERVER_SCHEMES and "@" in urlsplit(uri).netloc
    ):  # not quoted: runs, tags and records would hold it, too
        msg = f"tracking.uri (or MLFLOW_TRACKING_URI) holds a password; put it into {USER} and {PASSWORD}"
        raise ConfigurationError(msg)
    if scheme == "sqlite" and not sqlite_file(uri).is_absolute():
        return f"{SQLITE}{(root / sqlite_file(uri)).resolve()}"
    return uri


def places_of(plan: Plan, root: Path) -> Places:
    """Return where a plan runs; raises what `tracking_uri` raises."""
    return Places.of(root, tracking_uri=tracking_uri(plan.tracking, root), launcher=plan.launcher)


def portable_uri(uri: str, root: Path) -> str:
    """Return the address as it reads on any machine: a file inside the project relative to the project's folder."""
    if is_server(uri):
        return uri
    file = sqlite_file(uri)
    return f"{SQLITE}{file.relative_to(root).as_posix()}" if file.is_relative_to(root) else uri


def sqlite_file(uri: str) -> Path:
    """Return the file of an `sqlite:///` address."""
    return Path(uri.removeprefix(SQLITE))


def local_path(location: str) -> Path | None:
    """Return the path of an artifact on this machine; None where its address names a store elsewhere."""
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def artifact_location(file: Path) -> str:
    """Return the address where runs keep their files: next to the SQLite file."""
    return (file.parent / "artifacts").as_uri()
