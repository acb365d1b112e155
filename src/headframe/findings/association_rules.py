"""Association rules: who buys these items, buys that one, too (Agrawal, Imielinski and Swami 1993).

Of `n` baskets, `a` hold the antecedent, `b` the consequent and `both` all of a rule:

- support is both / n, confidence both / a; both are proportions, with exact intervals (Clopper and Pearson 1934).
- lift is confidence over the share b / n: 1 where the sides are independent. Its logarithm is as good as normal; the
  variance is that of the delta method for the four cells of a rule, each raised by a half so that none is empty
  (Gart 1966, doi:10.1093/biomet/53.1-2.1).
- conviction (Brin et al. 1997, doi:10.1145/253262.253325) is 1 over the lift of the antecedent and baskets *without*
  the consequent, so its interval is the inverse of that one's.

A rule holds where its lift exceeds 1, by Fisher's exact test on one side (Fisher 1935), and where its confidence
exceeds a bound, if there is one, by the exact binomial test. Both must hold, so the larger of the two p-values counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import special, stats
from typing_extensions import override

from headframe.errors import DataError
from headframe.features.baskets import basket_matrix, bitsets
from headframe.findings.base import FindingKind, Measurements

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class AssociationRuleKind(FindingKind):
    """Rules with one or more items on the left, and one on the right.

    Args:
        columns: the columns whose items make up a basket: lists of text, or text.
        alpha: see `FindingKind`.
        least_confidence: what the confidence of a rule must provably exceed; 0 requires nothing but a lift above 1.
        confidence: of the intervals.
    """

    kind: ClassVar[str] = "association rule"
    body: ClassVar[pa.DataType] = pa.struct({"antecedent": pa.list_(pa.string()), "consequent": pa.string()})
    figures: ClassVar[tuple[str, ...]] = ("support", "confidence", "lift", "conviction")

    def __init__(self, columns: tuple[str, ...], alpha: float, least_confidence: float, confidence: float) -> None:
        self.columns = columns
        self.alpha = alpha
        self.least_confidence = least_confidence
        self.confidence = confidence

    @override
    def measure(self, bodies: pa.Array, rows: pa.Table) -> Measurements:
        antecedents, consequents = bodies.field("antecedent"), bodies.field("consequent")
        items = pc.unique(pa.concat_arrays([antecedents.flatten(), consequents]))
        bits = bitsets(basket_matrix(whole_baskets(rows, self.columns), items.to_pylist()))
        wanted = pc.index_in(antecedents.flatten(), value_set=items).to_numpy()
        right = pc.index_in(consequents, value_set=items).to_numpy()
        lengths = pc.list_value_length(antecedents).to_numpy()
        left = np.split(wanted, np.cumsum(lengths)[:-1]) if len(lengths) else []
        counts = np.empty((2, len(right)), dtype=np.int64)
        for number, (chosen, consequent) in enumerate(zip(left, right, strict=True)):
            held = np.bitwise_and.reduce(bits[chosen], axis=0)
            counts[:, number] = np.bitwise_count(held).sum(), np.bitwise_count(held & bits[consequent]).sum()
        single = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)[right]
        return self.evaluate(rows.num_rows, counts[0], single, counts[1])

    def evaluate(self, rows: int, antecedent: np.ndarray, consequent: np.ndarray, both: np.ndarray) -> Measurements:
        """Return the figures of rules by how many of `rows` baskets hold each side and both, int64 (rules,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            lift = both * (rows / antecedent / consequent)
            conviction = antecedent * ((rows - consequent) / (antecedent - both) / rows)
            inverse = 1 / self._ratio_limits(rows, antecedent, rows - consequent, antecedent - both)[::-1]
        figures = {
            "support": np.stack([both / max(1, rows), *self._proportion_limits(both, np.full_like(both, rows))]),
            "confidence": np.stack([both / np.maximum(1, antecedent), *self._proportion_limits(both, antecedent)]),
            "lift": np.stack([lift, *self._ratio_limits(rows, antecedent, consequent, both)]),
            "conviction": np.stack([conviction, *inverse]),
        }
        figures["confidence"][0, antecedent == 0] = np.nan
        p_values = stats.hypergeom.sf(both - 1, rows, antecedent, consequent)
        if self.least_confidence:
            p_values = np.maximum(p_values, stats.binom.sf(both - 1, antecedent, self.least_confidence))
        return Measurements(rows, figures, np.asarray(p_values, dtype=np.float64))

    def _proportion_limits(self, hits: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tail = (1 - self.confidence) / 2
        low = np.where(hits > 0, special.betaincinv(np.maximum(hits, 1), rows - hits + 1, tail), 0.0)
        high = np.where(hits < rows, special.betaincinv(hits + 1, np.maximum(rows - hits, 1), 1 - tail), 1.0)
        return low, high

    def _ratio_limits(self, rows: int, one: np.ndarray, other: np.ndarray, both: np.ndarray) -> np.ndarray:
        """Return the limits of the lift of two sides; 0 is the lower one where none of the rows holds both."""
        total, together = rows + 2.0, both + 0.5
        one_share, other_share, share = (one + 1.0) / total, (other + 1.0) / total, together / total
        ratio = share / one_share / other_share
        variance = (1 / share - 1 / one_share - 1 / other_share + 2 * ratio - 1) / total
        reach = special.ndtri((1 + self.confidence) / 2) * np.sqrt(np.maximum(variance, 0.0))
        return np.stack([np.where(both > 0, ratio * np.exp(-reach), 0.0), ratio * np.exp(reach)])

    @override
    def describe(self, body: Any) -> str:
        return f"{' + '.join(body['antecedent'])} -> {body['consequent']}"

    @override
    def plots(self, findings: pa.Table) -> dict[str, Figure]:
        from headframe.findings.rule_plots import graph, scatter  # noqa: PLC0415 - training and serving draw nothing

        return {"rules": graph(findings), "rule_strength": scatter(findings)}


def whole_baskets(rows: pa.Table, columns: tuple[str, ...]) -> pa.ChunkedArray:
    """Return each row's items of all columns as one list; a text is a list of one item.

    Raises:
        DataError: a column is missing.
    """
    missing = [name for name in columns if name not in rows.column_names]
    if missing:
        raise DataError(f"column {missing[0]!r}, whose items belong to a basket, is missing")
    parents, items = [], []
    for name in columns:
        column = rows.column(name).combine_chunks()
        is_list = pa.types.is_list(column.type)
        parents.append(pc.list_parent_indices(column).to_numpy() if is_list else np.arange(len(column)))
        items.append(column.flatten() if is_list else column)
    order = np.argsort(np.concatenate(parents), kind="stable")
    offsets = np.cumsum([0, *np.bincount(np.concatenate(parents).astype(np.int64), minlength=rows.num_rows)])
    flat = pa.concat_arrays(items).take(pa.array(order))
    return pa.chunked_array([pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)])
