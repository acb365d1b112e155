"""A miner of association rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from typing_extensions import override

from headframe.config.ranges import Count, Share
from headframe.errors import ConfigurationError
from headframe.features.base import Encoded
from headframe.miners.base import Miner
from headframe.miners.itemsets import frequent_itemsets
from headframe.miners.rules import Rules


class AssociationRules(Miner):
    """Finds rules between items, and scores the items that a basket lacks by the rules that hold for it.

    Args:
        min_support: share of the baskets that must hold all items of a rule.
        min_confidence: share of the baskets with the left side of a rule that must hold the right side.
        max_length: items of a rule, both sides together; None sets no limit.
    """

    def __init__(self, *, min_support: Share, min_confidence: Share, max_length: Count | None = None) -> None:
        if not 0 < min_support <= 1:
            raise ValueError(f"min_support lies in (0, 1], not {min_support}")
        self.min_support = min_support
        self.min_confidence = min_confidence
        self.max_length = max_length
        self.popularity_ = np.zeros(0)
        self.rules_: Rules

    @override
    def fit(self, inputs: Encoded, target: np.ndarray | None = None) -> AssociationRules:
        """Find the rules of baskets.

        Args:
            inputs: CSR, (baskets, items); an item is in a basket where the entry is not 0.
            target: number of a further item of each basket, int64 (baskets,); -1 for none.
        """
        if not sparse.issparse(inputs):
            raise ConfigurationError("rules are found in baskets; choose features=baskets")
        whole = sparse.csr_matrix(inputs)
        if target is not None:
            known = np.flatnonzero(target >= 0)
            further = (np.ones(len(known), dtype=np.float32), (known, target[known]))
            whole = whole + sparse.csr_matrix(further, whole.shape)
        fewest = max(1, int(np.ceil(self.min_support * whole.shape[0] - 1e-9)))  # a product may be a little too large
        itemsets = frequent_itemsets(whole, fewest, longest=self.max_length)
        self.popularity_ = np.asarray((whole != 0).mean(axis=0), dtype=np.float64).ravel()
        self.rules_ = Rules.of(itemsets, whole.shape[1], self.min_confidence)
        return self

    def score_items(self, inputs: Encoded) -> np.ndarray:
        """Score all items for baskets, float64 (baskets, items); minus infinity where the basket holds the item."""
        return self.rules_.scores(sparse.csr_matrix(inputs), self.popularity_)

    @override
    def state(self) -> dict[str, Any]:
        rules = self.rules_
        return {
            "popularity": self.popularity_,
            "left": rules.left.indices.astype(np.int64),
            "offsets": rules.left.indptr.astype(np.int64),
            "right": rules.right,
            "confidence": rules.confidence,
        }

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.popularity_ = state["popularity"]
        ones = np.ones(len(state["left"]), dtype=np.float32)
        shape = (len(state["right"]), len(self.popularity_))
        left = sparse.csr_matrix((ones, state["left"], state["offsets"]), shape)
        self.rules_ = Rules(left, state["right"], state["confidence"])
