"""Learn to generate images by restoring them from codes that are distributed like noise."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from headframe.config.ranges import NotNegative
from headframe.examples.batches import Batch
from headframe.methods.generative import GenerativeMethod
from headframe.tasks.generation import Generation


class Vae(GenerativeMethod):
    """Lowers the negative evidence lower bound of images (Kingma and Welling 2014, arXiv:1312.6114).

    What is generated is the mean brightness of each pixel, without the noise of single pixels.

    Args:
        network: has an `encoder` to means and log variances of codes, and a `decoder` to logits of brightness.
        task: fitted.
        divergence: weight of the divergence of codes from noise beside the error of restored images; 1 is the bound
            itself (Higgins et al. 2017, beta-VAE).
    """

    def __init__(self, network: nn.Module, task: Generation, *, divergence: NotNegative = 1.0) -> None:
        super().__init__(network, task)
        self.divergence = divergence

    @override
    def losses(self, move: str, batch: Batch) -> Mapping[str, Tensor]:
        images = self.images(batch)
        mean, log_variance = self.network.encoder(2 * images - 1).float().chunk(2, dim=1)
        codes = mean + (log_variance / 2).exp() * self.noise(batch)
        logits = self.network.decoder(codes).float()
        errors = functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
        return {"reconstruction": errors / len(images), "divergence": self.divergence * divergence / len(images)}

    @override
    def generate(self, noise: Any) -> Tensor:
        brightness: Tensor = self.network.decoder(noise).float().sigmoid()
        return brightness
