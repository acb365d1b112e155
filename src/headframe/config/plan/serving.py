"""The parts of a plan that say where a model is served and where runs are tracked."""

from pydantic import Field

from headframe.digests import Record


class ServingConfig(Record):
    """How a model is served over HTTP."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8080, ge=1, le=65535)
    hosts: tuple[str, ...] = ()  # further names of the server; none: any, unless it listens on this machine alone
    threads: int = Field(default=1, ge=1)  # that one request, or a file, is computed with
    max_rows: int = Field(default=10_000, ge=1)  # rows in one request
    max_bytes: int | None = Field(default=None, ge=1024)  # of one request's body; none: what so many rows need
    seconds: float = Field(default=30, gt=0)  # in which a request must have arrived and its computation must have begun
    idle_seconds: float = Field(default=10, gt=0)  # after which a connection without a request is closed


class CodeConfig(Record):
    """Which code is stored with a run, besides its commit and changes of what git tracks."""

    sources: tuple[str, ...] = ()  # patterns of files that git does not track yet, besides those of usual source files
    waived_secrets: tuple[str, ...] = ()  # patterns of FILE:LINE, for what looks like a secret and is none


class TrackingConfig(Record):
    """Where runs are tracked."""

    experiment: str = Field(min_length=1)  # MLflow's experiment
    uri: str | None = None  # MLflow's address; none: MLFLOW_TRACKING_URI, else a database in the project's own folder
    code: CodeConfig = CodeConfig()
