"""Deep embedded clustering: draw codes of examples towards the centres that they are near to."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from typing_extensions import override

from headframe.config.ranges import Count, NotNegative
from headframe.examples.batches import Batch, Inputs
from headframe.features.base import finite
from headframe.methods.base import Method, on_host
from headframe.tasks.clustering import Clustering


class DeepClustering(Method[Clustering]):
    """Lowers the divergence of soft assignments from sharper ones (Xie, Girshick and Farhadi 2016, arXiv:1511.06335).

    It begins with the centres that k-means finds among the codes of the training examples. The sharper assignments,
    its targets, are computed for each batch, so that they depend on weights and step alone.

    Args:
        network: has an `encoder`, a `decoder` and `centres`, pre-trained by reconstruction.
        task: a clustering.
        reconstruction: weight of the mean squared error of restored inputs beside the divergence, which keeps codes
            from collapsing (Guo et al. 2017, IDEC); 0: the divergence alone.
        starts: how many times k-means starts with other centres; the best result counts.
    """

    network: Any  # torch's types know no parts of networks

    def __init__(
        self, network: nn.Module, task: Clustering, *, reconstruction: NotNegative = 0.0, starts: Count = 20
    ) -> None:
        super().__init__(network, task)
        self.reconstruction = reconstruction
        self.starts = starts

    @override
    def prepare(self, batches: Iterable[Batch]) -> None:
        codes = on_host(torch.cat([self.network.encoder(batch.inputs) for batch in batches]))
        centres: Tensor = self.network.centres.weight
        seed = int(torch.randint(2**31, ()))
        model = KMeans(len(centres), n_init=self.starts, random_state=seed)
        with threadpool_limits(1):  # the number of threads would change the bits
            model.fit(codes)
        centres.copy_(torch.from_numpy(model.cluster_centers_))

    @override
    def losses(self, move: str, batch: Batch) -> Mapping[str, Tensor]:
        codes = self.network.encoder(batch.inputs)
        found = {"divergence": _divergence(self._logits(codes))}
        if self.reconstruction:
            restored = self.network.decoder(codes).float()
            found["reconstruction"] = self.reconstruction * ((restored - batch.inputs) ** 2).mean()
        return found

    def _logits(self, codes: Tensor) -> Tensor:
        """Return unnormalised logarithms of the soft assignments (batch, clusters), by Student's t distribution."""
        squared = (codes.float().unsqueeze(1) - self.network.centres.weight).square().sum(dim=2)
        return -torch.log1p(squared)

    @override
    def predict(self, inputs: Inputs) -> pa.Table:
        return self._columns(self.network.encoder(inputs))

    def _columns(self, codes: Tensor) -> pa.Table:
        return self.task.columns(on_host(codes), on_host(self.network.centres.weight))

    @override
    def validate(self, batches: Iterable[Batch]) -> tuple[float, pa.Table | None]:
        found, losses, examples = [], 0.0, 0
        for batch in batches:
            found.append(self.network.encoder(batch.inputs).float())
            losses += len(batch.inputs) * sum(float(each) for each in self.losses("network", batch).values())
            examples += len(batch.inputs)
        codes = torch.cat(found)
        return losses / examples, self._columns(codes) if finite(on_host(codes)) else None


def _divergence(logits: Tensor) -> Tensor:
    """Compute the mean divergence of the assignments from their targets: squared, and shared out among clusters."""
    logarithms = logits.log_softmax(dim=1)
    with torch.no_grad():
        soft = logarithms.exp()
        sharper = soft.square() / soft.sum(dim=0)
        target = sharper / sharper.sum(dim=1, keepdim=True)
    return nn.functional.kl_div(logarithms, target, reduction="batchmean")
