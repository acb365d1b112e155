"""Versions of `data/`: the only module that talks to DVC.

DVC trusts its cache and its remotes: a damaged object is handed out without a word while its file mode is
0444, a full disk leaves a `data.dvc` behind that names objects which are not there, and two processes at
once give up on each other after seconds. So calls wait for each other under a lock of our own, `data.dvc`
is put back when storing fails, and every byte that comes out of the cache is hashed before it is used.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import filelock
from dvc.config import ConfigError
from dvc.exceptions import DvcException
from dvc.fs import localfs
from dvc.lock import LockError
from dvc.repo import Repo
from dvc_data.hashfile.build import build as build_tree
from dvc_data.hashfile.db import HashFileDB, get_index
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.transfer import transfer
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError
from pydantic import ValidationError

from headframe.config.project import Project
from headframe.datasets.exchange import exchange, recover
from headframe.datasets.ingest import one_at_a_time, writing
from headframe.datasets.table import ABOUT, Table
from headframe.digests import Record, write_atomically
from headframe.errors import DataError, HeadframeError, Unavailable
from headframe.records import TableRecord

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Listing = dict[str, str]  # path below data/ -> md5 of the file

FOREIGN_LOCK_SECONDS = 120.0  # how long another program, such as `dvc` by hand, may hold DVC's own lock
MOST_SUBSETS = 10  # data sets among which a version of unknown content is looked for

# Copies, or clones where the file system has them: a hard link would let an edit of a table in place change
# the cache with it, and would make tables read-only.
_CONFIG = """\
[core]
    analytics = false
    check_update = false
    remote = project
[cache]
    type = "reflink,copy"
['remote "project"']
    url = ../.headframe/dvc-remote
    verify = true
