"""Learn from inputs alone: restore them from a short code."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.examples.batches import Batch, Inputs
from headframe.features.base import finite
from headframe.methods.base import Method, on_host
from headframe.tasks.anomaly import Anomaly
from headframe.tasks.base import Task


class Reconstruction(Method[Task]):
    """Lowers the mean squared error of restored inputs, which is the score of an anomaly.

    For other tasks it is the first phase before another method, and predicts nothing.

    Args:
        network: maps inputs to the same shape.
        task: fitted.
    """

    def __init__(self, network: nn.Module, task: Task) -> None:
        super().__init__(network, task)
        self.threshold_: float | None = None

    def errors(self, inputs: Inputs) -> Tensor:
        """Compute the mean squared error of each example, (batch,)."""
        squared = (self.network(inputs).float() - inputs) ** 2
        return squared.flatten(1).mean(dim=1)

    @override
    def losses(self, move: str, batch: Batch) -> Mapping[str, Tensor]:
        return {"reconstruction": self.errors(batch.inputs).mean()}

    @override
    def predict(self, inputs: Inputs) -> pa.Table:
        if not isinstance(self.task, Anomaly) or self.threshold_ is None:
            raise ConfigurationError(
                f"a reconstruction predicts nothing of task {self.task.kind}; let another method follow it in `phases`"
            )
        return self.task.columns(on_host(self.errors(inputs)), self.threshold_)

    @override
    def validate(self, batches: Iterable[Batch]) -> tuple[float, pa.Table | None]:
        scores = self._scores(batches)
        loss = float(scores.mean(dtype=np.float64))
        if not isinstance(self.task, Anomaly) or not finite(scores):
            return loss, None
        return loss, self.task.columns(scores, self.task.threshold(scores))

    @override
    def calibrate(self, batches: Iterable[Batch]) -> None:
        if isinstance(self.task, Anomaly):
            self.threshold_ = self.task.threshold(self._scores(batches))

    def _scores(self, batches: Iterable[Batch]) -> np.ndarray:
        return on_host(torch.cat([self.errors(batch.inputs) for batch in batches]))

    @override
    def state(self) -> dict[str, Any]:
        return {"threshold": self.threshold_}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.threshold_ = state["threshold"]
