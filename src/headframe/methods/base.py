"""The interface of methods."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
from torch import Tensor, nn

from headframe.examples.batches import Batch, Inputs
from headframe.tasks.base import Task

SomeTask = TypeVar("SomeTask", bound=Task)


class Method(ABC, Generic[SomeTask]):
    """How a network learns a task, and how what it computes becomes predictions.

    It knows neither Lightning nor optimisers: the engine asks it for the losses of each move of a step, and lowers
    their sum by the optimiser of that move. All that it learns besides the network's weights is in `state`.

    Attributes:
        network: learns; in training it may be a compiled one.
        task: fitted.
    """

    def __init__(self, network: nn.Module, task: SomeTask) -> None:
        self.network = network
        self.task = task

    def moves(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the weights that each move of a step changes, by the move's name and in the order of the moves.

        Each has an optimiser and a schedule of its own. Ordinary methods have one move, which changes all weights.
        """
        return {"network": list(self.network.parameters())}

    @abstractmethod
    def losses(self, move: str, batch: Batch) -> Mapping[str, Tensor]:
        """Compute what a move lowers: scalars by name, the same names in each step; their sum is lowered."""

    @abstractmethod
    def predict(self, inputs: Inputs) -> pa.Table:
        """Return the prediction columns of the task for a batch of inputs, one row an example.

        The network is in evaluation mode and records no gradients.
        """

    @abstractmethod
    def validate(self, batches: Iterable[Batch]) -> tuple[float, pa.Table | None]:
        """Return the mean loss over batches of validation examples, and their predictions in order.

        The network is in evaluation mode and records no gradients. There are no predictions where what the network
        computes is not finite.
        """

    def prepare(self, batches: Iterable[Batch]) -> None:
        """Set weights of the network from training examples before the first step, such as centres of clusters."""

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Fit to validation examples what turns the outputs of the final weights into predictions; see `state`."""

    def state(self) -> dict[str, Any]:
        """Return what was learned besides weights, such as thresholds, as JSON values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        del state  # nothing unless a method overrides both


def on_host(outputs: Tensor) -> np.ndarray:
    """Return what a network computed as float32 on the CPU."""
    array: np.ndarray = outputs.float().cpu().numpy()
    return array
