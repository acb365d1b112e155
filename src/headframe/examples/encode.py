"""Examples: rows or windows of a table as arrays that a model takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headframe.config.build import build
from headframe.config.plan.learner import Learner
from headframe.errors import ConfigurationError, DataError
from headframe.examples.prepare import MEASURED, PreparedData
from headframe.examples.seeds import with_replacement
from headframe.features.base import Encoded, Encoder


@dataclass(frozen=True)
class Examples:
    """One learner's view of the prepared.

    Attributes:
        encoder: fitted on training rows.
        inputs: encoded rows (rows, ...), or CSR.
        target: (rows, ...), aligned with `inputs`.
        lookback: rows in one window, 0 where a row is an example.
        horizon: rows that a window predicts.
        train: numbers of the training examples; with repetitions where they were drawn with replacement.
        validation: numbers of the validation examples, ascending.
    """

    encoder: Encoder
    inputs: Encoded
    target: np.ndarray
    lookback: int
    horizon: int
    train: np.ndarray
    validation: np.ndarray

    def windows(self, numbers: np.ndarray) -> Encoded:
        """Give the inputs of some examples at once, for models that take all of them: (examples, ...)."""
        if not self.lookback:
            return self.inputs[numbers]
        return self.inputs[numbers[:, np.newaxis] + np.arange(self.lookback)]

    def targets(self, numbers: np.ndarray) -> np.ndarray:
        """Give the targets of some examples: (examples, ...)."""
        if not self.lookback:
            return self.target[numbers]
        return self.target[numbers[:, np.newaxis] + self.lookback + np.arange(self.horizon)]


def encode(prepared: PreparedData, learner: Learner) -> Examples:
    """Fit the learner's encoder on training rows and encode all of them.

    Raises:
        ConfigurationError: features that look back meet a task of single rows, or the reverse.
        DataError: the rows cannot be encoded, or a part is too short for a single window.
    """
    encoder: Encoder = build(learner.features.encoder)
    lookback, horizon = encoder.lookback, prepared.task.horizon
    if bool(lookback) != bool(horizon):
        msg = (
            f"features that see {lookback or 'no'} rows back do not fit a task that predicts {horizon or 'no'} rows "
            "ahead; take windows with forecasting, and other features with other tasks"
        )
        raise ConfigurationError(msg)
    encoder.fit(prepared.training_rows(), prepared.dataset.inputs)
    numbers = {part: prepared.numbers(part, lookback) for part in ("train", *MEASURED)}
    for part, found in numbers.items():
        if not len(found):
            size = int((prepared.parts == part).sum())
            msg = f"the {part} part has {size} rows, too few for a window of {lookback} rows that predicts {horizon}"
            raise DataError(msg)
    train = numbers["train"]
    if learner.bootstrap:
        train = train[with_replacement(learner.seed, len(train))]
    inputs = encoder.encode(prepared.rows)
    return Examples(encoder, inputs, prepared.target, lookback, horizon, train, numbers["validation"])
