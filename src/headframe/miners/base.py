"""The interface of miners of our own, and of the adapters between estimators and tasks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
from scipy import sparse

from headframe.config.build import look_up
from headframe.errors import ConfigurationError, DataError, first_line
from headframe.features.base import Encoded, EncodedArray, finite
from headframe.tasks.base import Task

SomeTask = TypeVar("SomeTask", bound=Task)


class Miner(ABC):
    """An estimator that is not of scikit-learn, saved without pickle.

    Its constructor takes settings alone, by keyword; what it learns is in `state`.
    """

    @abstractmethod
    def fit(self, inputs: EncodedArray, target: np.ndarray | None = None) -> Any:
        """Learn from encoded examples (examples, ...), and from their targets where the task has them."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what was learned by name: NumPy arrays, and JSON values."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""


class EstimatorModel(ABC, Generic[SomeTask]):
    """An estimator as a function from encoded examples to the prediction columns of a task.

    There is a subclass for each kind of thing that tasks ask of estimators, and the class of a task names its own
    (`Task.estimators`). Inputs of several axes are laid out flat.

    Attributes:
        names: of the features, where the encoder knows them.

    Args:
        estimator: of scikit-learn, or a `Miner`.
        task: fitted.
    """

    names: Sequence[str] = ()

    def __init__(self, estimator: Any, task: SomeTask) -> None:
        self.estimator = estimator
        self.task = task

    def fit(self, inputs: Encoded, targets: Mapping[str, np.ndarray]) -> None:
        """Fit the estimator to encoded examples (examples, ...) or CSR, and their targets as the task names them.

        Raises:
            ConfigurationError: the estimator does not take this data or its own settings.
            DataError: an input is NaN or infinite.
        """
        try:
            self._fit(_flat(inputs), targets)
        except (TypeError, ValueError) as error:
            msg = f"{type(self.estimator).__name__} cannot be trained on this data: {first_line(error)}"
            raise ConfigurationError(msg) from error

    def __call__(self, inputs: Encoded) -> pa.Table:
        """Return the prediction columns of encoded examples."""
        return self._predict(_flat(inputs))

    def calibrate(self, inputs: Encoded, targets: Mapping[str, np.ndarray]) -> None:
        """Fit to validation examples what turns the estimator's answers into predictions; see `state`."""

    def state(self) -> dict[str, Any]:
        """Return what was learned besides the estimator, such as thresholds, as JSON values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        del state  # nothing unless a subclass overrides both

    def findings(self) -> list[Any]:
        """Return what the fitted estimator found, as bodies of the kind that `Task.findings` names."""
        return []

    @abstractmethod
    def _fit(self, inputs: EncodedArray, targets: Mapping[str, np.ndarray]) -> None: ...

    @abstractmethod
    def _predict(self, inputs: EncodedArray) -> pa.Table: ...


def estimator_model(estimator: Any, task: Task, names: Sequence[str] = ()) -> EstimatorModel[Any]:
    """Return an estimator as what its task asks of estimators.

    Raises:
        ConfigurationError: the task asks nothing of them, or the estimator cannot give it.
    """
    if not task.estimators:
        raise ConfigurationError(f"task {task.kind} is not for estimators such as {type(estimator).__name__}")
    adapter = look_up(task.estimators, (f"{__name__}.{EstimatorModel.__name__}",))
    model: EstimatorModel[Any] = adapter(estimator, task)
    model.names = names
    return model


def _flat(inputs: Encoded) -> EncodedArray:
    if not finite(inputs):
        raise DataError("the features hold NaN or infinity, which an estimator cannot take; clean the data")
    if isinstance(inputs, dict):
        return np.concatenate([each.reshape(len(each), -1) for each in inputs.values()], axis=1)
    return inputs if sparse.issparse(inputs) else inputs.reshape(len(inputs), -1)
