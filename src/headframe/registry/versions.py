"""Versions in the registry: resolved by name, verified, loaded, and made champion in this module alone."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headframe.config.targets.nearest import nearest
from headframe.errors import ConfigurationError, DataError, HeadframeError, Refused, some
from headframe.registry.layout import CODE, SIGNATURE
from headframe.registry.signature import COMPILED, SignedModel, read_package, read_statement
from headframe.signing.trust import Trust
from headframe.tracking import tags
from headframe.tracking.address import is_server, local_path
from headframe.tracking.client import ArtifactMissing, download, download_bytes, open_client
from headframe.tracking.database import find_version, tags_of_version, version_of_alias

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from headframe.prediction.predictor import Predictor


CHAMPION = "champion"


_NAME = re.compile(r"(?:models:/)?(?P<model>[^@/\s]+)(?:@(?P<alias>[^@/\s]+)|/(?P<version>[0-9]{1,9}))?")


@dataclass(frozen=True)
class ModelVersion:
    """A version in the registry.

    Attributes:
        model: name.
        number: of the version, from 1.
        run_id: of the run that made it.
        tags: digests and primary metric, as they were when it was registered.
    """

    model: str
    number: int
    run_id: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """As `mlflow.pyfunc.load_model` takes it."""
        return f"models:/{self.model}/{self.number}"

    @property
    def expected(self) -> dict[str, str]:
        """What the signature of its files must state; see `read_package`."""
        facts = {"model": self.model, "run_id": self.run_id, "bundle": self.tags.get(tags.BUNDLE, "")}
        return {name: value for name, value in facts.items() if value}


def resolve(name: str, uri: str) -> ModelVersion:
    """Return the version named by `NAME`, `NAME@ALIAS` or `NAME/VERSION`; `NAME` is its champion.

    Raises:
        ConfigurationError: there is no such model, alias or version; the message has the nearest names.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        msg = f"{name!r} names no model; expected NAME, NAME@ALIAS or NAME/VERSION, as in digits@champion"
        raise ConfigurationError(msg)
    model, alias, number = match["model"], match["alias"], match["version"]
    if not is_server(uri):
        wanted = int(number) if number else version_of_alias(uri, model, alias or CHAMPION)
        direct = None if wanted is None else find_version(uri, model, wanted)
        if wanted is not None and direct is not None:
            return ModelVersion(model, wanted, direct[0], tags_of_version(uri, model, wanted))
    with open_client(uri) as client:  # which says what is missing, too
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - `open_client` imported MLflow

        try:
            registered = client.get_registered_model(model)
        except MlflowException as error:
            if not _is_missing(client, model, error):
                raise
            known = [each.name for each in client.search_registered_models()]
            instead = nearest(model, known) if known else "none is registered yet: headframe run"
            raise ConfigurationError(f"there is no registered model {model!r} at {uri}; {instead}") from None
        if number is None:
            alias = alias or CHAMPION
            aliases = {each: int(version) for each, version in registered.aliases.items()}
            if alias not in aliases:
                versions = f"{nearest(alias, aliases)}, or name a version, as in {model}/1"
                raise ConfigurationError(f"model {model!r} has no {alias!r}; {versions}")
            number = aliases[alias]
        try:
            found = client.get_model_version(model, str(number))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            known = [int(each.version) for each in client.search_model_versions(f"name = '{model}'")]
            listed = some(sorted(known)) or "none"
            raise ConfigurationError(f"model {model!r} has no version {number}; it has {listed}") from None
    return ModelVersion(model, int(found.version), found.run_id or "", dict(found.tags))


def is_champion_name(name: str) -> bool:
    """Return whether a name, as `resolve` takes it, is the champion's."""
    match = _NAME.fullmatch(name)
    return match is not None and match["version"] is None and match["alias"] in (None, CHAMPION)


def champion_number(model: str, uri: str) -> int | None:
    """Return the version of a model's champion; None where there is none yet.

    An SQLite file is read directly: importing mlflow alone takes longer than a run that reuses everything.
    """
    if not is_server(uri):
        return version_of_alias(uri, model, CHAMPION)
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs seconds

    with open_client(uri) as client:
        try:
            return int(client.get_model_version_by_alias(model, CHAMPION).version)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE" and not _is_missing(client, model, error):
                raise
            return None


def _is_missing(client: MlflowClient, model: str, error: MlflowException) -> bool:
    """Return whether an error means that there is no such model.

    A server with accounts denies permission to what does not exist, as it does to what may not be seen.
    """
    if error.error_code == "PERMISSION_DENIED":
        return not client.search_registered_models(f"name = '{model}'")
    return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST")


