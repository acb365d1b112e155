"""Which of several classes a row belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from headframe.config.ranges import TargetValue
from headframe.errors import DataError, some
from headframe.features.columns import is_text
from headframe.metrics.rankings import mean_areas
from headframe.metrics.statistics import Confusion, Reliability, Statistic, accuracy, brier, log_loss
from headframe.tasks.base import require_target, single_target
from headframe.tasks.dense import TARGET, DenseTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Label = str | int | bool
LOWER_IS_BETTER = {"log_loss", "brier"}
BINARY = 2


class Classification(DenseTask):
    """Two or more classes, learned from training rows, with a probability for each.

    Labels are strings, whole numbers or truth values, and stay of that type. Classes stand in sorted order.

    Args:
        primary_metric: decides between models. `f1`, like `precision` and `recall`, is that of the positive class of
            two; `roc_auc` and `average_precision` of more than two classes are means over the classes.
        class_weights: `balanced` lets every class weigh the same in the loss, whatever its share of the rows.
        positive: the class meant by `f1`, `precision` and `recall` of two; without one the last in order.
    """

    kind: ClassVar[str] = "classification"
    predicts_probabilities: ClassVar[bool] = True
    mergeable: ClassVar[bool] = True
    target_has_classes: ClassVar[bool] = True
    estimators: ClassVar[str] = "headframe.miners.classifier.ClassifierModel"
    captions: ClassVar[Mapping[str, str]] = {
        "confusion": "Confusion matrix",
        "curves": "ROC and precision-recall curves, each class against all others",
        "calibration": "Calibration of the predicted class",
        "worst_images": "The most confidently wrong images",
    }
    short_name: ClassVar[str] = "c{}"
    natural_baselines: ClassVar[tuple[str, ...]] = (
        "headframe.tasks.baselines.constant.Prior",
        "headframe.tasks.baselines.tfidf.TfIdf",
    )
    training_settings: ClassVar[tuple[str, ...]] = ("class_weights",)
    binary_metrics: ClassVar[tuple[str, ...]] = ("f1",)
    hit_rate: ClassVar[str | None] = "accuracy"
    interval_note: ClassVar[str] = (
        "; intervals of proportions, such as accuracy and recall, and of metrics derived from them, such as F1, are "
        "computed from counts (Wilson; Price and Bonett)"
    )
    caveats: ClassVar[tuple[str, ...]] = (
        "Every row is assigned one of the classes seen in training, even a row that belongs to none of them.",
    )

    def __init__(
        self,
        *,
        primary_metric: Literal[
            "accuracy", "balanced_accuracy", "macro_f1", "f1", "roc_auc", "average_precision", "log_loss", "brier"
        ] = "accuracy",
        class_weights: Literal["none", "balanced"] = "none",
        positive: TargetValue | None = None,
    ) -> None:
        self.primary_metric = primary_metric
        self.higher_is_better = primary_metric not in LOWER_IS_BETTER
        self.class_weights = class_weights
        self.positive = positive
        self.column_ = ""
        self.classes_: pa.Array = pa.array([], pa.string())
        self._named: tuple[pa.Array, list[str]] = self.classes_, []
        self.counts_ = np.zeros(0, dtype=np.int64)

    @override
    def fit(self, target: pa.Table) -> None:
        self.column_ = single_target(target, self.kind)
        counted = pc.value_counts(self._labels(target))
        values, counts = counted.field("values"), counted.field("counts").to_numpy()
        if len(values) < BINARY:
            only = f"only {some([_text(values[0].as_py())])!r}" if len(values) else "no row"
            msg = f"target {self.column_!r} has {only} in training rows, but a classification needs two classes or more"
            raise DataError(msg)
        order = np.argsort(np.array(values.to_pylist(), dtype=object), kind="stable")
        self.classes_ = values.take(pa.array(order))
        self.counts_ = counts[order]
        self._check_settings()
        if self.positive is not None and len(values) != BINARY:
            target = f"target {self.column_!r} has {len(values)}"
            raise DataError(f"task.positive={_text(self.positive)} is for two classes, but {target}; leave it out")

    def _check_settings(self) -> None:
        labels = self.classes_.to_pylist()
        if self.positive is not None and self.positive not in labels:
            target = f"target {self.column_!r}, which has {some(self.names)}"
            raise DataError(f"task.positive={_text(self.positive)} is no class of {target}")
        if self.primary_metric in self.binary_metrics and len(labels) != BINARY:
            target = f"target {self.column_!r} has {len(labels)}"
            raise DataError(
                f"task.primary_metric={self.primary_metric} is for two classes, but {target}; choose macro_f1"
            )

    @override
    def class_weighting(self) -> np.ndarray | None:
        if self.class_weights == "none":
            return None
        return self.counts_.sum() / (len(self.counts_) * self.counts_.astype(np.float64))

    def _labels(self, target: pa.Table) -> pa.ChunkedArray:
        labels = target.column(self.column_)
        kind = labels.type
        if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            msg = f"target {self.column_!r} holds {kind}, but classes are text, whole numbers or truth values"
            raise DataError(msg)
        if labels.null_count:
            msg = f"target {self.column_!r} is empty in {labels.null_count:,} of {len(labels):,} rows; leave them out"
            raise DataError(msg)
        plain = pa.string() if is_text(kind) else pa.int64() if pa.types.is_integer(kind) else kind
        return pc.cast(labels, plain)

    @override
    def encode(self, target: pa.Table) -> np.ndarray:
        require_target(target, [self.column_])
        return self._codes(self._labels(target))

    def _codes(self, labels: pa.ChunkedArray) -> np.ndarray:
        if labels.type != self.classes_.type:
            raise DataError(f"target {self.column_!r} holds {labels.type}, but training rows held {self.classes_.type}")
        codes = pc.index_in(labels, value_set=self.classes_)
        if codes.null_count:
            # Rows are not numbered here: unused ones have left the table, so that a number would name another line.
            came = _text(labels.filter(pc.is_null(codes))[0].as_py())
            raise DataError(
                f"target {self.column_!r} has class {some([came])!r} in rows that are not for training, but training "
                f"rows only have {some(self.names)}; let training have rows of it, or leave it out"
            )
        return codes.to_numpy().astype(np.int64)

    @property
    @override
    def outputs(self) -> tuple[int, ...]:
        return (len(self.classes_),)

    @override
    def scores(self, outputs: np.ndarray) -> np.ndarray:
        logits = outputs.astype(np.float64)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)

    @override
    def columns(self, scores: np.ndarray) -> pa.Table:
        rows, values = len(scores), pa.array(scores.T.ravel(), pa.float64())
        each = [values.slice(position * rows, rows) for position in range(len(self.classes_))]
        names = ["prediction", *(f"score_{name}" for name in self.names)]
        return pa.table([self.classes_.take(pa.array(scores.argmax(axis=1))), *each], names=names)

    @property
    @override
    def names(self) -> list[str]:
        if self._named[0] is not self.classes_:
            self._named = self.classes_, [_text(label) for label in self.classes_.to_pylist()]
        return self._named[1]

    @override
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        return pa.table({TARGET: self.classes_.take(pa.array(targets[TARGET]))})

    @override
    def scores_in(self, predictions: pa.Table) -> np.ndarray:
        return np.stack([predictions.column(f"score_{name}").to_numpy() for name in self.names], axis=1)

    @override
    def hits(self, predictions: pa.Table) -> np.ndarray:
        target, predicted, _ = self._read(predictions)
        return np.asarray(target == predicted)

    def _read(self, predictions: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return target and predicted class numbers and scores of a predictions table."""
        target, predicted = (self._codes(predictions.column(name)) for name in (TARGET, "prediction"))
        return target, predicted, self.scores_in(predictions)

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        target, predicted, scores = self._read(predictions)
        correct = target == predicted
        confusion = Confusion(target, predicted, len(self.classes_))
        found = {
            "accuracy": accuracy(correct),
            "balanced_accuracy": confusion.balanced_accuracy,
            "macro_f1": confusion.macro_f1,
            "log_loss": log_loss(target, scores),
            "brier": brier(target, scores),
            "calibration_error": Reliability(scores.max(axis=1), correct).error,
        }
        if len(self.classes_) == BINARY:
            positive = self._positive()
            found["precision"], found["recall"] = confusion.precision(positive), confusion.recall(positive)
            found["f1"] = confusion.f1(positive)
        if len(np.unique(target)) == len(self.classes_):
            found |= mean_areas(target, scores, self._ranked())
        return found

    def _ranked(self) -> list[int]:
        """Return the classes measured one against the rest at every threshold: one of two, else all."""
        return [self._positive()] if len(self.classes_) == BINARY else list(range(len(self.classes_)))

    def _positive(self) -> int:
        labels = self.classes_.to_pylist()
        return len(labels) - 1 if self.positive is None else labels.index(self.positive)

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.tasks import plots  # noqa: PLC0415 - training and serving draw nothing

        target, predicted, scores = self._read(predictions)
        names = self.plot_names
        chosen = plots.drawn_classes(target, predicted, len(names))
        drawn = {
            "confusion": plots.confusion(target, predicted, names, chosen),
            "calibration": plots.calibration(target == predicted, scores.max(axis=1)),
        }
        curves = {
            names[one]: (target == one, scores[:, one])
            for one in self._ranked()
            if one in chosen and 0 < (target == one).sum() < len(target)
        }
        if curves:
            drawn["curves"] = plots.curves(curves)
        return drawn

    @override
    def worst(self, predictions: pa.Table) -> np.ndarray:
        target, predicted, scores = self._read(predictions)
        wrong = np.flatnonzero(target != predicted)
        return wrong[np.argsort(scores[wrong, target[wrong]], kind="stable")]

    @override
    def pictures(self, predictions: pa.Table, rows: pa.Table) -> dict[str, Figure]:
        from headframe.pages.plot_style import short_label  # noqa: PLC0415 - training and serving draw nothing
        from headframe.tasks import pictures  # noqa: PLC0415 - training and serving draw nothing

        if (images := pictures.first_images(rows)) is None:
            return {}
        target, predicted, scores = self._read(predictions)
        names = self.plot_names
        titles = [
            f"{short_label(names[was])} as {short_label(names[seen])}\n{scores[row, seen]:.1%}"
            for row, (was, seen) in enumerate(zip(target, predicted, strict=True))
        ]
        return {"worst_images": pictures.grid(images, titles)}

    @override
    def state(self) -> dict[str, Any]:
        return {
            "column": self.column_,
            "type": str(self.classes_.type),
            "classes": self.classes_.to_pylist(),
            "counts": self.counts_.tolist(),
        }

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.column_ = state["column"]
        self.classes_ = pa.array(state["classes"], pa.type_for_alias(state["type"]))
        self.counts_ = np.array(state["counts"], dtype=np.int64)
        self._check_settings()


def _text(label: Label) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)
