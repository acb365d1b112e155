"""The interface of a task: what is predicted, and how it is judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import pyarrow as pa

from headframe.errors import ConfigurationError, DataError, some
from headframe.metrics.statistics import Statistic, values_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from headframe.findings.base import FindingKind
    from headframe.models.ensembles import Combiner


class Task(ABC):
    """Knows truth and predictions, and nothing of networks or rows' inputs.

    Predictions are columns of any type, one row an example; only their task knows which, and what they mean. Truth are
    the columns beside them that they are measured against.

    Attributes:
        kind: as the plan has it.
        mergeable: whether predictions of several models can be merged into those of an ensemble; of a `DenseTask` only
            where `scores` of encoded targets are what members' scores should have been, or classes by number.
        target_has_classes: whether the target's values are classes, by which test rows are sliced.
        interval_note: how intervals of its metrics are computed where they are not resampled.
        caveats: what a reader of its metrics should know, in sentences.
        captions: what each of its plots and pictures shows, by its name.
        short_name: what plots show in the place of a name that their font cannot draw; `{}` is its position.
        unlabelled_metrics: primary metrics that a data set without a target can have, for tasks that need none.
        predicts_inputs: whether, where a data set has no target, the inputs themselves are predicted.
        estimators: path of the class (`headframe.miners`) that makes predictions of what an estimator gives; empty
            where only networks learn the task.
        natural_baselines: paths of the classes (`tasks.baselines`) whose predictions every model is compared with.
        training_settings: settings that change what training lowers and no metric: versions that differ in them only
            are measured alike.
        binary_metrics: primary metrics that are for two classes alone.
        hit_rate: name of the metric that is the share of rows with a right prediction (`hits`), where there is one.
        truth_columns: names of the columns of `truth`.
        primary_metric: name of the metric that decides between models.
        higher_is_better: direction of `primary_metric`.
        horizon: 0 where one row is one target; else how many consecutive rows are predicted at once.
        padding: of `targets`, the arrays that are as large as the largest of the given rows, and what fills up others.
    """

    kind: ClassVar[str]
    mergeable: ClassVar[bool] = False
    target_has_classes: ClassVar[bool] = False
    unlabelled_metrics: ClassVar[tuple[str, ...]] = ()
    predicts_inputs: ClassVar[bool] = False
    estimators: ClassVar[str] = ""
    natural_baselines: ClassVar[tuple[str, ...]] = ()
    training_settings: ClassVar[tuple[str, ...]] = ()
    binary_metrics: ClassVar[tuple[str, ...]] = ()
    hit_rate: ClassVar[str | None] = None
    interval_note: ClassVar[str] = ""
    caveats: ClassVar[tuple[str, ...]] = ()
    captions: ClassVar[Mapping[str, str]] = {}
    padding: ClassVar[Mapping[str, float]] = {}
    short_name: ClassVar[str] = "v{}"
    truth_columns: tuple[str, ...] = ("target",)
    primary_metric: str
    higher_is_better: bool
    horizon: int = 0

    def target_columns(self, inputs: Sequence[str], target: str | None) -> list[str]:
        """Return the columns of a data set that `fit` and `targets` take; none where there is nothing to measure by."""
        return [target] if target else [*inputs] if self.predicts_inputs else []

    @abstractmethod
    def fit(self, target: pa.Table) -> None:
        """Learn classes or scales from the target columns of training rows.

        Raises:
            DataError: nothing can be learned from them, e.g. one class only.
        """

    @abstractmethod
    def targets(self, target: pa.Table) -> dict[str, np.ndarray]:
        """Encode target columns as the arrays that a network learns from and `truth` shows, each (rows, ...), by name.

        Raises:
            DataError: a target was not seen in training, or is NaN or infinite.
        """

    @abstractmethod
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        """Return `truth_columns` of examples, whose `targets` are given; of windows each (examples, horizon, ...)."""

    def ideal(self, targets: Mapping[str, np.ndarray]) -> pa.Table | None:
        """Return the prediction columns of a model that is right in every example, which no metric rates below others.

        None where nothing is known to be right.

        Args:
            targets: of the examples.
        """
        del targets
        return None

    @property
    @abstractmethod
    def prediction_schema(self) -> pa.Schema:
        """Names and types of the prediction columns; known once the task is fitted."""

    @property
    def outputs(self) -> tuple[int, ...]:
        """The shape of what a network returns for one example, where the task prescribes it."""
        return ()

    def answer(self, predictions: pa.Table) -> pa.Table:
        """Return what a user reads of prediction columns, one row an example in their order; of windows any number.

        These are the columns as they are unless a task overrides this.
        """
        return predictions

    def hits(self, predictions: pa.Table) -> np.ndarray:
        """Return which rows of a predictions table are predicted right, bool (rows,); `hit_rate` is their share."""
        del predictions
        raise ConfigurationError(f"a prediction of task {self.kind} is not simply right or wrong; choose another test")

    def fit_merge(self, members: Sequence[pa.Table], targets: Mapping[str, np.ndarray], combiner: Combiner) -> None:
        """Fit a combiner to the prediction columns of members and the `targets` of the same examples."""
        del members, targets, combiner
        raise ConfigurationError(self._not_mergeable)

    def merge(self, members: Sequence[pa.Table], combiner: Combiner) -> pa.Table:
        """Merge the prediction columns of an ensemble's members for the same examples."""
        del members, combiner
        raise ConfigurationError(self._not_mergeable)

    @property
    def _not_mergeable(self) -> str:
        return f"predictions of task {self.kind} cannot be merged, so it takes no ensemble; choose a single model"

    def findings(self, columns: Sequence[str]) -> FindingKind | None:
        """Return the kind of what models of the task find besides predicting; None where they only predict.

        Args:
            columns: of raw rows that findings are measured on: inputs and targets.
        """
        del columns
        return None

    @abstractmethod
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        """Return the metrics of a predictions table by name (`[a-z0-9_]+`), `primary_metric` among them.

        Values, intervals, slices and gates all come from these. A metric that has no formula in draw counts is one
        too, by `statistics.from_table`.
        """

    @final
    def measure(self, predictions: pa.Table, names: Collection[str] | None = None) -> dict[str, float]:
        """Compute metrics of a predictions table, all or those of some names; all are finite.

        A metric that these rows do not define, such as the area under a ROC curve of one class, is left out.
        """
        found = self.statistics(predictions)
        chosen = {name: statistic for name, statistic in found.items() if names is None or name in names}
        return values_of(chosen, predictions.num_rows)

    @abstractmethod
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        """Draw what a person looks at first, by file name without ending.

        Args:
            predictions: what is drawn.
            validation: predictions of other rows, which show how wrong such predictions usually are.
        """

    def worst(self, predictions: pa.Table) -> np.ndarray:
        """Return the positions of rows of a predictions table, int64, the worst predicted first.

        Right predictions are left out where there are such; none are named unless a task overrides this.
        """
        del predictions
        return np.zeros(0, dtype=np.int64)

    def pictures(self, predictions: pa.Table, rows: pa.Table) -> dict[str, Figure]:
        """Draw predictions together with the raw rows that they are of, by file name without ending; mostly nothing.

        Args:
            predictions: the first of the `worst` rows of a predictions table.
            rows: the input columns of the same examples.
        """
        del predictions, rows
        return {}

    def describe_purpose(self, inputs: Sequence[str], target: str | None) -> str:
        """Return in a sentence what a model does with raw rows of these columns; for reports and model cards."""
        columns = ", ".join(f"`{name}`" for name in inputs)
        predicted = f"`{target}`" if target else f"the next rows of {', '.join(inputs)}"
        return f"Predicts {predicted} from raw rows with the columns {columns}."

    @property
    def names(self) -> list[str]:
        """The names that plots show, of classes or columns."""
        return []

    @property
    def plot_names(self) -> list[str]:
        """The names, or short ones in their place where the font of plots lacks a letter."""
        from headframe.pages.plot_style import drawable  # noqa: PLC0415 - training and serving draw nothing

        if all(map(drawable, self.names)):
            return self.names
        return [self.short_name.format(position) for position in range(len(self.names))]

    def legend(self) -> dict[str, str]:
        """Return the name behind each short name in the plots; mostly empty."""
        return {} if self.plot_names == self.names else dict(zip(self.plot_names, self.names, strict=True))

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what was learned, as JSON values."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""


def with_truth(truth: pa.Table, predictions: pa.Table) -> pa.Table:
    """Return the columns of a predictions table: truth, then predictions of the same examples."""
    names = [*truth.column_names, *predictions.column_names]
    return pa.table([*truth.columns, *predictions.columns], names=names)


def single_target(target: pa.Table, kind: str) -> str:
    """Return the name of the one target column; raise a DataError where there are more or none."""
    if target.num_columns != 1:
        raise DataError(f"a {kind} has one target column, but there are {target.num_columns}")
    return str(target.column_names[0])


def require_target(target: pa.Table, columns: Iterable[str]) -> None:
    """Raise a DataError where a target column is missing."""
    missing = [name for name in columns if name not in target.column_names]
    if missing:
        raise DataError(f"target column {missing[0]!r} is missing; came: {some(target.column_names) or 'none'}")
