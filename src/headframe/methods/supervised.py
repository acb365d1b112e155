"""Learn from targets: lower the distance of what a network computes from them."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from headframe.config.ranges import Share
from headframe.examples.batches import Batch, Inputs
from headframe.features.base import finite
from headframe.methods.base import Method, on_host
from headframe.tasks.dense import TARGET, DenseTask

Loss = Callable[[Tensor, Tensor], Tensor]
"""Computes the mean loss of a batch from outputs (batch, *outputs) and targets as the task encodes them."""

CLASSES = "cross_entropy"
LOSSES: dict[str, Loss] = {
    CLASSES: functional.cross_entropy,
    "squared": functional.mse_loss,
    "absolute": functional.l1_loss,
    "huber": functional.huber_loss,
}
"""The first is for probabilities of classes, the others for values; `huber` is squared up to 1, absolute beyond."""


class Supervised(Method[DenseTask]):
    """Lowers the error of each output; for tasks whose predictions are dense arrays.

    Attributes:
        for_classes: settings, and values of them, that make sense where probabilities of classes are predicted alone.
        for_values: the same where values are.

    Args:
        network: takes inputs and returns (batch, *outputs).
        task: of which the outputs are.
        loss: cross entropy for classes; for values the squared, absolute or Huber error on the standardised scale.
            `auto` is the first of these that fits.
        label_smoothing: share of the target's certainty that is spread over all classes, 0 to 1 (arXiv:1512.00567).
    """

    for_classes: ClassVar[tuple[str, ...]] = ("cross_entropy", "label_smoothing")
    for_values: ClassVar[tuple[str, ...]] = ("squared", "absolute", "huber")

    def __init__(
        self,
        network: nn.Module,
        task: DenseTask,
        *,
        loss: Literal["auto", "cross_entropy", "squared", "absolute", "huber"] = "auto",
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__(network, task)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing lies in [0, 1), not {label_smoothing}")
        default = CLASSES if task.predicts_probabilities else "squared"
        self._loss = LOSSES[default if loss == "auto" else loss]
        if task.predicts_probabilities:
            weights = task.class_weighting()
            given = None if weights is None else torch.from_numpy(weights).float()
            self._loss = partial(_weighted_cross_entropy, weights=given, label_smoothing=label_smoothing)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Compute the mean loss of a batch; outputs (batch, *outputs), target as the task encodes it."""
        return self._loss(outputs.float(), target)

    @override
    def losses(self, move: str, batch: Batch) -> Mapping[str, Tensor]:
        return {"loss": self.loss(self.network(batch.inputs), batch.targets[TARGET])}

    @override
    def predict(self, inputs: Inputs) -> pa.Table:
        return self._predictions(on_host(self.network(inputs)))

    @override
    def validate(self, batches: Iterable[Batch]) -> tuple[float, pa.Table | None]:
        # Weighted by class, the mean over all examples is not that of the means of batches.
        found = [(self.network(batch.inputs).float().cpu(), batch.targets[TARGET].cpu()) for batch in batches]
        outputs, target = (torch.cat(each) for each in zip(*found, strict=True))
        scores = self.task.scores(outputs.numpy())
        predictions = self.task.columns(scores) if finite(scores) else None
        return float(self.loss(outputs, target)), predictions

    def _predictions(self, outputs: np.ndarray) -> pa.Table:
        return self.task.columns(self.task.scores(outputs))


def _weighted_cross_entropy(
    outputs: Tensor, target: Tensor, *, weights: Tensor | None, label_smoothing: float
) -> Tensor:
    weights = None if weights is None else weights.to(outputs.device)
    return functional.cross_entropy(outputs, target, weight=weights, label_smoothing=label_smoothing)
