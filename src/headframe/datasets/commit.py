"""Keep the version of a table."""

from __future__ import annotations

import configparser
import hashlib
from pathlib import Path

import yaml

from headframe.config.project import Project
from headframe.datasets.dvc_files import DvcSettings, object_file, tracked_files
from headframe.datasets.table import ABOUT, open_record
from headframe.digests import Record
from headframe.records import TableRecord


class Kept(Record):
    """A version that DVC's cache and remote hold."""

    dataset: str
    digest: str

    @property
    def summary(self) -> str:
        """One line for people."""
        return f"{self.dataset} version {self.digest[:8]} in DVC's cache and remote"


def keep_version(table: TableRecord, root: Path) -> Kept:
    """Record `data/` in `data.dvc` and bring it to the remote; what is there already is left as it is.

    Args:
        table: what was collected.
        root: the project's folder.

    Raises:
        DataError: another version lies there now.
        HeadframeError: DVC cannot keep it.
    """
    from headframe.datasets.versions import Versions  # noqa: PLC0415 - a kept stage must not import dvc

    open_record(table, root)
    Versions(root).commit(f"{table.dataset} {table.digest}")
    open_record(table, root)  # else it was another run's version that was kept
    return Kept(dataset=table.dataset, digest=table.digest)


def is_kept(kept: Kept, root: Path) -> bool:
    """Tell whether `data.dvc` still names what `data/` holds of a data set, and whether cache and remote still have it.

    Read from DVC's own files, since importing dvc takes longer than a run that reuses everything. Of a remote on
    another machine nothing is known here, so the version is sent again, which a remote that has it ends at once.
    """
    try:
        return _is_kept(kept, root)
    except (OSError, configparser.Error, yaml.YAMLError, ValueError, LookupError, TypeError):
        return False  # lost, damaged or in the middle of a merge; keeping the version again says what is wrong


def _is_kept(kept: Kept, root: Path) -> bool:
    settings = DvcSettings.read(root)
    if settings.remote_folder is None:
        return False
    name, files = tracked_files(root, settings.cache)
    # `dataset.json` carries the sha256 of the other files.
    about = (Project(root).data / kept.dataset / ABOUT).read_bytes()
    if files.get(f"{kept.dataset}/{ABOUT}") != hashlib.md5(about, usedforsecurity=False).hexdigest():
        return False
    wanted = [name, *(md5 for path, md5 in files.items() if path.startswith(f"{kept.dataset}/"))]
    return all(
        object_file(store, md5).is_file() for store in (settings.cache, settings.remote_folder) for md5 in wanted
    )
