"""Examples: rows or windows of a table as arrays that a model takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from headframe.config.build import build
from headframe.config.plan.learner import LearnerConfig
from headframe.errors import DataError
from headframe.examples.copies import copies_among, example_hashes
from headframe.examples.framing import Framing, Reads, framing_of, gather, gather_each
from headframe.examples.prepare import SPLITS, PreparedData
from headframe.examples.seeds import with_replacement
from headframe.examples.storage import Storage
from headframe.features.base import Encoded, Encoder
from headframe.features.fusion import encoder_of
from headframe.features.spec import InputSpec

MOST_COPIES = 0.5
"""Share of the training rows that may be copies of others; beyond it, equal rows are rather no copies at all."""


@dataclass(frozen=True)
class Examples:
    """The prepared data as one learner's encoder encodes it.

    Attributes:
        encoder: fitted on training rows.
        inputs: encoded rows (rows, ...), or CSR.
        target: arrays (rows, ...) by name, aligned with `inputs`; see `Task.targets`.
        framing: which rows an example is read from.
        reads: of these rows; see `Framing`.
        train: positions of the training examples; with repetitions where they were drawn with replacement.
        validation: positions of the validation examples, ascending.
        copies: positions of training and validation rows that are left out, as for the encoder they are copies of rows
            that the model is measured on; ascending.
        storage: where the arrays lie.
    """

    encoder: Encoder
    inputs: Encoded
    target: dict[str, np.ndarray]
    framing: Framing
    reads: Reads
    train: np.ndarray
    validation: np.ndarray
    copies: np.ndarray
    storage: Storage = field(default_factory=Storage)

    @property
    def spec(self) -> InputSpec:
        """The layout of one example's inputs."""
        return self.framing.spec(self.encoder.spec())

    def inputs_of(self, positions: np.ndarray) -> Encoded:
        """Return the inputs of examples laid out as a whole: (examples, ...).

        Raises:
            HeadframeError: memory is too small for them.
        """
        arrays: list[Any] = [*self.inputs.values()] if isinstance(self.inputs, dict) else [self.inputs]
        each = sum(values[0].nbytes for values in arrays if not sparse.issparse(values))
        self.storage.require(
            each * len(positions) * self.framing.reach,
            f"{len(positions):,} examples, which an estimator needs all at once,",
            "choose a network, which reads them in batches, or baseline=none where it is the baseline",
        )
        return gather(self.inputs, self.reads(positions))

    def targets(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Return the targets of examples: each (examples, ...)."""
        return gather_each(self.target, self.framing.targets(positions))


def encode(prepared: PreparedData, learner: LearnerConfig) -> Examples:
    """Fit the learner's encoder on training rows and encode all rows.

    Raises:
        ConfigurationError: features that look back meet a task of single rows, or the reverse.
        DataError: the rows cannot be encoded, a split is too short for a single window, or most training rows are
            copies of validation or test rows.
    """
    encoder = encoder_of(learner.features)
    horizon = prepared.task.horizon
    framing = framing_of(learner.features, encoder, horizon, prepared.series)
    positions = {split: prepared.positions(split, framing) for split in SPLITS}
    for split, found in positions.items():
        if not len(found):
            size = int((prepared.splits == split).sum())
            raise DataError(
                f"the {split} split has {size} rows, too few for a window of {framing.reach} rows that predicts "
                f"{horizon} without a gap; choose a shorter one, larger splits, or with dataset.gaps how gaps are "
                "filled"
            )
    encoder.fit(prepared.training_rows(), prepared.dataset.inputs)
    inputs: Encoded = prepared.storage.encoded(encoder.encode, prepared.rows, encoder.padding)
    reads = framing.reads(prepared.rows)
    kept = positions
    if not (horizon or prepared.dataset.repeats) and build(prepared.dataset.split).disjoint:
        hashes = example_hashes(inputs, reads)
        kept = _without_copies(hashes, positions, prepared.dataset.name, type(encoder).__name__)
    train = kept["train"]
    copies = [np.setdiff1d(positions[split], kept[split]) for split in ("train", "validation")]
    if learner.bootstrap:
        train = train[with_replacement(learner.seed, len(train))]
    left_out = np.sort(np.concatenate(copies))
    return Examples(
        encoder, inputs, prepared.target, framing, reads, train, kept["validation"], left_out, prepared.storage
    )


def _without_copies(
    hashes: np.ndarray, positions: Mapping[str, np.ndarray], dataset: str, encoder: str
) -> dict[str, np.ndarray]:
    """Return the positions of each split without copies, for the encoder, of rows that the model is measured on.

    Test rows stay whole, whatever the features are, so that models are compared on the same rows; validation rows that
    equal a test row and training rows that equal either are left out. The encoder stays as the whole training split
    made it: a column without a value in the rows that remain would be one that it cannot encode.
    """
    measured = np.concatenate([positions["validation"], positions["test"]])
    copies = {
        "train": copies_among(hashes, positions["train"], measured),
        "validation": copies_among(hashes, positions["validation"], positions["test"]),
    }
    kept = dict(positions) | {split: np.setdiff1d(positions[split], found) for split, found in copies.items()}
    if len(copies["train"]) > MOST_COPIES * len(positions["train"]) or not len(kept["validation"]):
        counts = " and ".join(f"{len(found):,} of {len(positions[split]):,} {split}" for split, found in copies.items())
        raise DataError(
            f"for {encoder}, which tells only {len(np.unique(hashes)):,} of {len(hashes):,} rows apart, {counts} rows "
            f"are copies of rows that decide or test; give it more inputs, or put `repeats: true` into "
            f"conf/dataset/{dataset}.yaml if rows with equal inputs are cases of their own"
        )
    return kept
