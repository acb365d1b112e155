"""From sources to `data/<dataset>/`, whole or not at all."""

import errno
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from headframe.config.build import build
from headframe.config.plan.data import DatasetConfig, SourceConfig
from headframe.config.project import Project
from headframe.datasets.file_tree import place_digest
from headframe.datasets.raw_files import fetch_raw_file
from headframe.datasets.schema import contract_schema
from headframe.datasets.table import METADATA, REJECTED, TABLE, Table
from headframe.datasets.table_writer import write_table
from headframe.digests import write_record
from headframe.errors import DataError, HeadframeError
from headframe.locks import file_lock
from headframe.places import Places
from headframe.records import TableRecord
from headframe.replace_folder import recover_folder, replace_folder

log = logging.getLogger(__name__)


def ingest(dataset: DatasetConfig, places: Places) -> TableRecord:
    """Bring a data set's table up to date with its sources.

    What is there already and equal stays untouched. Two calls at once wait for each other; a call that
    is killed leaves the former table, and the next call clears away what it left.

    Args:
        dataset: what to ingest.
        places: the table is written to `data/<dataset>/` of the project; raw files may lie in the mirror.

    Raises:
        DataError: a source is damaged, or its rows do not fit the data set's contract.
        HeadframeError: a source is missing, or the project's folder cannot be written.
    """
    project = Project(places.root)
    files = {name: fetch_raw_file(name, source, places.root, places.mirror) for name, source in dataset.sources.items()}
    place = project.data / dataset.name
    fresh = project.state / "collecting" / dataset.name
    with readable_write_errors(place), dataset_lock(project, dataset.name):
        recover_folder(fresh, place)
        fresh.mkdir(parents=True)
        try:
            sources = _with_digests(dataset, files)
            batches = build(dataset.reader).read(files, contract_schema(dataset.contract.columns))
            table = _install(write_table(fresh, dataset, sources, batches), place)
        finally:
            recover_folder(fresh, place)
    return table.record()


def is_current(record: TableRecord, dataset: DatasetConfig, places: Places) -> bool:
    """Return whether the project still holds the version that a record names, and its sources still have that content.

    A source with a given sha256 cannot change; the others are looked up and hashed again.
    """
    try:
        table = Table.open(places.root / record.folder)
        unnamed = {name: source for name, source in dataset.sources.items() if source.sha256 is None}
        files = {name: fetch_raw_file(name, each, places.root, places.mirror) for name, each in unnamed.items()}
    except (HeadframeError, OSError):
        return False
    about = table.metadata
    described = (about.title, about.licence, about.citation, about.homepage)
    return (
        table.record() == record
        and about.sources == _with_digests(dataset, files)
        and described == (dataset.title, dataset.licence, dataset.citation, dataset.homepage)
    )


def _with_digests(dataset: DatasetConfig, files: Mapping[str, Path]) -> dict[str, SourceConfig]:
    """Return the sources with the sha256 of what was read where the data set gives none."""
    return {
        name: source if source.sha256 else source.model_copy(update={"sha256": place_digest(files[name])})
        for name, source in dataset.sources.items()
    }


def _install(new: Table, place: Path) -> Table:
    """Put the new table in its place, keeping every file whose content has not changed."""
    fresh = new.folder
    try:
        old = Table.open(place)
    except DataError as error:
        log.warning("%s; it is replaced", error)
    except HeadframeError:
        log.debug("%s is new", place)
    else:
        if (old.digest, old.metadata.rejected_digest) == (new.digest, new.metadata.rejected_digest):
            # Another version of the Parquet library may write the same rows in other bytes; the old ones stay.
            metadata = new.metadata.model_copy(update={"files": old.metadata.files})
            if metadata == old.metadata:
                return old
            write_record(fresh / METADATA, metadata)
            for name in (TABLE, REJECTED):
                (fresh / name).unlink()
                os.link(place / name, fresh / name)
    replace_folder(fresh, place)
    return Table.open(place)


def dataset_lock(project: Project, name: str) -> AbstractContextManager[None]:
    """Return the lock of one data set, under which its table is replaced."""
    return file_lock(
        project.state / "locks" / f"collect-{name}.lock", f"another process ingests {name}; waiting for it"
    )


@contextmanager
def readable_write_errors(place: Path) -> Iterator[None]:
    """Turn a refusal of the file system into one sentence.

    Raises:
        HeadframeError: `place` cannot be written: no permission, a file in the way, a full disk, two file systems.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise HeadframeError(
                f"{place} lies on another file system than the project's .headframe, so nothing can be put there in "
                "one step; keep data/ and .headframe/ on one file system"
            ) from error
        where = error.filename2 or error.filename or place
        msg = f"{place} cannot be written: {error.strerror or error} ({where}); nothing was changed"
        raise HeadframeError(msg) from error
