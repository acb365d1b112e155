"""Sets of items that many baskets hold, by Eclat (Zaki 2000, doi:10.1109/69.846291) on bitsets.

Each item has one bit a basket. The baskets of an itemset are the intersection of those of its items, and their number
is a count of bits; both are single NumPy calls for all extensions of an itemset. As in FP-Growth (Han, Pei and Yin
2000, doi:10.1145/342009.335372), the search grows one prefix at a time in the part of the data that holds it, and no
candidate is generated that a frequent prefix does not have.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from headframe.errors import ConfigurationError
from headframe.features.baskets import bitsets

BLOCK = 2048
"""Items whose pairs are counted at once; bounds the memory of the counts."""


@dataclass(frozen=True)
class Itemset:
    """Items that occur together.

    Attributes:
        items: their numbers in ascending order.
        count: how many baskets hold all of them.
    """

    items: tuple[int, ...]
    count: int


def frequent_itemsets(
    baskets: sparse.csr_matrix, fewest: int, *, longest: int | None = None, most: int = 1_000_000
) -> list[Itemset]:
    """Return all itemsets but the empty one that at least `fewest` baskets hold, shorter ones first.

    Args:
        baskets: (baskets, items); an item is in a basket where the entry is not 0.
        fewest: at least 1.
        longest: number of items in the longest itemset; None sets no limit.
        most: how many there may be.

    Raises:
        ConfigurationError: there are more than `most`.
    """
    counts = np.asarray((baskets != 0).sum(axis=0)).ravel()
    # Rare items first: their prefixes have few baskets, so that most of the search takes place in little data.
    order = np.flatnonzero(counts >= fewest)
    order = order[np.argsort(counts[order], kind="stable")]
    found: list[Itemset] = []
    for items, count in _search(sparse.csc_matrix(baskets != 0)[:, order], fewest, longest or len(order)):
        if len(found) == most:
            raise ConfigurationError(
                f"more than {most:,} itemsets occur in {fewest:,} or more of {baskets.shape[0]:,} baskets; raise "
                "min_support, or lower max_length"
            )
        found.append(Itemset(tuple(sorted(order[list(items)].tolist())), count))
    return sorted(found, key=lambda each: (len(each.items), each.items))


def _search(columns: sparse.csc_matrix, fewest: int, longest: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield itemsets by positions of columns, each of which is frequent, with their counts."""
    bits = bitsets(columns)
    yield from (((item,), int(count)) for item, count in enumerate(np.diff(columns.indptr)))
    if longest == 1:
        return
    rows = columns.astype(np.int32)
    for start in range(0, columns.shape[1], BLOCK):
        together = (rows[:, start : start + BLOCK].T @ rows).toarray()
        for offset, pairs in enumerate(together):
            item = start + offset
            others = item + 1 + np.flatnonzero(pairs[item + 1 :] >= fewest)
            yield from (((item, int(other)), int(pairs[other])) for other in others)
            if longest > 2 and len(others) > 1:  # noqa: PLR2004 - pairs are done
                words = np.flatnonzero(bits[item])
                members = bits[others[:, np.newaxis], words] & bits[item, words]
                yield from _extend((item,), others, members, fewest, longest)


def _extend(
    prefix: tuple[int, ...], items: np.ndarray, members: np.ndarray, fewest: int, longest: int
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield the itemsets that hold a prefix and at least two of some items.

    Args:
        prefix: of each itemset.
        items: each frequent together with the prefix.
        members: bits of the baskets that hold the prefix and each of the items, (items, words).
        fewest: see `frequent_itemsets`.
        longest: at least two more than the prefix has.
    """
    for position in range(len(items) - 1):
        both = members[position] & members[position + 1 :]
        counts = np.bitwise_count(both).sum(axis=1, dtype=np.int64)
        kept = np.flatnonzero(counts >= fewest)
        if not len(kept):
            continue
        longer, others = (*prefix, int(items[position])), items[position + 1 + kept]
        yield from (
            ((*longer, other), count) for other, count in zip(others.tolist(), counts[kept].tolist(), strict=True)
        )
        if len(kept) > 1 and len(longer) + 2 <= longest:
            yield from _extend(longer, others, both[kept], fewest, longest)
