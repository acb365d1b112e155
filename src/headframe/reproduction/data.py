"""Restore the recorded version of the data into the checkout's own `data/`, without touching the project's."""

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from headframe.config.project import Project
from headframe.data_versions.dvc_files import DvcSettings, holds_objects, settings_of_remote
from headframe.errors import HeadframeError
from headframe.records import TableRecord

log = logging.getLogger("headframe")

SOURCES = "collected from its sources"


def restore_table(table: TableRecord, project: Path, root: Path) -> str:
    """Restore the version with the recorded digest from DVC's cache or remote, where one of them has it.

    Args:
        table: names the version.
        project: the user's; its cache and its settings of DVC are read.
        root: the checkout's; the table is written to its `data/`.

    Returns:
        Where it came from; `SOURCES` where it has to be collected.
    """
    settings = DvcSettings.read(project, skip_unreadable=True)
    stores = {}
    if settings.files and holds_objects(settings.cache):
        stores["the project's DVC cache"] = {"config": settings_of_remote("project", settings.cache)}
    if settings.files and settings.remote:
        stores["the project's DVC remote"] = settings.with_remotes_only()
    if not stores:
        return SOURCES
    from headframe.data_versions.versions import DataFolderVersions  # noqa: PLC0415 - dvc costs seconds

    folder = root / ".dvc"
    for name, files in stores.items():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file, parser in files.items():
            with (folder / file).open("w", encoding="utf-8") as stream:
                parser.write(stream)
        try:
            DataFolderVersions(root).restore(table.dataset, table.digest)
        except HeadframeError as error:
            log.info("data      not from %s: %s", name, error)
        else:
            return name
        shutil.rmtree(root / table.folder, ignore_errors=True)
    return SOURCES


def link_raw_files(sources: Mapping[str, Any], project: Path, root: Path) -> None:
    """Bring raw files of a plan's sources that git does not track from the project into the checkout.

    Hard links where the file system has them: a source is no link out of its project.
    """
    for source in sources.values():
        relative = PurePosixPath(str(source["uri"]).partition(":")[2])
        if relative.is_absolute() or ".." in relative.parts:
            continue
        for folder, target_folder in ((project, root), (Project(project).raw, Project(root).raw)):
            file, link = folder / relative, target_folder / relative
            if file.is_file() and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(file, link)
                except OSError:  # another file system
                    shutil.copyfile(file, link)
