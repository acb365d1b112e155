"""Keep the version of a table."""

from __future__ import annotations

from pathlib import Path

from headframe.record import Record
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
    """
    from headframe.datasets.versions import Versions  # noqa: PLC0415 - a kept stage must not import dvc

    Versions(root).commit(f"{table.dataset} {table.digest}")
    return Kept(dataset=table.dataset, digest=table.digest)
