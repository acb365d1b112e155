"""DVC's cache, its default remote and `data.dvc`: the only module that calls DVC.

DVC trusts its cache and its remotes: a damaged object is handed out in silence while its file mode is 0444, a full
disk leaves a `data.dvc` behind that names objects which are not there, and two processes at once give up on each other
after seconds. So calls wait for each other under a lock of our own, `data.dvc` is restored when storing fails, and
every byte that comes out of the cache is hashed before it is used.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import filelock
from dvc.config import ConfigError
from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem, localfs
from dvc.lock import LockError
from dvc.repo import Repo
from dvc_data.hashfile.build import build as build_tree
from dvc_data.hashfile.db import HashFileDB, get_index
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.transfer import transfer
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError

from headframe.config.project import Project
from headframe.data_versions.dvc_files import is_object
from headframe.datasets.ingest import readable_write_errors
from headframe.digests import umask, write_atomically
from headframe.errors import HeadframeError, Unavailable
from headframe.exhaustion import exhausted, full_disk

log = logging.getLogger(__name__)

Listing = dict[str, str]
"""Files of a version: path below `data/` -> md5."""

FOREIGN_LOCK_SECONDS = 120.0  # how long another program, such as `dvc` by hand, may hold DVC's own lock

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


@contextmanager
def open_store(project: Project) -> Iterator[DvcStore]:
    """Open the project's DVC repository, which is created where there is none; other processes wait meanwhile.

    Raises:
        Unavailable: another program holds DVC's lock.
        HeadframeError: the settings are damaged, or DVC fails.
    """
    root = project.root
    lock = project.state / "locks" / "versions.lock"
    with readable_write_errors(root / ".dvc"):
        lock.parent.mkdir(parents=True, exist_ok=True)
        project.data.mkdir(exist_ok=True)
    with filelock.FileLock(lock), readable_write_errors(root / ".dvc"):
        if not (root / ".dvc" / "config").is_file():
            write_atomically(root / ".dvc" / ".gitignore", _IGNORED)
            write_atomically(root / ".dvc" / "config", _CONFIG)
        # What DVC remembers of files it saw stays in the project, not in the machine's /var/tmp.
        notes = project.state / "dvc"
        _make_notes(notes)
        core: dict[str, Any] = {"site_cache_dir": str(notes), "analytics": False}
        if not any((folder / ".git").exists() for folder in (root, *root.parents)):
            core["no_scm"] = True
        try:
            with closing(Repo(str(root), config={"core": core})) as repo:
                repo.scm_context.quiet = True  # else it prints advice about git on standard output
                yield DvcStore(repo, project)
        except ConfigError as error:
            raise HeadframeError(
                f"{root / '.dvc' / 'config'} cannot be used ({' '.join(str(error).split())}); resolve the conflict "
                "in it, or get it back with `git checkout .dvc/config`, or delete it and it is written again"
            ) from error
        except (DvcException, LockError, ObjectFormatError) as error:
            if (lack := exhausted(error)) is not None:
                raise lack from error
            msg = f"DVC cannot store versions of data/: {error}"
            raise (Unavailable if isinstance(error, LockError) else HeadframeError)(msg) from error
        except sqlite3.Error as error:
            raise exhausted(error) or HeadframeError(
                f"DVC cannot use its notes in {project.state / 'dvc'} ({error}); free space on the disk, "
                "or remove that folder, which DVC fills again"
            ) from error


class DvcStore:
    """Objects by their md5 in cache and remote, and the pointer to what `data/` holds."""

    def __init__(self, repo: Repo, project: Project) -> None:
        self._repo = repo
        self._cache: HashFileDB = repo.cache.local
        self._data = project.data
        self._notes = project.state / "dvc"
        self._pointer = project.root / "data.dvc"

    def current_files(self) -> Listing:
        """Return the files in `data/`, hashed; DVC remembers those it hashed before by size and time."""
        return _listing_of(self._build()[1])

    def store_data(self) -> tuple[str, Listing]:
        """Put the files in `data/` into the cache, and make sure that they are really there.

        Returns:
            DVC's name of the data, and its files.
        """
        store, tree = self._build()
        objects = [(self._file(md5), md5) for md5 in (*_listing_of(tree).values(), tree.oid)]
        _remove_damaged("cache", objects)
        failed = transfer(store, self._cache, {tree.hash_info}, shallow=False).failed
        if failed:
            msg = f"DVC cannot store {len(failed)} files of data/ in {self._cache.path}; is the disk full?"
            raise HeadframeError(msg)
        wrong = next((file for file, md5 in objects if not is_object(file, md5)), None)
        if wrong is not None:
            raise HeadframeError(
                f"DVC stored {wrong} under a name that is not that of its content: what it noted of files that it saw "
                f"is damaged; remove {self._notes}, which DVC fills again"
            )
        return tree.oid, _listing_of(tree)

    def add(self, paths: list[Path]) -> None:
        """Call `dvc add`, and undo what it writes if it fails: on a full disk it writes `data.dvc` all the same."""
        former = self._pointer.read_bytes() if self._pointer.is_file() else None
        deadline = time.monotonic() + FOREIGN_LOCK_SECONDS
        try:
            while True:
                try:
                    self._repo.add([str(path) for path in paths], relink=False)
                except LockError:  # of a program outside Headframe; DVC itself gives up after seconds
                    if time.monotonic() > deadline:
                        raise
                    log.info("another program holds DVC's lock; waiting for it")
                else:
                    return
        except BaseException:
            if former is None:
                self._pointer.unlink(missing_ok=True)
            else:
                write_atomically(self._pointer, former)
            raise

    def pointed(self) -> str | None:
        """Return DVC's name of the data that `data.dvc` points to; None where there is no such file.

        Raises:
            HeadframeError: the file is damaged, or in the middle of a merge.
        """
        if not self._pointer.is_file():
            return None
        try:
            outputs = self._repo.stage.load_one(str(self._pointer)).outs
        except DvcException as error:
            raise HeadframeError(self._unusable(str(error))) from error
        if len(outputs) != 1:
            raise HeadframeError(self._unusable(f"it names {len(outputs)} folders, but data/ is one"))
        name: str | None = outputs[0].hash_info.value
        return name

    def listing(self, name: str) -> Listing | None:
        """Return the files of a version, from the cache or else the remote; None where neither has such a list."""
        self.intact_object(name)
        try:
            found = _listing_of(Tree.load(self._cache, HashInfo("md5", name)))
        except (FileNotFoundError, ObjectFormatError, KeyError, TypeError, AttributeError):
            return None
        # Who writes to the remote writes lists, and what they name as an md5 becomes a part of paths.
        return found if all(re.fullmatch("[0-9a-f]{32}", str(md5)) for md5 in found.values()) else None

    def intact_object(self, md5: str) -> Path | None:
        """Return an object's file in the cache, fetched again where it is missing or damaged; None if impossible."""
        if not self.is_intact(md5):
            self._file(md5).unlink(missing_ok=True)
            self._fetch(md5)
            if not self.is_intact(md5):
                return None
        return self._file(md5)

    def is_intact(self, md5: str) -> bool:
        """Return whether an object is in the cache and hashes to its own name, which DVC does not check."""
        return self._file(md5).is_file() and is_object(self._file(md5), md5)

    def cached(self, md5s: set[str]) -> list[Path]:
        """Return the files of those objects that are in the cache, sound or not."""
        return [self._file(md5) for md5 in sorted(md5s) if self._file(md5).is_file()]

    def push(self, files: set[str], lists: set[str]) -> None:
        """Send objects to the remote: lists last, so that a list in the remote means that its files are there.

        Raises:
            Unavailable: the remote refuses some.
        """
        remote = self._repo.cloud.get_remote_odb()
        if isinstance(remote.fs, LocalFileSystem):
            _remove_damaged("remote", [(Path(remote.oid_to_path(md5)), md5) for md5 in (*files, *lists)])
        if not all(remote.exists(name) for name in (*files, *lists)):
            get_index(remote).clear()  # DVC believes what it remembers of a remote, also after that was emptied
        for names in (files, {name for name in lists if self._file(name).is_file()}):
            failed = self._repo.cloud.push([HashInfo("md5", name) for name in sorted(names)]).failed
            if failed:
                if isinstance(remote.fs, LocalFileSystem) and (lack := full_disk(Path(remote.path))) is not None:
                    raise lack
                msg = f"the DVC remote refused {len(failed)} of {len(names)} files; look at it with: dvc remote list"
                raise Unavailable(msg)

    def stored_lists(self) -> list[str]:
        """Return the names of all versions that cache and remote hold."""
        stores: list[Any] = [self._cache]
        names: list[str] = []
        try:
            stores.append(self._repo.cloud.get_remote_odb())
        except DvcException as error:
            log.warning("DVC's remote is left out: %s", error)
        for store in stores:
            if store.fs.exists(store.path):
                names += sorted(name for name in store.all() if name.endswith(".dir"))
        return names

    def _build(self) -> tuple[HashFileDB, Tree]:
        store, _, tree = build_tree(self._cache, str(self._data), localfs, "md5")
        return store, cast("Tree", tree)

    def _file(self, md5: str) -> Path:
        return Path(self._cache.oid_to_path(md5))

    def _fetch(self, md5: str) -> None:
        """Bring one object from the remote into the cache, if it is there; the remote's bytes are hashed on the way."""
        try:
            remote = self._repo.cloud.get_remote_odb()
            if remote.exists(md5):
                # Not DVC's `transfer`, which fails by an assertion where a list is damaged.
                self._cache.add(remote.oid_to_path(md5), remote.fs, md5, verify=True)
        except (DvcException, ObjectFormatError, OSError) as error:
            log.warning("the DVC remote cannot send %s: %s", md5, error)

    def _unusable(self, what: str) -> str:
        return (
            f"{self._pointer} cannot be used ({what}); resolve the conflict in it, get it back with "
            "`git checkout data.dvc`, or delete it to start over with what data/ holds"
        )


def _remove_damaged(where: str, objects: Iterable[tuple[Path, str]]) -> None:
    """Remove objects that are not what their names say, which DVC does not check, so that they are stored again."""
    for file, md5 in objects:
        if file.is_file() and not is_object(file, md5):
            log.warning("an object in DVC's %s is damaged and is stored again: %s", where, file)
            file.unlink()


def _make_notes(folder: Path) -> None:
    """Create the folder of DVC's notes; DVC itself would make it writable for everybody, and has done so before."""
    for each in (folder, folder / "repo"):
        each.mkdir(exist_ok=True)
        mode = each.stat().st_mode
        if mode & umask():
            each.chmod(mode & ~umask())


def name_of(listing: Listing) -> str:
    """Return DVC's name of these files."""
    tree = Tree()  # type: ignore[no-untyped-call]  # DVC's data library has no annotations
    for path, md5 in listing.items():
        tree.add(tuple(path.split("/")), None, HashInfo("md5", md5))
    tree.digest()
    return str(tree.oid)


def _listing_of(tree: Tree) -> Listing:
    return {"/".join(key): info.value for key, _, info in tree if info is not None and info.value}
