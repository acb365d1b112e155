"""Groups of rows that belong together: one patient, one user, one sentence, or what several columns connect."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.datasets.hashing import content_hashes, content_numbers, one_chunk


def group_numbers(rows: pa.Table, columns: Sequence[str], contents: np.ndarray) -> np.ndarray:
    """Number the groups of rows, uint64 (rows,): those that a value of any column, or their content, connects.

    The number of a group is the smallest hash of its values in `columns`, so that of one column does not depend on
    other rows. A row that is added moves others only where it connects groups.

    Args:
        rows: have the columns; a row without a value in one is connected by the others.
        columns: of which equal values mean one group.
        contents: int (rows,), equal where rows are in one group whatever their columns hold.
    """
    from scipy.sparse import coo_array  # noqa: PLC0415 - most data sets have no groups
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - most data sets have no groups

    unique, nodes = np.unique(contents, return_inverse=True)
    starts, ends, hashes = [], [], []
    many = len(unique)
    for name in columns:
        column = one_chunk(rows.column(name))
        codes = column.dictionary_encode()
        valued = np.flatnonzero(np.asarray(codes.is_valid()))
        starts.append(nodes[valued])
        ends.append(many + np.asarray(codes.indices.drop_null(), dtype=np.int64))
        hashes.append(_hashes(name, codes.dictionary))
        many += len(codes.dictionary)
    joined = np.concatenate(starts), np.concatenate(ends)
    edges = coo_array((np.ones(len(joined[0]), dtype=np.int8), joined), shape=(many, many))
    found, component = connected_components(edges, directed=False)
    smallest = np.full(found, np.iinfo(np.uint64).max)
    np.minimum.at(smallest, component[len(unique) :], np.concatenate(hashes))
    alone = ~np.isin(component[: len(unique)], component[len(unique) :])
    smallest[component[: len(unique)][alone]] = unique[alone]
    numbers: np.ndarray = smallest[component[nodes]]
    return numbers


def first_shared(column: pa.ChunkedArray, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, object]:
    """Return which rows of `other` have a value that rows of `one` have, bool (of other,), and the first such value."""
    learned, tested = column.filter(pa.array(one)), column.filter(pa.array(other))
    shared = pc.and_(pc.is_in(tested, value_set=pc.unique(learned.drop_null())), tested.is_valid())
    found = np.asarray(shared.combine_chunks() if isinstance(shared, pa.ChunkedArray) else shared)
    return found, tested[int(np.argmax(found))].as_py() if found.any() else None


def _hashes(column: str, values: pa.Array) -> np.ndarray:
    """Hash values, uint64 (values,); those of another column otherwise, as 7 may be a patient or a ward."""
    contents = content_hashes(pa.table({"value": values}), ["value"])
    key = np.frombuffer(hashlib.sha256(column.encode()).digest()[:8], dtype="<u8")[0]
    return content_numbers(pa.chunked_array([contents], pa.string())) ^ key
