"""An autoencoder that learns clusters of what it encodes."""

from collections.abc import Sequence

from torch import nn

from headframe.config.ranges import Count, Share
from headframe.features.spec import InputSpec
from headframe.models.autoencoder import Autoencoder


class ClusteringAutoencoder(Autoencoder):
    """An autoencoder with centres of clusters among its codes.

    Attributes:
        centres: has the weight (clusters, code).

    Args:
        inputs: as of an autoencoder.
        clusters: how many.
        hidden: as of an autoencoder, like all that follow.
    """

    def __init__(
        self,
        inputs: InputSpec,
        outputs: tuple[int, ...] = (),
        *,
        clusters: Count = 10,
        hidden: Sequence[Count] = (500, 500, 2000),
        code: Count = 10,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(inputs, outputs, hidden=hidden, code=code, dropout=dropout)
        self.centres = nn.Embedding(clusters, code)
