"""Versions of `data/`: committed, listed, verified, restored."""

import itertools
import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError

from headframe.config.project import Project
from headframe.data_versions.dvc_files import DvcSettings, table_digests
from headframe.data_versions.dvc_store import DvcStore, Listing, name_of, open_store
from headframe.datasets.ingest import dataset_lock, readable_write_errors
from headframe.datasets.table import METADATA, Table
from headframe.digests import Record, write_atomically
from headframe.errors import ConfigurationError, DataError, HeadframeError
from headframe.records import TableRecord
from headframe.replace_folder import recover_folder, replace_folder

log = logging.getLogger(__name__)

MOST_SUBSETS = 10  # data sets among which a version of unknown content is looked for


class DataFolderVersion(Record):
    """One state of `data/`."""

    data: str  # DVC's name of it: the md5 of the list of its files, `.dir` at the end
    datasets: dict[str, str]  # digest of each data set's table
    message: str = ""


class DataFolderVersions:
    """The versions of a project's `data/`."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root)
        self._log = self.project.state / "versions.jsonl"

    def commit(self, message: str = "") -> str | None:
        """Store what `data/` holds, in the cache and in the remote, and record it in `data.dvc`.

        `data.dvc` stays untouched, to the byte and the time stamp, while it names the same data. Data sets that it
        lists and that are not in `data/` stay listed. Where neither cache nor remote can tell what it lists (a fresh
        clone without its remote), `data.dvc` is left as it is and a warning is logged.

        Args:
            message: a line for the list of versions.

        Returns:
            the name of the new version; None where nothing changed.

        Raises:
            HeadframeError: there is nothing to store, or the disk or the remote refuses it.
        """
        if not self._datasets():
            raise HeadframeError(f"{self.project.data} holds no data set; collect one with: headframe ingest")
        with open_store(self.project) as store, ExitStack() as locks:
            for dataset in self._datasets():  # a table that is replaced meanwhile would be stored under a wrong name
                locks.enter_context(dataset_lock(self.project, dataset))
            known = self.versions()
            name, listing = store.store_data()
            self._update_pointer(store, listing, name)
            store.push({*listing.values()}, {name, store.pointed() or name})
            if known and known[-1].data == name:
                return None
            datasets = {dataset: Table.open(self.project.data / dataset).digest for dataset in self._datasets()}
            known.append(DataFolderVersion(data=name, datasets=datasets, message=message))
            write_atomically(self._log, "".join(f"{version.model_dump_json()}\n" for version in known))
            return name

    def versions(self) -> list[DataFolderVersion]:
        """Return the versions that were stored on this machine, oldest first.

        Raises:
            DataError: a line of the list is damaged, or contradicts what DVC's cache holds of that version.
        """
        if not self._log.is_file():
            return []
        found, cache = [], DvcSettings.read(self.project.root, skip_unreadable=True).cache
        for number, line in enumerate(self._log.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            try:
                found.append(DataFolderVersion.model_validate_json(line))
            except ValidationError:
                msg = f"{self._log}, line {number} is no version but {line[:80]!r}; delete that line"
                raise DataError(msg) from None
            for dataset, digest in table_digests(cache, found[-1].data).items():
                listed = found[-1].datasets.get(dataset, digest)
                if listed != digest:
                    msg = f"{self._log}, line {number} says version {listed[:12]} of {dataset}, but it is {digest[:12]}"
                    raise DataError(f"{msg}; delete that line")
        return found

    def status(self) -> dict[str, str]:
        """Compare each data set with `data.dvc`: same, changed, new, absent, or unknown."""
        with open_store(self.project) as store:
            now = _by_dataset(store.current_files())
            pointed = store.pointed()
            listing = store.listing(pointed) if pointed else {}
        if listing is None:
            return dict.fromkeys(now, "unknown")
        before = _by_dataset(listing)
        states = {}
        for name in sorted({*now, *before}):
            if name not in now:
                states[name] = "absent"
            elif name not in before:
                states[name] = "new"
            else:
                states[name] = "same" if now[name] == before[name] else "changed"
        return states

    def verify(self) -> int:
        """Hash every table in `data/` and every object that a version of this machine names.

        Returns:
            the number of files that were checked.

        Raises:
            DataError: naming what is damaged.
        """
        checked = 0
        for dataset in self._datasets():
            table = Table.open(self.project.data / dataset)
            table.verify()
            checked += len(table.metadata.files)
        with open_store(self.project) as store:
            names = {version.data for version in self.versions()}
            for version in sorted(names):
                names |= set((store.listing(version) or {}).values())
            present = store.cached(names)
            damaged = [file for name in sorted(names) for file in store.cached({name}) if not store.is_intact(name)]
        if damaged:
            raise DataError(
                f"{len(damaged)} objects in DVC's cache are damaged, first {damaged[0]}; "
                "delete them: what is needed of them is fetched from the remote again"
            )
        return checked + len(present)

    def restore(self, dataset: str, digest: str) -> TableRecord:
        """Bring an older version of one data set back to `data/`, without touching git or `data.dvc`.

        Args:
            dataset: its name.
            digest: of the table; the first characters are enough where they name one version.

        Raises:
            ConfigurationError: no version has that digest, or several begin with it.
            DataError: what cache and remote hold of it is damaged.
        """
        with open_store(self.project) as store:
            files = self._find(store, dataset, digest)
            place = self.project.data / dataset
            fresh = self.project.state / "collecting" / dataset
            with readable_write_errors(place), dataset_lock(self.project, dataset):
                recover_folder(fresh, place)
                try:
                    _write_files(store, files, fresh)
                    replace_folder(fresh, place)
                finally:
                    recover_folder(fresh, place)
        return Table.open(place).record()

    def extract(self, dataset: str, digest: str, folder: Path) -> Table:
        """Write a version of one data set to a folder that does not exist yet, and leave `data/` as it is.

        Raises:
            ConfigurationError, DataError: as `restore`.
        """
        with open_store(self.project) as store, readable_write_errors(folder):
            return _write_files(store, self._find(store, dataset, digest), folder)

    def _datasets(self) -> list[str]:
        return sorted(file.parent.name for file in self.project.data.glob(f"*/{METADATA}"))

    def _update_pointer(self, store: DvcStore, listing: Listing, name: str) -> None:
        """Have `data.dvc` name what `data/` holds, and what it named before of data sets that are not here."""
        pointed = store.pointed()
        if pointed == name:
            return
        if pointed is None:
            store.add([self.project.data])
            return
        before = store.listing(pointed)
        if before is None:
            before = _subset_named(listing, pointed)
        if before is None:
            log.warning(
                "data.dvc names data (%s) that neither the cache nor the remote holds, so this version is stored "
                "beside it and data.dvc stays as it is; fetch it with `dvc pull`, or delete data.dvc to start over",
                pointed,
            )
            return
        now, then = _by_dataset(listing), _by_dataset(before)
        changed = [self.project.data / dataset for dataset in now if now[dataset] != then.get(dataset)]
        if changed:
            store.add([self.project.data] if not {*then} - {*now} else changed)

    def _find(self, store: DvcStore, dataset: str, digest: str) -> Listing:
        """Return the files, name to md5, of the one version of a data set whose digest begins so."""
        found: dict[str, Listing] = {}
        seen: set[str] = set()
        lost: list[str] = []
        names = [version.data for version in self.versions()] + store.stored_lists()
        for name in dict.fromkeys(names):
            listing = store.listing(name)
            if listing is None:
                lost.append(name)
                continue
            files = _by_dataset(listing).get(dataset)
            if files is None or METADATA not in files or files[METADATA] in seen:
                continue
            seen.add(files[METADATA])
            metadata = store.intact_object(files[METADATA])
            if metadata is None:
                lost.append(f"{METADATA} ({files[METADATA]})")
                continue
            full = str(json.loads(metadata.read_bytes())["digest"])
            if full.startswith(digest):
                found[full] = files  # of the same rows written in other bytes the latest is used
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            msg = f"{len(found)} versions of {dataset} begin with {digest}: {', '.join(sorted(found))}; give more of it"
        else:
            msg = f"no{' other' if lost else ''} version of {dataset} that cache or remote hold begins with {digest}"
            msg += "; list those that were stored here with: headframe data versions"
            if lost:
                raise DataError(f"{lost[0]} is damaged or missing in cache and remote, and {msg}")
        raise ConfigurationError(msg)


def _write_files(store: DvcStore, files: Listing, folder: Path) -> Table:
    """Write the files of one data set to a new folder, and verify the table.

    Raises:
        DataError: a file is damaged or missing, or lies elsewhere: who writes to the remote may name any.
    """
    folder.mkdir(parents=True)
    for name, md5 in files.items():
        if Path(name).name != name:
            raise DataError(
                f"a list in cache or remote names {name!r}, which is no file in a data set's folder; remove it"
            )
        found = store.intact_object(md5)
        if found is None:
            msg = f"{name} ({md5}) is damaged or missing in cache and remote, so this version cannot be restored"
            raise DataError(msg)
        shutil.copyfile(found, folder / name)
    return Table.open(folder)


def _by_dataset(listing: Mapping[str, str]) -> dict[str, Listing]:
    """Group files by the folder they lie in: data set -> file -> md5."""
    found: dict[str, Listing] = {}
    for path, md5 in listing.items():
        dataset, _, name = path.partition("/")
        found.setdefault(dataset, {})[name] = md5
    return found


def _subset_named(listing: Listing, name: str) -> Listing | None:
    """Find those data sets among the present ones that make up exactly the data with a name; None if there are none.

    After a clone, what a name stands for is unknown; but once its data sets are collected again, they have that name.
    """
    datasets = _by_dataset(listing)
    if len(datasets) > MOST_SUBSETS:
        return None
    for size in range(1, len(datasets)):
        for chosen in itertools.combinations(datasets, size):
            part = {path: md5 for path, md5 in listing.items() if path.partition("/")[0] in chosen}
            if name_of(part) == name:
                return part
    return None
