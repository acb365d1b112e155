"""scikit-learn estimators with the interface of networks, and their files without pickle."""

import importlib
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from headframe.errors import ConfigurationError, DataError, first_line
from headframe.exhaustion import bounded_memory
from headframe.features.base import Encoded, finite
from headframe.tasks.base import Task
from headframe.tasks.dense import DenseTask

TRUSTED = "sklearn."
"""The package whose classes an estimator file may name, besides the types that skops itself knows to be safe."""

MOST_UNPACKED = 200
"""Times the size of an archive; DEFLATE reaches about 1,000."""

ARCHIVE_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every file in an archive, so that equal estimators give equal bytes."""


class EstimatorModel:
    """A scikit-learn estimator as a function from encoded examples to prediction columns.

    It has the outputs of a network: a classifier's are logarithms of its probabilities, in the order of the task's
    classes; a class that its training rows lacked, as a bootstrap sample may, gets minus infinity. A regressor's are
    standardised values. Inputs of several axes are laid out flat.

    Args:
        estimator: with `fit` and either `predict_proba` or `predict`.
        task: fitted; turns outputs into prediction columns.

    Raises:
        ConfigurationError: the task has no such outputs, or needs probabilities that the estimator lacks.
    """

    def __init__(self, estimator: Any, task: Task) -> None:
        if not isinstance(task, DenseTask):
            raise ConfigurationError(f"{type(estimator).__name__} does not predict what task {task.kind} needs")
        if task.predicts_probabilities and not hasattr(estimator, "predict_proba"):
            msg = f"{type(estimator).__name__} has no probabilities; take a classifier with predict_proba"
            raise ConfigurationError(msg)
        self.estimator = estimator
        self.task = task

    def fit(self, inputs: Encoded, target: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Fit the estimator to encoded rows.

        Args:
            inputs: (examples, ...) or CSR.
            target: int64 (examples,) classes or float32 (examples, *outputs) values.
            weights: of the examples, from `DenseTask.example_weights`.

        Raises:
            ConfigurationError: the estimator cannot weigh examples or predict several values, or the targets are of
                another shape than the outputs.
            DataError: an input is NaN or infinite.
        """
        values = target
        if not self.task.predicts_probabilities:
            if target.shape[1:] != self.task.outputs:
                shapes = f"targets of shape {target.shape[1:]} came for outputs of shape {self.task.outputs}"
                raise ConfigurationError(f"{shapes}; a task's `encode` returns a value for each of its `outputs`")
            values = target.reshape(len(target), -1).astype(np.float64)
            values = values[:, 0] if values.shape[1] == 1 else values
        options = {} if weights is None else {"sample_weight": weights}
        try:
            self.estimator.fit(_flat(inputs), values, **options)
        except (TypeError, ValueError) as error:
            reason = first_line(error)
            msg = f"{type(self.estimator).__name__} cannot be trained on this data: {reason}"
            raise ConfigurationError(msg) from error

    def __call__(self, inputs: Encoded) -> pa.Table:
        """Return the prediction columns of encoded examples."""
        return self.task.columns(self.task.scores(self._outputs(_flat(inputs))))

    def _outputs(self, flat: Encoded) -> np.ndarray:
        """Return outputs (examples, *outputs) float64."""
        if not self.task.predicts_probabilities:
            values = np.asarray(self.estimator.predict(flat), dtype=np.float64)
            return values.reshape(len(values), *self.task.outputs)
        probabilities = np.asarray(self.estimator.predict_proba(flat), dtype=np.float64)
        outputs = np.full((len(probabilities), math.prod(self.task.outputs)), -np.inf)
        with np.errstate(divide="ignore"):
            outputs[:, self.estimator.classes_] = np.log(probabilities)
        return outputs


def _flat(inputs: Encoded) -> Encoded:
    if not finite(inputs):
        raise DataError("the features hold NaN or infinity, which an estimator cannot take; clean the data")
    return inputs if sparse.issparse(inputs) else inputs.reshape(len(inputs), -1)


def write_estimator(path: Path, estimator: Any) -> None:
    """Save an estimator in skops' format with equal bytes for equal estimators.

    What skops writes itself carries memory addresses and the time of day.

    Raises:
        ConfigurationError: the estimator holds something of a package that `read_estimator` would refuse.
    """
    import skops.io  # noqa: PLC0415 - takes seconds with all of scikit-learn, and networks do without it

    raw = skops.io.dumps(estimator)
    foreign = _foreign(skops.io.get_untrusted_types(data=raw))
    if foreign:
        msg = f"{type(estimator).__name__} holds {foreign[0]}, which is not of scikit-learn and cannot be saved safely"
        raise ConfigurationError(msg)
    with zipfile.ZipFile(io.BytesIO(raw)) as original, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        schema, names = _renumbered(json.loads(original.read("schema.json")))
        contents = {name: original.read(old) for name, old in sorted(names.items())}
        for name, content in {**contents, "schema.json": json.dumps(schema).encode()}.items():
            entry = zipfile.ZipInfo(name, ARCHIVE_DATE)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)


def _renumbered(schema: Any) -> tuple[Any, dict[str, str]]:
    """Number objects in their order; also return the new name of each file with its old one.

    Simple values are counted one by one, since whether equal ones are one object in memory is chance.
    """
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}
    simple = 0

    def walk(node: Any) -> Any:
        nonlocal simple
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        fresh = dict(node)
        if "__id__" in node:
            if node["__loader__"] == "JsonNode":
                simple -= 1
                fresh["__id__"] = simple
            else:
                fresh["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        for key, value in node.items():
            if key == "file" and isinstance(value, str):
                stem, _, ending = value.partition(".")
                name = f"{numbers.setdefault(int(stem), len(numbers) + 1):06d}.{ending}"
                files[name] = value
                fresh[key] = name
            elif key != "__id__":
                fresh[key] = walk(value)
        return fresh

    return walk(schema), files


def read_estimator(path: Path, expected: type) -> Any:
    """Load what `write_estimator` saved.

    Args:
        path: the file.
        expected: the class of the estimator.

    Raises:
        DataError: the file is no estimator, holds one of another class, or names what is no class of scikit-learn, such
            as a function that loads a pickle.
    """
    import skops.io  # noqa: PLC0415 - see `write_estimator`

    try:
        _require_bounded(path)
        with bounded_memory(path):  # arrays in it may ask for any amount, and be archives themselves
            types = skops.io.get_untrusted_types(file=path)
            foreign = _foreign(types)
            if foreign:
                raise DataError(f"{path.name} names {foreign[0]}, which is no class of scikit-learn; it is not loaded")
            estimator = skops.io.load(path, trusted=types)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is no estimator that this version can read: {error}") from error
    if type(estimator) is not expected:
        raise DataError(f"{path.name} holds a {type(estimator).__name__}, but its model is a {expected.__name__}")
    return estimator


def _require_bounded(path: Path) -> None:
    """Raise a DataError for an archive that would unpack to much more than any estimator's does."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(
            entry.file_size for entry in archive.infolist()
        )  # `zipfile` reads no more than an entry declares
    if unpacked > MOST_UNPACKED * path.stat().st_size + 2**26:
        raise DataError(f"{path.name} would unpack to {unpacked:,} bytes, as no estimator does; it is not loaded")


def _foreign(types: list[str]) -> list[str]:
    """Return which names are no class that scikit-learn defines; skops would call them as if they were one."""
    return [name for name in types if not (name.startswith(TRUSTED) and _is_class(name))]


def _is_class(path: str) -> bool:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__.startswith(TRUSTED)
