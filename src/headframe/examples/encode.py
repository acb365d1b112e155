"""Examples: rows or windows of a table as arrays that a model takes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headframe.config.build import build
from headframe.config.plan.learner import LearnerConfig
from headframe.errors import ConfigurationError, DataError
from headframe.examples.copies import copies_among, row_hashes
from headframe.examples.prepare import SPLITS, PreparedData, gather
from headframe.examples.seeds import with_replacement
from headframe.features.base import Encoded, Encoder

MOST_COPIES = 0.5
"""Share of the training rows that may be copies of others; beyond it, equal rows are rather no copies at all."""


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
        copies: indices of training and validation rows that are left out, as for the encoder they are copies of rows
            that the model is measured on; ascending.
    """

    encoder: Encoder
    inputs: Encoded
    target: np.ndarray
    lookback: int
    horizon: int
    train: np.ndarray
    validation: np.ndarray
    copies: np.ndarray

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
        DataError: the rows cannot be encoded, a split is too short for a single window, or most training rows are
            copies of validation or test rows.
    """
    encoder: Encoder = build(learner.features.encoder)
    lookback, horizon = encoder.lookback, prepared.task.horizon
    if bool(lookback) != bool(horizon):
        raise ConfigurationError(
            f"features that see {lookback or 'no'} rows back do not fit a task that predicts {horizon or 'no'} rows "
            "ahead; take windows with forecasting, and other features with other tasks"
        )
    indices = {split: prepared.indices(split, lookback) for split in SPLITS}
    for split, found in indices.items():
        if not len(found):
            size = int((prepared.splits == split).sum())
            msg = f"the {split} split has {size} rows, too few for a window of {lookback} rows that predicts {horizon}"
            raise DataError(msg)
    if horizon or prepared.dataset.repeats or not build(prepared.dataset.split).disjoint:
        encoder.fit(prepared.training_rows(), prepared.dataset.inputs)
        inputs, kept = encoder.encode(prepared.rows), indices
    else:
        encoder, inputs, kept = _fit_without_copies(prepared, learner, indices)
    train = kept["train"]
    copies = [np.setdiff1d(indices[split], kept[split]) for split in ("train", "validation")]
    if learner.bootstrap:
        train = train[with_replacement(learner.seed, len(train))]
    left_out = np.sort(np.concatenate(copies))
    return Examples(encoder, inputs, prepared.target, lookback, horizon, train, kept["validation"], left_out)


def _fit_without_copies(
    prepared: PreparedData, learner: LearnerConfig, indices: Mapping[str, np.ndarray]
) -> tuple[Encoder, Encoded, dict[str, np.ndarray]]:
    """Fit the encoder to training rows until none is, for it, a copy of a row that the model is measured on.

    Test rows stay whole, whatever the features are, so that models are compared on the same rows; validation rows that
    equal a test row and training rows that equal either are left out.

    Returns:
        The encoder, all encoded rows, and by split the indices that remain.
    """
    kept = dict(indices)
    while True:
        encoder: Encoder = build(learner.features.encoder)
        encoder.fit(prepared.rows.take(pa.array(kept["train"])), prepared.dataset.inputs)
        inputs = encoder.encode(prepared.rows)
        hashes = row_hashes(inputs)
        measured = np.concatenate([indices["validation"], indices["test"]])
        copies = copies_among(hashes, kept["train"], measured)
        kept["train"] = np.setdiff1d(kept["train"], copies)
        kept["validation"] = np.setdiff1d(kept["validation"], copies_among(hashes, kept["validation"], indices["test"]))
        left_out = {split: len(indices[split]) - len(kept[split]) for split in ("train", "validation")}
        if left_out["train"] > MOST_COPIES * len(indices["train"]) or not len(kept["validation"]):
            counts = " and ".join(f"{count:,} of {len(indices[split]):,} {split}" for split, count in left_out.items())
            raise DataError(
                f"for {type(encoder).__name__}, which tells only {len(np.unique(hashes)):,} of {len(hashes):,} rows "
                f"apart, {counts} rows are copies of rows that decide or test; give it more inputs, or set "
                "dataset.repeats=true if rows with equal inputs are cases of their own"
            )
        if not len(copies):
            return encoder, inputs, kept
