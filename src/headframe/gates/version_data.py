"""The table of the version that is judged, its splits, and the rows as training saw them."""

from functools import cached_property

import numpy as np

from headframe.datasets.splits import assign
from headframe.datasets.table import Table
from headframe.errors import DataError, HeadframeError, Unavailable
from headframe.examples.prepare import PreparedData, prepare
from headframe.gates.records import SignedRecords


class VersionData:
    """Table of the version that is judged; read when it is first asked for, and once.

    Args:
        records: what its author signed.
    """

    def __init__(self, records: SignedRecords) -> None:
        self.records = records

    @cached_property
    def table(self) -> Table:
        """The version's table: that in `data/` if it is the one, else restored by its digest into a scratch folder.

        Raises:
            HeadframeError: neither has it.
        """
        expected, name = self.records.signed_digest("table"), self.records.plan.dataset.name
        root = self.records.request.root
        try:
            present = Table.open(root / "data" / name)
        except HeadframeError as error:  # a committed version decides
            state = "is damaged" if isinstance(error, DataError) else "is not there"
        else:
            if present.digest == expected:
                return present
            state = f"is version {present.digest[:12]}"
        from headframe.data_versions.versions import DataFolderVersions  # noqa: PLC0415 - imports dvc: a second

        try:
            return DataFolderVersions(root).extract(name, expected, self.records.scratch / "data" / name)
        except Unavailable:
            raise
        except HeadframeError as error:
            raise DataError(
                f"{self.records.request.version.uri} was measured on version {expected[:12]} of {name}, but "
                f"data/{name} {state} and it cannot be restored ({error}); collect it here: "
                f"headframe ingest dataset={name}"
            ) from error

    @cached_property
    def splits(self) -> np.ndarray:
        """For each row of the table `train`, `validation`, `test` or `unused`."""
        return assign(self.records.plan.dataset, self.table)

    @cached_property
    def prepared(self) -> PreparedData:
        """The version's table as training saw it."""
        return prepare(self.records.plan.dataset, self.records.plan.task, self.table)
