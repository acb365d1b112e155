"""The recorded version of the data in the checkout's own `data/`: by its digest, without touching the project's."""

from __future__ import annotations

import configparser
import hashlib
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from headframe.config.project import Project
from headframe.datasets.cells import update
from headframe.datasets.table import TABLE, Table
from headframe.digests import canonical
from headframe.errors import HeadframeError
from headframe.records import TableRecord

log = logging.getLogger("headframe")

SOURCES = "collected anew from its sources"


def bring(table: TableRecord, project: Path, root: Path) -> str:
    """Fetch the version with the recorded digest from DVC's cache or remote, where one of them has it.

    Args:
        table: which version.
        project: the user's; its cache and its settings of DVC are read.
        root: the checkout's; the table comes to its `data/`.

    Returns:
        Where it came from; `SOURCES` where it is still to be collected.
    """
    stores = list(_stores(project))
    if not stores:
        return SOURCES
    from headframe.datasets.versions import Versions  # noqa: PLC0415 - dvc costs seconds

    folder = root / ".dvc"
    for name, settings in stores:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file, parser in settings.items():
            with (folder / file).open("w", encoding="utf-8") as stream:
                parser.write(stream)
        try:
            Versions(root).restore(table.dataset, table.digest)
            if hashed(Table.open(root / table.folder)) == table.digest:
                return name
            log.warning("data      not from %s: its rows are not those that it says they are", name)
        except HeadframeError as error:
            log.info("data      not from %s: %s", name, error)
        shutil.rmtree(root / table.folder, ignore_errors=True)
    return SOURCES


def hashed(table: Table) -> str:
    """Hash the cells of a table anew: `dataset.json` only says what its digest was when it was written.

    Blocks are hashed as they were written: a row group of the file is one of them.
    """
    state = hashlib.sha256(canonical(list(table.about.columns.items())).encode())
    with pq.ParquetFile(table.folder / TABLE) as file:
        for group in range(file.num_row_groups):
            update(state, file.read_row_group(group))
    return state.hexdigest()


def lend(sources: Mapping[str, Any], project: Path, root: Path) -> None:
    """Let the checkout find raw files of the project that git does not keep; they are linked, and only read.

    Args:
        sources: of the recorded data set, as its plan has them.
        project: the user's.
        root: the checkout's.
    """
    for source in sources.values():
        relative = PurePosixPath(str(source["uri"]).partition(":")[2])
        if relative.is_absolute() or ".." in relative.parts:
            continue
        for there, here in ((project, root), (Project(project).raw, Project(root).raw)):
            if (there / relative).is_file() and not (here / relative).exists():
                (here / relative).parent.mkdir(parents=True, exist_ok=True)
                (here / relative).symlink_to(there / relative)


def _stores(project: Path) -> Iterator[tuple[str, dict[str, configparser.ConfigParser]]]:
    """Give DVC's settings for a checkout that fetches from the project's cache, and from its remote."""
    read = {name: _read(project / ".dvc" / name) for name in ("config", "config.local")}
    own = {name: parser for name, parser in read.items() if parser is not None}
    if not own:
        return
    named = [each.get("cache", "dir") for each in own.values() if each.has_option("cache", "dir")]
    cache = _absolute(named[-1] if named else "cache", project)
    if (Path(cache) / "files" / "md5").is_dir():
        lent = configparser.ConfigParser(interpolation=None)
        lent.read_dict({"core": {"remote": "lent"}, "'remote \"lent\"'": {"url": cache, "verify": "true"}})
        yield "the project's DVC cache", {"config": lent}
    if any(each.has_option("core", "remote") for each in own.values()):
        for each in own.values():
            each.remove_section("cache")  # the checkout has its own
            for section in each.sections():
                if section.startswith("'remote") and each.has_option(section, "url"):
                    each.set(section, "url", _absolute(each.get(section, "url"), project))
        yield "the project's DVC remote", own


def _read(file: Path) -> configparser.ConfigParser | None:
    if not file.is_file():
        return None
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        log.warning("%s cannot be read (%s), so it is left out", file, error)
        return None
    return parser


def _absolute(url: str, project: Path) -> str:
    """Spell a path in DVC's settings, which is relative to their file, so that it means the same elsewhere."""
    return url if "://" in url else str((project / ".dvc" / url).resolve())
