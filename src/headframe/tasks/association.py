"""Association: which items go with those of a basket, as rules and as a ranked list of what is missing from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from headframe.config.ranges import Count, Share
from headframe.errors import DataError
from headframe.features.columns import is_text
from headframe.findings.association_rules import AssociationRuleKind
from headframe.metrics.statistics import Statistic, accuracy, bounded_mean
from headframe.tasks.base import Task, require_target, single_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET = "target"
"""The one array of `targets`, and the one column of `truth`."""

RECOMMENDED = pa.list_(pa.struct({"item": pa.string(), "score": pa.float64()}))


class Association(Task):
    """Ranks items for a basket, and finds rules between items.

    The target is one item that was taken out of each basket; a prediction is right where it is among the recommended
    items. All of the basket, this item included, is what rules are found in and confirmed on.

    Args:
        primary_metric: decides between models: `mrr`, the mean of 1 over the rank of the item that was taken out, or
            `hit_rate`, the share of baskets where it is recommended.
        items: how many items are recommended.
        alpha: how likely it may be that any of the confirmed rules does not hold.
        least_confidence: what the confidence of a confirmed rule must provably exceed; 0: only its lift must exceed 1.
        confidence: of the intervals of rules.
    """

    kind: ClassVar[str] = "association"
    estimators: ClassVar[str] = "headframe.miners.recommender.RecommenderModel"
    captions: ClassVar[Mapping[str, str]] = {
        "ranks": "Rank of the item that was taken out",
        "rules": "The strongest rules; an arrow leads from each item on the left to the one on the right",
        "rule_strength": "Support and lift of all rules on test rows",
    }
    natural_baselines: ClassVar[tuple[str, ...]] = ("headframe.tasks.baselines.popular.Popular",)
    hit_rate: ClassVar[str | None] = "hit_rate"
    interval_note: ClassVar[str] = "; intervals of hit rates are computed from counts (Wilson)"
    caveats: ClassVar[tuple[str, ...]] = (
        "One item is taken out of each basket at random, whereas people add items in an order of their own.",
    )

    def __init__(
        self,
        *,
        primary_metric: Literal["mrr", "hit_rate"] = "mrr",
        items: Count = 10,
        alpha: Share = 0.05,
        least_confidence: Share = 0.0,
        confidence: Share = 0.95,
    ) -> None:
        self.primary_metric = primary_metric
        self.higher_is_better = True
        self.items = items
        self.settings = (alpha, least_confidence, confidence)
        self.column_ = ""

    @override
    def findings(self, columns: Sequence[str]) -> AssociationRuleKind:
        return AssociationRuleKind(tuple(columns), *self.settings)

    @override
    def fit(self, target: pa.Table) -> None:
        self.column_ = single_target(target, self.kind)
        self._items(target)

    def _items(self, target: pa.Table) -> pa.ChunkedArray:
        require_target(target, [self.column_])
        items = target.column(self.column_)
        if not is_text(items.type):
            raise DataError(f"target {self.column_!r} holds {items.type}, but an item is text")
        return pc.cast(items, pa.string())

    @override
    def targets(self, target: pa.Table) -> dict[str, np.ndarray]:
        return {TARGET: np.array(self._items(target).to_pylist(), dtype=object)}

    @override
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        return pa.table({TARGET: pa.array(targets[TARGET], pa.string())})

    @override
    def ideal(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        recommended = [[{"item": item, "score": 1.0}] for item in targets[TARGET]]
        return pa.table({"items": recommended}, schema=self.prediction_schema)

    @property
    @override
    def prediction_schema(self) -> pa.Schema:
        return pa.schema({"items": RECOMMENDED})

    def recommend(self, scores: np.ndarray, names: Sequence[str]) -> pa.Table:
        """Return the items with the highest scores; equal ones in the order of their names.

        Args:
            scores: float64 (baskets, items); minus infinity is not recommended.
            names: of the items.
        """
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.items]
        found = np.take_along_axis(scores, order, axis=1)
        kept = np.isfinite(found)
        offsets = np.cumsum([0, *kept.sum(axis=1)])
        chosen = pa.array(list(names), pa.string()).take(pa.array(order[kept]))
        rows = pa.StructArray.from_arrays([chosen, pa.array(found[kept])], fields=list(RECOMMENDED.value_type))
        return pa.table({"items": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), rows, type=RECOMMENDED)})

    def _ranks(self, predictions: pa.Table) -> np.ndarray:
        """Return the rank of each target among the recommended items, from 1; infinity where it is not there."""
        column = predictions.column("items").combine_chunks()
        parents = pc.list_parent_indices(column).to_numpy()
        targets = predictions.column(TARGET).combine_chunks().take(pa.array(parents))
        hits = np.flatnonzero(pc.fill_null(pc.equal(column.flatten().field("item"), targets), fill_value=False))
        starts = np.concatenate([[0], np.cumsum(pc.list_value_length(column).to_numpy())])
        ranks = np.full(predictions.num_rows, np.inf)
        ranks[parents[hits]] = hits - starts[parents[hits]] + 1
        return ranks

    @override
    def hits(self, predictions: pa.Table) -> np.ndarray:
        return np.isfinite(self._ranks(predictions))

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        ranks = self._ranks(predictions)
        cuts = {f"hit_rate_at_{cut}": accuracy(ranks <= cut) for cut in (1, 5) if cut < self.items}
        return {"mrr": bounded_mean(1 / ranks, 0.0, 1.0), "hit_rate": accuracy(np.isfinite(ranks)), **cuts}

    @override
    def describe_purpose(self, inputs: Sequence[str], target: str | None) -> str:
        return f"Recommends items for a basket (`{inputs[0]}`), and finds rules of which items go together."

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.tasks import plots  # noqa: PLC0415 - training and serving draw nothing

        return {"ranks": plots.ranks(self._ranks(predictions), self.items)}

    @override
    def state(self) -> dict[str, Any]:
        return {"column": self.column_}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.column_ = state["column"]