def has_version(model: str, number: int, run_id: str, uri: str) -> bool:
    """Return whether a version is still registered and still of this run; an SQLite file is read directly."""
    if not is_server(uri):
        found = find_version(uri, model, number)
        return found is not None and found[0] == run_id
    try:
        return resolve(f"{model}/{number}", uri).run_id == run_id
    except ConfigurationError:
        return False


def is_intact(model: str, number: int, uri: str, trust: Trust) -> bool | None:
    """Return whether the model files of a version are, byte for byte, what somebody trusted signed for it.

    None where that is not known without a download: behind a server, and of a version that is not registered.
    """
    if is_server(uri):
        return None
    found, known = find_version(uri, model, number), tags_of_version(uri, model, number)
    if found is None or tags.BUNDLE not in known:
        return None
    run_id, location = found
    folder = local_path(location)
    if folder is None:
        return None
    try:
        read_package(folder, trust, ModelVersion(model, number, run_id, known).expected)
    except Refused:
        return False
    return True


def set_champion(version: ModelVersion, reason: str, uri: str) -> None:
    """Move the champion's alias to a version."""
    with open_client(uri) as client:
        client.set_model_version_tag(version.model, str(version.number), tags.DECISION, reason)
        client.set_registered_model_alias(version.model, CHAMPION, str(version.number))


@contextmanager
def model_files(version: ModelVersion, uri: str, trust: Trust) -> Iterator[Path]:
    """Yield a verified copy of a version's package.

    A copy, since it cannot be changed between the check and the use; and since Python compiles what it imports next to
    the source, which would be an unsigned file.

    Raises:
        HeadframeError: its files are gone.
        Refused: they are not what somebody trusted signed for this version.
    """
    with signed_files(version, uri, trust) as (folder, _):
        yield folder


@contextmanager
def signed_files(version: ModelVersion, uri: str, trust: Trust) -> Iterator[tuple[Path, SignedModel]]:
    """Yield a verified copy of a version's package, and what was signed; see `model_files`."""
    source = _source(version, uri)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            folder = download(source, uri, Path(scratch))
        except ArtifactMissing as error:
            raise HeadframeError(
                f"the files of {version.uri} cannot be fetched from {source} ({error}); "
                "the command that trained it writes them again"
            ) from error
        for compiled in [*(folder / CODE).rglob(COMPILED)]:
            shutil.rmtree(compiled)
        try:
            signed = read_package(folder, trust, version.expected)
        except Refused as error:
            raise type(error)(f"{version.uri} is refused: {error}") from error
        yield folder, signed


def fetch_signature(version: ModelVersion, uri: str, trust: Trust) -> SignedModel:
    """Return what was signed of a version, without downloading its model: its files are not verified.

    Raises:
        Refused: it is not signed, or not by anybody trusted, or as another version.
    """
    source = _source(version, uri)
    try:
        content = download_bytes(f"{source.rstrip('/')}/{SIGNATURE}", uri)
        return read_statement(content, trust, version.expected)
    except ArtifactMissing as error:
        msg = f"{version.uri} is refused: {SIGNATURE} cannot be fetched ({error}); register it again"
        raise Refused(msg) from error
    except Refused as error:
        raise type(error)(f"{version.uri} is refused: {error}") from error


def _source(version: ModelVersion, uri: str) -> str:
    """Return where MLflow keeps the files of a version; an SQLite file is read directly."""
    if not is_server(uri) and (found := find_version(uri, version.model, version.number)) is not None:
        return found[1]
    with open_client(uri) as client:
        return str(client.get_model_version_download_uri(version.model, str(version.number)))


def load_model(version: ModelVersion, uri: str, trust: Trust) -> Predictor:
    """Load a version's model into this process.

    Raises:
        HeadframeError: its files are gone, or this process has imported another version of the code it brings.
        Refused: its files are not what somebody trusted signed for this version.
        DataError: they cannot be read.
    """
    with model_files(version, uri, trust) as folder:
        return load_files(version, folder)


def load_files(version: ModelVersion, folder: Path) -> Predictor:
    """Load a version's model from its verified files; see `load_model`."""
    from headframe.registry.loader import load_package  # noqa: PLC0415 - imports torch

    try:
        return load_package(folder)
    except DataError as error:
        raise DataError(f"{version.uri} is damaged: {error}") from error
