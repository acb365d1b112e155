"""Raw files: where they may lie, and the proof that they are the right ones."""

import importlib
import logging
from pathlib import Path

from headframe.config.plan.data import SourceConfig
from headframe.config.project import Project
from headframe.config.targets.find_definition import scheme_module
from headframe.datasets.file_tree import place_digest
from headframe.datasets.sources.base import SourceScheme, path_within
from headframe.errors import DataError, HeadframeError

log = logging.getLogger(__name__)


def fetch_raw_file(name: str, source: SourceConfig, root: Path, mirror: Path | None) -> Path:
    """Find a raw file and check it: in the raw cache, then in the mirror, then at its origin.

    A file that lies on this machine is used where it lies. Only what is expensive to get belongs in the raw
    cache, and what is found there is checked like anything else.

    Args:
        name: what the data set calls this source, for messages.
        source: its URI's scheme decides where the origin is, see `headframe.datasets.sources`.
        root: the project's folder.
        mirror: a folder that holds the same relative paths; None where there is none.

    Raises:
        ConfigurationError: there is no such scheme, or the URI leads out of the project and the mirror.
        DataError: the file's sha256 is not the expected one.
        HeadframeError: there is no such file anywhere.
    """
    for place in find_raw_file(name, source, root, mirror):
        try:
            _check(name, place, source.sha256)
        except DataError as error:
            if not place.is_relative_to(Project(root).raw):
                raise
            log.warning("%s; it is only a cached copy, so the next location is tried", error)
            continue
        return place
    raise HeadframeError(_not_found(name, source, root, mirror))


def find_raw_file(name: str, source: SourceConfig, root: Path, mirror: Path | None) -> list[Path]:
    """Return where a raw file lies, unread; see `fetch_raw_file`, which takes the first that is the right one.

    Raises:
        HeadframeError: it lies nowhere.
    """
    scheme, _ = _scheme(source)
    found = [place for place in _places(source, root, mirror) if scheme.is_there(place)]
    if not found:
        raise HeadframeError(_not_found(name, source, root, mirror))
    return found


def _not_found(name: str, source: SourceConfig, root: Path, mirror: Path | None) -> str:
    places = _places(source, root, mirror)
    described = [f"{place} (a folder)" if place.is_dir() else str(place) for place in places]
    looked = ", ".join(described) or "no package of that name"
    advice = (
        f"HEADFRAME_MIRROR is {mirror}{'' if mirror.is_dir() else ', which is no folder'}"
        if mirror
        else "HEADFRAME_MIRROR, which may name a mirror folder, is not set"
    )
    return f"source {name} ({source.uri}) was not found; looked for: {looked}; {advice}"


def _places(source: SourceConfig, root: Path, mirror: Path | None) -> list[Path]:
    origin, address = _scheme(source)
    copies = [path_within(folder, address) for folder in (Project(root).raw, mirror) if folder is not None]
    return [*copies, *origin.locate(address, root)]


def _scheme(source: SourceConfig) -> tuple[SourceScheme, str]:
    module = importlib.import_module(scheme_module(source.uri))
    scheme, _, address = source.uri.partition(":")
    return getattr(module, f"{scheme.capitalize()}Scheme")(), address


def _check(name: str, place: Path, expected: str | None) -> None:
    try:
        actual = place_digest(place)
    except OSError as error:
        raise HeadframeError(f"source {name}: {place} cannot be read: {error.strerror}") from error
    if expected is not None and actual != expected:
        raise DataError(
            f"source {name}: {place} has sha256 {actual}, but {expected} was expected; download the file again, "
            f"or correct dataset.sources.{name}.sha256 if this version is meant"
        )
