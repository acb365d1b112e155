"""Examples: rows or windows of a table as arrays that a model takes."""

from dataclasses import dataclass

import numpy as np

from headframe.config.build import build
from headframe.config.plan.learner import LearnerConfig
from headframe.errors import ConfigurationError, DataError
from headframe.examples.prepare import SPLITS, PreparedData, gather
from headframe.examples.seeds import with_replacement
from headframe.features.base import Encoded, Encoder


@dataclass(frozen=True)
class Examples:
    """The prepared data as one learner's encoder encodes it.

    Attributes:
        encoder: fitted on training rows.
        inputs: encoded rows (rows, ...), or CSR.
        target: (rows, ...), aligned with `inputs`.
        lookback: rows in one window, 0 where a row is an example.
        horizon: rows that a window predicts.
        train: indices of the training examples; with repetitions where they were drawn with replacement.
        validation: indices of the validation examples, ascending.
    """

    encoder: Encoder
    inputs: Encoded
    target: np.ndarray
    lookback: int
    horizon: int
    train: np.ndarray
    validation: np.ndarray

    def windows(self, indices: np.ndarray) -> Encoded:
        """Return the inputs of examples laid out as a whole: (examples, ...)."""
        return gather(self.inputs, indices, 0, self.lookback)

    def targets(self, indices: np.ndarray) -> np.ndarray:
        """Return the targets of examples: (examples, ...)."""
        targets: np.ndarray = gather(self.target, indices, self.lookback, self.horizon)
        return targets


def encode(prepared: PreparedData, learner: LearnerConfig) -> Examples:
    """Fit the learner's encoder on training rows and encode all rows.

    Raises:
        ConfigurationError: features that look back meet a task of single rows, or the reverse.
        DataError: the rows cannot be encoded, or a split is too short for a single window.
    """
    encoder: Encoder = build(learner.features.encoder)
    lookback, horizon = encoder.lookback, prepared.task.horizon
    if bool(lookback) != bool(horizon):
        raise ConfigurationError(
            f"features that see {lookback or 'no'} rows back do not fit a task that predicts {horizon or 'no'} rows "
            "ahead; take windows with forecasting, and other features with other tasks"
        )
    encoder.fit(prepared.training_rows(), prepared.dataset.inputs)
    indices = {split: prepared.indices(split, lookback) for split in SPLITS}
    for split, found in indices.items():
        if not len(found):
            size = int((prepared.splits == split).sum())
            msg = f"the {split} split has {size} rows, too few for a window of {lookback} rows that predicts {horizon}"
            raise DataError(msg)
    train = indices["train"]
    if learner.bootstrap:
        train = train[with_replacement(learner.seed, len(train))]
    inputs = encoder.encode(prepared.rows)
    return Examples(encoder, inputs, prepared.target, lookback, horizon, train, indices["validation"])
