"""`headframe data`: the tables in `data/` and their versions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from headframe.cli.context import open_project
from headframe.cli.output import CommandResult, of_records
from headframe.cli.parser import Commands
from headframe.errors import ConfigurationError

if TYPE_CHECKING:
    from headframe.config.project import Project

ACTIONS = ("list", "show", "rejected", "versions", "status", "verify", "restore", "diff")

OF_A_VERSION = ("restore", "diff")

NOTHING = "nothing is stored yet; store a data set with: headframe ingest"


def add_commands(commands: Commands) -> None:
    """Add the command."""
    data = commands.add("data", _data, f"the tables in data/ and their versions: {', '.join(ACTIONS)}")
    data.add_argument("action", choices=ACTIONS)
    data.add_argument("dataset", nargs="?", help="show, rejected, restore, diff: which data set")
    data.add_argument("digest", nargs="?", help="restore, diff: the digest of a stored version, or its beginning")


def _data(arguments: argparse.Namespace) -> CommandResult:
    _refuse_unread(arguments)
    project = open_project()
    read = _tables if arguments.action in {"list", "show", "rejected"} else _versions
    result = read(arguments, project)
    return result if result.lines else result._replace(lines=[NOTHING])


def _refuse_unread(arguments: argparse.Namespace) -> None:
    """Refuse a data set or a digest that the action would not look at."""
    if arguments.dataset and arguments.action not in {"show", "rejected", *OF_A_VERSION}:
        raise ConfigurationError(f"data {arguments.action} is about all data sets; leave out {arguments.dataset!r}")
    if arguments.digest and arguments.action not in OF_A_VERSION:
        raise ConfigurationError(f"data {arguments.action} reads the present version; leave out {arguments.digest!r}")


def _tables(arguments: argparse.Namespace, project: Project) -> CommandResult:
    """Read the tables themselves, without DVC."""
    from headframe.config.targets.nearest import nearest
    from headframe.datasets.table import METADATA, Table

    if project.data.is_file():
        raise ConfigurationError(f"{project.data} is a file, but it is the folder of the tables; give it another name")
    if arguments.action == "list":
        return of_records([Table.open(file.parent).record() for file in sorted(project.data.glob(f"*/{METADATA}"))])
    if not arguments.dataset:
        msg = f"data {arguments.action} needs a data set, as in: headframe data {arguments.action} digits"
        raise ConfigurationError(msg)
    known = [folder.name for folder in project.data.glob("*/")]
    if arguments.dataset not in known:
        hint = f"{nearest(arguments.dataset, known)}, or " if known else ""
        advice = f"{hint}ingest it: headframe ingest dataset={arguments.dataset}"
        raise ConfigurationError(f"there is no data set {arguments.dataset!r} in {project.data}; {advice}")
    table = Table.open(project.data / arguments.dataset)
    if arguments.action == "rejected":
        rows = table.rejected().to_pylist()
        lines = [f"{row['source']}, position {row['position']}: {row['reason']}" for row in rows]
        return CommandResult(rows, lines or ["no row was rejected"])
    about = table.metadata
    lines = [
        f"{about.dataset}: {about.title}",
        f"licence    {about.licence}",
        f"rows       {about.rows:,}, and {about.rejected:,} rejected",
        f"version    {about.digest}",
        *(f"column     {name}: {dtype}" for name, dtype in about.columns.items()),
    ]
    return CommandResult(about, lines)


def _versions(arguments: argparse.Namespace, project: Project) -> CommandResult:
    """Read what DVC has stored."""
    from headframe.data_versions.versions import DataFolderVersions

    versions = DataFolderVersions(project.root)
    if arguments.action in OF_A_VERSION and not (arguments.dataset and arguments.digest):
        example = f"headframe data {arguments.action} digits 33adb70c"
        raise ConfigurationError(f"data {arguments.action} needs a data set and a digest, as in: {example}")
    if arguments.action == "diff":
        return _difference(arguments, project)
    if arguments.action == "restore":
        record = versions.restore(arguments.dataset, arguments.digest)
        line = f"{record.folder}: {record.rows:,} rows, version {record.digest[:8]}"
        return CommandResult(record, [line])
    if arguments.action == "verify":
        files = versions.verify()
        return CommandResult({"files": files}, [f"{files} files match their stored digests"] if files else [])
    if arguments.action == "status":
        states = versions.status()
        return CommandResult(states, [f"{name:16}{state}" for name, state in states.items()])
    stored = versions.versions()
    lines = [
        f"{version.data[:8]}  " + ", ".join(f"{name} {digest[:8]}" for name, digest in version.datasets.items())
        for version in stored
    ]
    return CommandResult(stored, lines)


def _difference(arguments: argparse.Namespace, project: Project) -> CommandResult:
    """Compare a stored version of a data set with the present one."""
    import tempfile
    from pathlib import Path

    from headframe.data_versions.diff import compare_rows
    from headframe.data_versions.versions import DataFolderVersions
    from headframe.datasets.table import Table

    present = Table.open(project.data / arguments.dataset)
    with tempfile.TemporaryDirectory() as scratch:
        stored = DataFolderVersions(project.root).extract(arguments.dataset, arguments.digest, Path(scratch) / "table")
        found = compare_rows(stored, present)
    counts = {name: getattr(found, name) for name in ("added", "removed", "changed")}
    lines = [
        f"{arguments.dataset}: version {found.before[:8]} -> {found.after[:8]}",
        *(f"{name:11}{number:,}: {_named(found.examples[name], number)}" for name, number in counts.items() if number),
        f"unchanged  {found.unchanged:,}",
        *(f"column     {name}: {change}" for name, change in found.columns.items()),
    ]
    return CommandResult(found, lines)


def _named(rows: tuple[str, ...], number: int) -> str:
    return ", ".join(rows) + (", ..." if number > len(rows) else "")
