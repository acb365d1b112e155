"""Commit the version of a table."""

import configparser
import hashlib
from pathlib import Path

import yaml

from headframe.checked_files import holds
from headframe.config.project import Project
from headframe.data_versions.dvc_files import DvcSettings, is_object, object_file, tracked_files
from headframe.datasets.table import METADATA, open_record
from headframe.digests import Record
from headframe.places import Places
from headframe.records import TableRecord


class CommittedVersion(Record):
    """A version that DVC's cache and remote hold."""

    dataset: str
    digest: str

    def __str__(self) -> str:
        return f"{self.dataset} version {self.digest[:8]} in DVC's cache and remote"


def commit(table: TableRecord, places: Places) -> CommittedVersion:
    """Record `data/` in `data.dvc` and bring it to the remote; what is there already is left as it is.

    Args:
        table: the version in `data/`.
        places: the project's folder.

    Raises:
        DataError: another version lies there now.
        HeadframeError: DVC cannot store it.
    """
    from headframe.data_versions.versions import DataFolderVersions  # noqa: PLC0415 - a stored step must not import dvc

    open_record(table, places.root)
    DataFolderVersions(places.root).commit(f"{table.dataset} {table.digest}")
    open_record(table, places.root)  # else another run's version was committed
    return CommittedVersion(dataset=table.dataset, digest=table.digest)


def is_committed(committed: CommittedVersion, places: Places) -> bool:
    """Return whether `data.dvc` still names what `data/` holds of a data set, and cache and remote still have it.

    Read from DVC's own files, since importing dvc takes longer than a run that reuses everything. Of a remote on
    another machine nothing is known here, so the version is sent again, which a remote that has it ends at once.
    """
    try:
        return _is_committed(committed, places.root)
    except (OSError, configparser.Error, yaml.YAMLError, ValueError, LookupError, TypeError):
        return False  # lost, damaged or in the middle of a merge; committing again reports what is wrong


def _is_committed(committed: CommittedVersion, root: Path) -> bool:
    settings = DvcSettings.read(root)
    if settings.remote_folder is None:
        return False
    name, files = tracked_files(root, settings.cache)
    # `dataset.json` carries the sha256 of the other files.
    metadata = (Project(root).data / committed.dataset / METADATA).read_bytes()
    if files.get(f"{committed.dataset}/{METADATA}") != hashlib.md5(metadata, usedforsecurity=False).hexdigest():
        return False
    wanted = [name, *(md5 for path, md5 in files.items() if path.startswith(f"{committed.dataset}/"))]
    objects = [(object_file(store, md5), md5) for store in (settings.cache, settings.remote_folder) for md5 in wanted]
    about = [file.stat() for file, _ in objects]
    return holds(["md5", wanted], about, lambda: all(is_object(file, md5) for file, md5 in objects))