"""
_IGNORED = "/config.local\n/tmp\n/cache\n"


class Version(Record):
    """One state of `data/`."""

    data: str  # DVC's name of it: the md5 of the list of its files, `.dir` at the end
    datasets: dict[str, str]  # digest of each data set's table
    message: str = ""


class Versions:
    """Keeps the versions of a project's `data/`, and gives them back."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root)
        self._pointer = root / "data.dvc"
        self._log = self.project.state / "versions.jsonl"

    def commit(self, message: str = "") -> str | None:
        """Store what `data/` holds, in the cache and in the remote, and note it in `data.dvc`.

        `data.dvc` stays untouched, to the byte and the time stamp, while it names the same data. Data sets
        that it lists and that are not in `data/` stay listed. Where neither cache nor remote can tell what it
        lists (a fresh clone without its remote), this version is stored beside it and a warning says so.

        Args:
            message: a line for the list of versions.

        Returns:
            the name of the new version; None where nothing changed.

        Raises:
            HeadframeError: there is nothing to store, or the disk or the remote refuses it.
        """
        if not self._datasets():
            msg = f"{self.project.data} holds no data set; collect one with: headframe ingest"
            raise HeadframeError(msg)
        with self._repo() as repo, ExitStack() as still:
            for dataset in self._datasets():  # a table that is replaced meanwhile would be stored under a wrong name
                still.enter_context(one_at_a_time(self.project, dataset))
            listing, name = self._store(repo)
            self._point(repo, listing, name)
            self._push(repo, {*listing.values()}, {name, self._pointed(repo) or name})
            return self._note(name, message)

    def versions(self) -> list[Version]:
        """Give the versions that were stored on this machine, oldest first.

        Raises:
            DataError: a line of the list is damaged.
        """
        if not self._log.is_file():
            return []
        found = []
        for number, line in enumerate(self._log.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            try:
                found.append(Version.model_validate_json(line))
            except ValidationError:
                msg = f"{self._log}, line {number} is no version but {line[:80]!r}; delete that line"
                raise DataError(msg) from None
        return found

    def status(self) -> dict[str, str]:
        """Say of each data set how it stands to `data.dvc`: same, changed, new, absent, or unknown."""
        with self._repo() as repo:
            now = _by_dataset(_listing_of(self._build(repo)[1]))
            pointed = self._pointed(repo)
            then = self._listing(repo, pointed) if pointed else {}
        if then is None:
            return dict.fromkeys(now, "unknown")
        before = _by_dataset(then)
        words = {}
        for name in sorted({*now, *before}):
            if name not in now:
                words[name] = "absent"
            elif name not in before:
                words[name] = "new"
            else:
                words[name] = "same" if now[name] == before[name] else "changed"
        return words

    def verify(self) -> int:
        """Hash every table in `data/` and every object that a version of this machine names.

        Returns:
            how many files were found to be right.

        Raises:
            DataError: naming what is damaged.
        """
        checked, damaged = 0, []
        for name in self._datasets():
            table = Table.open(self.project.data / name)
            table.verify()
            checked += len(table.about.files)
        with self._repo() as repo:
            cache = repo.cache.local
            names = {version.data for version in self.versions()}
            for version in sorted(names):
                names = names | set((self._listing(repo, version) or {}).values())
            for name in sorted(names):
                if not Path(cache.oid_to_path(name)).is_file():
                    continue
                checked += 1
                if not _sound(cache, name):
                    damaged.append(cache.oid_to_path(name))
        if damaged:
            msg = (
                f"{len(damaged)} objects in DVC's cache are damaged, first {damaged[0]}; "
                "delete them: what is needed of them is fetched from the remote again"
            )
            raise DataError(msg)
        return checked

    def restore(self, dataset: str, digest: str) -> TableRecord:
        """Bring an older version of one data set back to `data/`, without touching git or `data.dvc`.

        Args:
            dataset: its name.
            digest: of the table; the first characters are enough where they name one version.

        Raises:
            HeadframeError: no version has that digest, or several begin with it.
            DataError: what cache and remote hold of it is damaged.
        """
        with self._repo() as repo:
            files = self._find(repo, dataset, digest)
            place = self.project.data / dataset
            fresh = self.project.state / "collecting" / dataset
            with writing(place), one_at_a_time(self.project, dataset):
                recover(fresh, place)
                try:
                    self._lay_out(repo, files, fresh)
                    exchange(fresh, place)
                finally:
                    recover(fresh, place)
        return Table.open(place).record()

    def extract(self, dataset: str, digest: str, folder: Path) -> Table:
        """Write a version of one data set to a folder of its own, and leave `data/` as it is.

        Args:
            dataset: its name.
            digest: as `restore` takes it.
            folder: does not exist.

        Raises:
            HeadframeError: as `restore`.
            DataError: as `restore`.
        """
        with self._repo() as repo, writing(folder):
            return self._lay_out(repo, self._find(repo, dataset, digest), folder)

    def _lay_out(self, repo: Repo, files: Listing, folder: Path) -> Table:
        folder.mkdir(parents=True)
        for name, md5 in files.items():
            self._copy(repo, md5, folder / name)
        table = Table.open(folder)
        table.verify()
        return table

    @contextmanager
    def _repo(self) -> Iterator[Repo]:
        """Open the project's DVC repository, made where there is none; nobody else of us is in it meanwhile."""
        root = self.project.root
        lock = self.project.state / "locks" / "versions.lock"
        with writing(root / ".dvc"):
            lock.parent.mkdir(parents=True, exist_ok=True)
            self.project.data.mkdir(exist_ok=True)
        with filelock.FileLock(lock), writing(root / ".dvc"):
            if not (root / ".dvc" / "config").is_file():
                write_atomically(root / ".dvc" / ".gitignore", _IGNORED)
                write_atomically(root / ".dvc" / "config", _CONFIG)
            # What DVC remembers of files it saw stays in the project, not in the machine's /var/tmp.
            core: dict[str, Any] = {"site_cache_dir": str(self.project.state / "dvc"), "analytics": False}
            if not any((folder / ".git").exists() for folder in (root, *root.parents)):
                core["no_scm"] = True
            try:
                with closing(Repo(str(root), config={"core": core})) as repo:
                    repo.scm_context.quiet = True  # else it prints advice about git on standard output
                    yield repo
            except ConfigError as error:
                msg = (
                    f"{root / '.dvc' / 'config'} cannot be used ({' '.join(str(error).split())}); resolve the conflict "
                    "in it, or get it back with `git checkout .dvc/config`, or delete it and it is written again"
                )
                raise HeadframeError(msg) from error
            except (DvcException, LockError, ObjectFormatError) as error:
                msg = f"DVC cannot keep versions of data/: {error}"
                raise (Unavailable if isinstance(error, LockError) else HeadframeError)(msg) from error
            except sqlite3.Error as error:
                msg = (
                    f"DVC cannot use its notes in {self.project.state / 'dvc'} ({error}); free space on the disk, "
                    "or remove that folder, which DVC fills again"
                )
                raise HeadframeError(msg) from error

    def _datasets(self) -> list[str]:
        return sorted(file.parent.name for file in self.project.data.glob(f"*/{ABOUT}"))

    def _build(self, repo: Repo) -> tuple[HashFileDB, Tree]:
        """Hash the files in `data/`; DVC remembers those it hashed before by size and time."""
        store, _, tree = build_tree(repo.cache.local, str(self.project.data), localfs, "md5")
        return store, cast("Tree", tree)

    def _store(self, repo: Repo) -> tuple[Listing, str]:
        """Put the files in `data/` into the cache, and make sure that they are really there."""
        cache = repo.cache.local
        store, tree = self._build(repo)
        known = self.versions()
        if not (known and known[-1].data == tree.oid):  # what was stored last was checked when it was stored
            for md5 in {*_listing_of(tree).values(), tree.oid}:
                if Path(cache.oid_to_path(md5)).is_file() and not _sound(cache, md5):
                    log.warning("an object in DVC's cache is damaged and is stored again: %s", cache.oid_to_path(md5))
                    _remove(cache, md5)
        failed = transfer(store, cache, {tree.hash_info}, shallow=False).failed
        if failed:
            msg = f"DVC cannot store {len(failed)} files of data/ in {cache.path}; is the disk full?"
            raise HeadframeError(msg)
        return _listing_of(tree), tree.oid

    def _point(self, repo: Repo, listing: Listing, name: str) -> None:
        """Have `data.dvc` name what `data/` holds, and what it named before of data sets that are not here."""
        pointed = self._pointed(repo)
        if pointed == name:
            return
        if pointed is None:
            self._add(repo, [self.project.data])
            return
        before = self._listing(repo, pointed)
        if before is None:
            before = _subset_called(listing, pointed)
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
            self._add(repo, [self.project.data] if not {*then} - {*now} else changed)

    def _add(self, repo: Repo, paths: list[Path]) -> None:
        """Call `dvc add`, and undo what it writes when it fails: on a full disk it writes `data.dvc` all the same."""
        former = self._pointer.read_bytes() if self._pointer.is_file() else None
        try:
            _patiently(lambda: repo.add([str(path) for path in paths], relink=False))
        except BaseException:
            if former is None:
                self._pointer.unlink(missing_ok=True)
            else:
                write_atomically(self._pointer, former)
            raise

    def _pointed(self, repo: Repo) -> str | None:
        """Give DVC's name of the data that `data.dvc` points to."""
        if not self._pointer.is_file():
            return None
        try:
            outputs = repo.stage.load_one(str(self._pointer)).outs
        except DvcException as error:
            raise HeadframeError(self._unusable(str(error))) from error
        if len(outputs) != 1:
            raise HeadframeError(self._unusable(f"it names {len(outputs)} folders, but data/ is one"))
        name: str | None = outputs[0].hash_info.value
        return name

    def _unusable(self, what: str) -> str:
        return (
            f"{self._pointer} cannot be used ({what}); resolve the conflict in it, get it back with "
            "`git checkout data.dvc`, or delete it to start over with what data/ holds"
        )

    def _listing(self, repo: Repo, name: str) -> Listing | None:
        """Give the files of a version, from the cache or else from the remote; None where neither has the list."""
        cache = repo.cache.local
        if not _sound(cache, name):
            _remove(cache, name)
            self._fetch(repo, name)
        try:
            return _listing_of(Tree.load(cache, HashInfo("md5", name)))
        except (FileNotFoundError, ObjectFormatError):
            return None

    def _fetch(self, repo: Repo, name: str) -> None:
        """Bring one object from the remote into the cache, if it is there; the remote's bytes are hashed on the way."""
        try:
            remote = repo.cloud.get_remote_odb()
            if remote.exists(name):
                transfer(remote, repo.cache.local, {HashInfo("md5", name)}, verify=True, shallow=True)
        except (DvcException, ObjectFormatError, OSError) as error:
            log.warning("the DVC remote cannot give %s: %s", name, error)

    def _push(self, repo: Repo, files: set[str], lists: set[str]) -> None:
        """Send objects to the remote: lists last, so that a list in the remote means that its files are there."""
        remote = repo.cloud.get_remote_odb()
        if not all(remote.exists(name) for name in (*files, *lists)):
            get_index(remote).clear()  # DVC believes what it remembers of a remote, also after that was emptied
        for names in (files, {name for name in lists if Path(repo.cache.local.oid_to_path(name)).is_file()}):
            failed = repo.cloud.push([HashInfo("md5", name) for name in sorted(names)]).failed
            if failed:
                msg = f"the DVC remote refused {len(failed)} of {len(names)} files; look at it with: dvc remote list"
                raise Unavailable(msg)

    def _note(self, name: str, message: str) -> str | None:
        """Add a line to the list of versions, unless the last line says the same."""
        datasets = {dataset: Table.open(self.project.data / dataset).digest for dataset in self._datasets()}
        version = Version(data=name, datasets=datasets, message=message)
        known = self.versions()
        if known and known[-1].data == name:
            return None
        write_atomically(self._log, "".join(f"{one.model_dump_json()}\n" for one in [*known, version]))
        return name

    def _find(self, repo: Repo, dataset: str, digest: str) -> Listing:
        """Give the files, name to md5, of the one version of a data set whose digest begins so."""
        found: dict[str, Listing] = {}
        seen: set[str] = set()
        for name in self._known_names(repo):
            listing = self._listing(repo, name)
            files = _by_dataset(listing or {}).get(dataset)
            if files is None or ABOUT not in files or files[ABOUT] in seen:
                continue
            seen.add(files[ABOUT])
            about = self._object(repo, files[ABOUT])
            full = str(json.loads(about.read_bytes())["digest"]) if about else ""
            if full.startswith(digest):
                found[full] = files  # the latest spelling of the same rows wins
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            msg = f"{len(found)} versions of {dataset} begin with {digest}: {', '.join(sorted(found))}; give more of it"
        else:
            msg = (
                f"no version of {dataset} that cache or remote hold begins with {digest}; "
                "list those that were stored here with: headframe data versions"
            )
        raise HeadframeError(msg)

    def _known_names(self, repo: Repo) -> list[str]:
        """Name every list of files there is: those noted here first, then what cache and remote hold besides."""
        names = [version.data for version in self.versions()]
        stores = [repo.cache.local]
        try:
            stores.append(repo.cloud.get_remote_odb())
        except DvcException as error:
            log.warning("DVC's remote is left out: %s", error)
        for store in stores:
            if store.fs.exists(store.path):
                names += sorted(name for name in store.all() if name.endswith(".dir"))
        return list(dict.fromkeys(names))

    def _object(self, repo: Repo, md5: str) -> Path | None:
        """Give a sound object's file in the cache, fetched again where it is missing or damaged."""
        cache = repo.cache.local
        if not _sound(cache, md5):
            _remove(cache, md5)
            self._fetch(repo, md5)
            if not _sound(cache, md5):
                return None
        return Path(cache.oid_to_path(md5))

    def _copy(self, repo: Repo, md5: str, place: Path) -> None:
        found = self._object(repo, md5)
        if found is None:
            msg = f"{place.name} ({md5}) is damaged or missing in cache and remote, so this version cannot be restored"
            raise DataError(msg)
        shutil.copyfile(found, place)


def _listing_of(tree: Tree) -> Listing:
    return {"/".join(key): info.value for key, _, info in tree if info is not None and info.value}


def _by_dataset(listing: Mapping[str, str]) -> dict[str, Listing]:
    """Group files by the folder they lie in: data set -> file -> md5."""
    found: dict[str, Listing] = {}
    for path, md5 in listing.items():
        dataset, _, name = path.partition("/")
        found.setdefault(dataset, {})[name] = md5
    return found


def _subset_called(listing: Listing, name: str) -> Listing | None:
    """Find those data sets among the present ones that make up exactly the data called `name`.

    After a clone nobody can tell what a name stands for; but when its data sets were collected again, they
    give the name themselves.
    """
    datasets = _by_dataset(listing)
    if len(datasets) > MOST_SUBSETS:
        return None
    for size in range(1, len(datasets)):
        for chosen in itertools.combinations(datasets, size):
            part = {path: md5 for path, md5 in listing.items() if path.partition("/")[0] in chosen}
            tree = Tree()  # type: ignore[no-untyped-call]
            for path, md5 in part.items():
                tree.add(tuple(path.split("/")), None, HashInfo("md5", md5))
            tree.digest()
            if tree.oid == name:
                return part
    return None


def _sound(cache: HashFileDB, name: str) -> bool:
    """Tell whether an object lies in the cache and hashes to its own name, which DVC does not look at."""
    file = Path(cache.oid_to_path(name))
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest() == name.removesuffix(".dir")


def _remove(cache: HashFileDB, name: str) -> None:
    Path(cache.oid_to_path(name)).unlink(missing_ok=True)


def _patiently(call: Callable[[], Result]) -> Result:
    """Wait for a program outside Headframe that holds DVC's lock, where DVC itself gives up after seconds."""
    deadline = time.monotonic() + FOREIGN_LOCK_SECONDS
    while True:
        try:
            return call()
        except LockError:
            if time.monotonic() > deadline:
                raise
            log.info("another program holds DVC's lock; waiting for it")
