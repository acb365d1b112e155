"""What differs between two versions of a data set, row by row."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.plan.data import CONTENT, ROW_ID
from headframe.datasets.hashing import content_hashes
from headframe.datasets.table import Table
from headframe.digests import Record

EXAMPLES = 5
"""Rows of each kind that are named."""


class VersionDifference(Record):
    """How many rows two versions have in common, by their names, and which of the others come first."""

    dataset: str
    before: str  # digest of the older table
    after: str
    added: int
    removed: int
    changed: int  # rows of one name with other cells, in the columns that both versions have
    unchanged: int
    examples: dict[str, tuple[str, ...]]  # `added`, `removed` and `changed`: names of the first rows
    columns: dict[str, str]  # those that only one version has, or has in another type, and in which


def compare_rows(before: Table, after: Table) -> VersionDifference:
    """Compare the rows of two versions; their tables are streamed, names and a hash of each row are kept."""
    old, new = (each.metadata.columns for each in (before, after))
    shared = [name for name in new if name in old and name not in (ROW_ID, CONTENT)]
    ids, hashes = zip(*(_rows(each, shared) for each in (before, after)), strict=True)
    place = pc.index_in(ids[1], value_set=ids[0])
    known = np.asarray(place.is_valid())
    differs = hashes[0][np.asarray(place.drop_null())] != hashes[1][known]
    found = {
        "added": ids[1].filter(pa.array(~known)),
        "removed": ids[0].filter(pc.invert(pc.is_in(ids[0], value_set=ids[1]))),
        "changed": ids[1].filter(pa.array(known)).filter(pa.array(differs)),
    }
    return VersionDifference(
        dataset=after.metadata.dataset,
        before=before.digest,
        after=after.digest,
        unchanged=int(known.sum() - differs.sum()),
        examples={name: tuple(rows[:EXAMPLES].to_pylist()) for name, rows in found.items()},
        columns={
            name: f"{old.get(name, 'absent')} -> {new.get(name, 'absent')}"
            for name in dict.fromkeys((*old, *new))
            if old.get(name) != new.get(name)
        },
        **{name: len(rows) for name, rows in found.items()},
    )


def _rows(table: Table, columns: list[str]) -> tuple[pa.Array, np.ndarray]:
    """Return the names of all rows, and a hash of each, uint64."""
    ids, hashes = [], [np.empty(0, dtype=np.uint64)]
    for batch in table.batches([ROW_ID, *columns]):
        ids.append(batch.column(0))
        found = content_hashes(pa.table(batch), columns) if columns else ["0" * 16] * batch.num_rows
        hashes.append(np.array([int(each, 16) for each in found], dtype=np.uint64))
    return pa.chunked_array(ids, pa.string()).combine_chunks(), np.concatenate(hashes)
