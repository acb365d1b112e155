"""Registered models, their versions, and the artifacts of a version's run."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from headframe.config.targets.nearest import nearest
from headframe.errors import ConfigurationError, HeadframeError
from headframe.registry.versions import ModelVersion
from headframe.tracking.address import is_server
from headframe.tracking.client import ArtifactMissing, artifacts_uri, download_bytes, open_client
from headframe.tracking.database import tags_of_version, versions_of_model


def model_names(uri: str) -> list[str]:
    """Return the names of all registered models, sorted."""
    with open_client(uri) as client:
        return sorted(each.name for each in _all(client.search_registered_models))


def list_versions(model: str, uri: str) -> list[tuple[ModelVersion, str]]:
    """Return all versions of a model with the times of their registration, oldest first.

    An SQLite file is read directly.

    Raises:
        ConfigurationError: there is no such model.
    """
    if not is_server(uri) and (direct := versions_of_model(uri, model)):
        return [
            (ModelVersion(model, number, run, tags_of_version(uri, model, number)), _time(time))
            for number, run, time in direct
        ]
    known = model_names(uri)
    if model not in known:
        instead = nearest(model, known) if known else "none is registered yet: headframe run"
        raise ConfigurationError(f"there is no registered model {model!r} at {uri}; {instead}")
    with open_client(uri) as client:
        found = _all(client.search_model_versions, filter_string=f"name = '{model}'")
    return sorted(
        (
            (ModelVersion(model, int(each.version), each.run_id or "", dict(each.tags)), _time(each.creation_timestamp))
            for each in found
        ),
        key=lambda pair: pair[0].number,
    )


def get_version(version: ModelVersion, uri: str) -> tuple[ModelVersion, str]:
    """Return a version with its tags and the time of its registration."""
    return next(pair for pair in list_versions(version.model, uri) if pair[0].number == version.number)


def artifact_reader(version: ModelVersion, uri: str) -> Callable[[str], bytes]:
    """Return a function that reads an artifact of a version's run, by its path.

    It raises HeadframeError if the artifact cannot be downloaded.
    """
    artifacts = artifacts_uri(version.run_id, uri)

    def fetch(path: str) -> bytes:
        try:
            return download_bytes(f"{artifacts}/{path}", uri)
        except ArtifactMissing as error:
            msg = f"{path} of {version.uri} cannot be fetched ({error}); the command that trained it writes it again"
            raise HeadframeError(msg) from error

    return fetch


def _all(search: Callable[..., Any], **wanted: Any) -> list[Any]:
    """Return all that MLflow finds, which it returns page by page."""
    page = search(**wanted)
    found = list(page)
    while page.token:
        page = search(**wanted, page_token=page.token)
        found += page
    return found


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
