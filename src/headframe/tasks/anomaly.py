"""How unusual a row is among the training rows, and whether it is unusual enough to be flagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from headframe.config.ranges import Fraction, TargetValue
from headframe.errors import DataError
from headframe.features.columns import is_text
from headframe.metrics.rankings import mean_areas
from headframe.metrics.statistics import Bounds, Confusion, Statistic, mean
from headframe.tasks.base import Task, require_target, single_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET = "target"
FLAG_ERROR = "flag_error"


class Anomaly(Task):
    """A score for each row, higher where it is more unusual, and a flag above a threshold.

    Nothing is learned from labels: where the data set has them, they only measure. The threshold is a quantile of the
    scores of validation rows, and belongs to the model that gives the scores.

    Args:
        primary_metric: decides between models; those but `flag_error` need labels. `flag_error` is how far the share
            of flagged rows is from `contamination`.
        contamination: share of rows that is expected to be flagged.
        positive: the label that marks an anomaly; null: true of truth values, 1 of 0 and 1.
    """

    kind: ClassVar[str] = "anomaly"
    unlabelled_metrics: ClassVar[tuple[str, ...]] = ("flag_error",)
    estimators: ClassVar[str] = "headframe.miners.outlier_detector.OutlierDetectorModel"
    captions: ClassVar[Mapping[str, str]] = {
        "scores": "Scores of normal and of unusual rows, and of those that are flagged",
        "curves": "ROC and precision-recall curves",
        "errors": "The worst errors",
    }
    natural_baselines: ClassVar[tuple[str, ...]] = ("headframe.tasks.baselines.deviation.Deviation",)
    caveats: ClassVar[tuple[str, ...]] = (
        "Unusual is what differs from most training rows, whatever the reason; it need not be wrong or harmful.",
        "The threshold flags a fixed share of rows like those of validation; how many of them matter, labels decide.",
    )

    def __init__(
        self,
        *,
        primary_metric: Literal["average_precision", "roc_auc", "f1", "flag_error"] = "average_precision",
        contamination: Fraction = 0.1,
        positive: TargetValue | None = None,
    ) -> None:
        if contamination == 1:
            raise ValueError("contamination is the share of rows that is flagged, less than 1")
        self.primary_metric = primary_metric
        self.higher_is_better = primary_metric != FLAG_ERROR
        self.contamination = contamination
        self.positive = positive
        self.column_: str | None = None
        self.truth_columns = ()

    @override
    def fit(self, target: pa.Table) -> None:
        self._measure_by(single_target(target, self.kind) if target.num_columns else None)
        self.targets(target)

    def _measure_by(self, column: str | None) -> None:
        self.column_ = column
        self.truth_columns = () if column is None else (TARGET,)

    @override
    def targets(self, target: pa.Table) -> dict[str, np.ndarray]:
        if self.column_ is None:
            return {}
        require_target(target, [self.column_])
        return {TARGET: self._flags(target.column(self.column_)).to_numpy(zero_copy_only=False).astype(bool)}

    def _flags(self, labels: pa.ChunkedArray) -> pa.Array:
        """Return which labels mark an anomaly."""
        kind, what = labels.type, f"label {self.column_!r}"
        if labels.null_count:
            raise DataError(f"{what} is empty in {labels.null_count:,} of {len(labels):,} rows; leave them out")
        if self.positive is None:
            if pa.types.is_boolean(kind):
                return labels.combine_chunks()
            if not pa.types.is_integer(kind) or not pc.all(pc.is_in(labels, pa.array([0, 1], kind))).as_py():
                raise DataError(f"{what} holds {kind}, and not only 0 and 1; name the anomalies in task.positive")
            return pc.equal(labels, pa.scalar(1, kind)).combine_chunks()
        plain = pa.string() if is_text(kind) else pa.int64() if pa.types.is_integer(kind) else kind
        try:
            wanted = pa.scalar(self.positive, plain)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(f"task.positive={self.positive} is no value of {what}, which holds {kind}") from error
        return pc.equal(pc.cast(labels, plain), wanted).combine_chunks()

    @override
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        return pa.table({name: pa.array(targets[name]) for name in self.truth_columns})

    @override
    def ideal(self, targets: Mapping[str, np.ndarray]) -> pa.Table | None:
        return self.columns(targets[TARGET], 0.5) if targets else None

    @property
    @override
    def prediction_schema(self) -> pa.Schema:
        return pa.schema({"score": pa.float64(), "anomaly": pa.bool_()})

    def threshold(self, scores: np.ndarray) -> float:
        """Return the score above which `contamination` of rows with these scores lie."""
        return float(np.quantile(scores.astype(np.float64), 1 - self.contamination))

    def columns(self, scores: np.ndarray, threshold: float) -> pa.Table:
        """Return the prediction columns of scores, float (rows,)."""
        values = scores.astype(np.float64)
        return pa.table({"score": pa.array(values), "anomaly": pa.array(values > threshold)})

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        flagged = predictions["anomaly"].to_numpy()
        share = mean(flagged.astype(np.float64)).evaluate
        every = np.ones(len(flagged), dtype=bool)
        found = {
            FLAG_ERROR: Statistic(
                lambda weights: np.abs(share(weights) - self.contamination), Bounds(0.0, 1.0, (every,))
            )
        }
        if self.column_ is None:
            return found
        target, score = predictions[TARGET].to_numpy(), predictions["score"].to_numpy()
        confusion = Confusion(target.astype(np.int64), flagged.astype(np.int64), 2)
        found |= {"precision": confusion.precision(1), "recall": confusion.recall(1), "f1": confusion.f1(1)}
        if 0 < target.sum() < len(target):
            found |= mean_areas(target.astype(np.int64), np.stack([-score, score], axis=1), [1])
        return found

    @override
    def describe_purpose(self, inputs: Sequence[str], target: str | None) -> str:
        columns = ", ".join(f"`{name}`" for name in inputs)
        label = f"; `{target}` only measures them" if target else ""
        return f"Scores how unusual raw rows are by their columns {columns}{label}."

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.tasks import anomaly_plots, plots  # noqa: PLC0415 - training and serving draw nothing

        score, flagged = predictions["score"].to_numpy(), predictions["anomaly"].to_numpy()
        if self.column_ is None:
            return {"scores": anomaly_plots.scores({"rows": score}, score[flagged])}
        target = predictions[TARGET].to_numpy()
        drawn = {"scores": anomaly_plots.scores({"normal": score[~target], "anomaly": score[target]}, score[flagged])}
        if 0 < target.sum() < len(target):
            names = predictions["row_id"].to_pylist() if "row_id" in predictions.column_names else None
            drawn["curves"] = plots.curves({"anomaly": (target, score)})
            drawn["errors"] = anomaly_plots.worst_errors(target, score, names or list(map(str, range(len(score)))))
        return drawn

    @override
    def state(self) -> dict[str, Any]:
        return {"column": self.column_}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self._measure_by(state["column"])
