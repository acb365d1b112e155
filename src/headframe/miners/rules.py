"""Rules made of frequent itemsets, and what they recommend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from headframe.miners.itemsets import Itemset

CELLS = 4_000_000
"""Baskets times rules that are compared at once; bounds the memory of a prediction."""


@dataclass(frozen=True)
class Rules:
    """Rules with one or more items on the left and one on the right, in the order of their right sides.

    Attributes:
        left: which items each left side holds, bool as float32 (rules, items).
        right: number of the item on the right, int64 (rules,).
        confidence: share of the training baskets with the left side that hold the right one, float64 (rules,).
    """

    left: sparse.csr_matrix
    right: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, itemsets: Sequence[Itemset], items: int, least_confidence: float) -> Rules:
        """Return the rules of itemsets, whose subsets are among them, with at least so much confidence."""
        counts = {each.items: each.count for each in itemsets}
        found = []
        for items_of, count in counts.items():
            for position, item in enumerate(items_of if len(items_of) > 1 else ()):
                others = items_of[:position] + items_of[position + 1 :]
                if count >= least_confidence * counts[others]:
                    found.append((item, others, count / counts[others]))
        found.sort()
        numbers = np.array([number for _, others, _ in found for number in others], dtype=np.int64)
        offsets = np.cumsum([0, *(len(others) for _, others, _ in found)])
        left = sparse.csr_matrix((np.ones(len(numbers), dtype=np.float32), numbers, offsets), (len(found), items))
        right = np.array([item for item, _, _ in found], dtype=np.int64)
        return cls(left, right, np.array([confidence for _, _, confidence in found], dtype=np.float64))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.right)

    def scores(self, baskets: sparse.csr_matrix, popularity: np.ndarray) -> np.ndarray:
        """Score each item for each basket: the highest confidence of the rules whose left side the basket holds.

        Args:
            baskets: 1 where a basket holds an item, (baskets, items).
            popularity: score of an item that no rule speaks for, float64 (items,): the share of baskets that hold it,
                which is the confidence of a rule without a left side.

        Returns:
            float64 (baskets, items); minus infinity where the basket holds the item.
        """
        found = np.tile(popularity, (baskets.shape[0], 1))
        sizes, columns = np.diff(self.left.indptr), sparse.csc_matrix(self.left.T)
        firsts = np.flatnonzero(np.diff(self.right, prepend=-1))
        step = max(1, CELLS // max(1, len(self)))
        for start in range(0, baskets.shape[0] if len(self) else 0, step):
            chosen = slice(start, start + step)
            holds = (baskets[chosen] @ columns).toarray() == sizes
            best = np.maximum.reduceat(np.where(holds, self.confidence, 0.0), firsts, axis=1)
            right = self.right[firsts]
            found[chosen, right] = np.maximum(found[chosen, right], best)
        found[baskets.nonzero()] = -np.inf
        return found
