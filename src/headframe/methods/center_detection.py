"""Learn boxes by the centres of objects: each place of a map has what is there, and how far its sides are."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from headframe.config.ranges import Count, Fraction, NotNegative, Positive
from headframe.examples.batches import Batch, Inputs
from headframe.features.base import finite
from headframe.methods.base import Method, on_host
from headframe.metrics.average_precision import Boxes, box_overlaps
from headframe.tasks.detection import BOXES, LABELS, Detection

LEAST = 0.05  # of a bell, below which a place does not belong to its object
_FARTHEST = 7.0  # logarithm of the largest distance to a side, in strides


class CenterDetection(Method[Detection]):
    """Lowers a focal loss of the map of centres and the distance of boxes from those of objects.

    The map that is learned has a bell around each centre, as wide as the object (arXiv:1904.07850); places within it
    learn the object's sides, the more the nearer they are (TTFNet, arXiv:1909.00700), by the generalised intersection
    over union (arXiv:1902.09630). A box is predicted at each place that is higher than those around it; of boxes of a
    label that overlap much, the one with the highest score stays.

    Args:
        network: takes inputs with `image` and `scale`, and returns (batch, labels + 4, height, width); has a `stride`.
        task: a detection.
        bell: width of a bell, as a share of the object's.
        box_weight: weight of the distance of boxes beside the focal loss.
        most: boxes of an image.
        overlap: intersection over union from which on two boxes of a label are taken for the same object.
    """

    network: Any  # torch's types know no stride of networks

    def __init__(
        self,
        network: nn.Module,
        task: Detection,
        *,
        bell: Positive = 0.54,
        box_weight: NotNegative = 2.0,
        most: Count = 100,
        overlap: Fraction = 0.6,
    ) -> None:
        super().__init__(network, task)
        self.bell = bell
        self.box_weight = box_weight
        self.most = most
        self.overlap = overlap
        self.stride = int(self.network.stride)

    @override
    def losses(self, move: str, batch: Batch) -> Mapping[str, Tensor]:
        return self._losses(self.network(batch.inputs), batch)

    def _losses(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of what the network returns."""
        assert isinstance(batch.inputs, dict)  # noqa: S101 - images come with their scale
        logits, logarithms = outputs[:, :-4].float(), outputs[:, -4:].float()
        labels = batch.targets[LABELS]
        boxes = batch.targets[BOXES].float() * _scale_of_sides(batch.inputs["scale"])[:, None] / self.stride
        bells = self._bells(boxes, labels, logits.shape[-2:])
        centres = torch.zeros_like(logits)
        if labels.shape[1]:
            for label in range(logits.shape[1]):
                centres[:, label] = torch.where((labels == label)[:, :, None, None], bells, 0.0).amax(dim=1)
        many = max(1, int((labels >= 0).sum()))
        return {
            "centres": _focal(logits, centres) / many,
            "boxes": self.box_weight * self._box_loss(logarithms, boxes, bells) / many,
        }

    def _bells(self, boxes: Tensor, labels: Tensor, size: torch.Size) -> Tensor:
        """Return the bell of each box, (batch, most, height, width): 1 at the place of its centre; 0 of no box."""
        high, wide = size
        found = []
        for axis, length in ((1, high), (0, wide)):
            side = boxes[..., axis + 2]
            centre = (boxes[..., axis] + side / 2).floor().clamp(0, length - 1)
            distance = torch.arange(length, device=boxes.device) - centre[..., None]
            deviation = (side * self.bell / 6).clamp(min=0.3)
            found.append(torch.exp(-0.5 * (distance / deviation[..., None]).square()))
        bells = found[0][..., :, None] * found[1][..., None, :]
        return torch.where((labels >= 0)[..., None, None] & (bells >= LEAST), bells, 0.0)

    def _box_loss(self, logarithms: Tensor, boxes: Tensor, bells: Tensor) -> Tensor:
        """Compute the sum over objects of the mean distance of their boxes at their places, weighted by the bells."""
        if not boxes.shape[1]:
            return logarithms.sum() * 0
        weight, chosen = bells.max(dim=1)  # the object of each place, (batch, height, width)
        batch, row, column = torch.nonzero(weight, as_tuple=True)
        own = chosen[batch, row, column]
        place = torch.stack([column, row], dim=1) + 0.5
        true = boxes[batch, own]
        true = torch.cat([true[:, :2], true[:, :2] + true[:, 2:]], dim=1)
        distances = logarithms.permute(0, 2, 3, 1)[batch, row, column].clamp(max=_FARTHEST).exp()
        found = torch.cat([place - distances[:, :2], place + distances[:, 2:]], dim=1)
        weights = weight[batch, row, column]
        number = batch * boxes.shape[1] + own
        sums = weights.new_zeros(boxes.shape[0] * boxes.shape[1]).index_add(0, number, weights)
        return (weights / sums[number] * (1 - _generalised_overlap(found, true))).sum()

    @override
    def predict(self, inputs: Inputs) -> pa.Table:
        assert isinstance(inputs, dict)  # noqa: S101 - images come with their scale
        return self._decoded(self._outputs(inputs), inputs)

    def _outputs(self, inputs: dict[str, Tensor]) -> Tensor:
        """Compute image by image: sums in another order would move peaks, and an image alone has other boxes."""
        one = ({name: each[number : number + 1] for name, each in inputs.items()} for number in range(_count(inputs)))
        return torch.cat([self.network(each) for each in one])

    def _decoded(self, outputs: Tensor, inputs: dict[str, Tensor]) -> pa.Table:
        labels = outputs.shape[1] - 4
        heights = outputs[:, :labels].float().sigmoid()
        peaks = torch.where(heights == functional.max_pool2d(heights, 3, stride=1, padding=1), heights, 0.0)
        scores, places = peaks.flatten(1).topk(min(self.most, peaks[0].numel()), dim=1)
        label, cell = places // heights[0, 0].numel(), places % heights[0, 0].numel()
        row, column = cell // heights.shape[3], cell % heights.shape[3]
        logarithms = outputs[:, labels:].float().flatten(2).gather(2, cell[:, None].expand(-1, 4, -1))
        distances = logarithms.clamp(max=_FARTHEST).exp()
        place = torch.stack([column, row], dim=1) + 0.5
        corners = torch.cat([place - distances[:, :2], place + distances[:, 2:]], dim=1) * self.stride
        scale, size = (on_host(inputs[name]).astype(np.float64)[:, ::-1] for name in ("scale", "size"))
        every, found = on_host(corners).astype(np.float64).transpose(0, 2, 1), list[Boxes]()
        label_, score_ = label.cpu().numpy(), on_host(scores).astype(np.float64)
        for number, own in enumerate(every):
            corner = np.clip(own.reshape(-1, 2, 2) / scale[number], 0.0, size[number])
            sides = np.concatenate([corner[:, 0], corner[:, 1] - corner[:, 0]], axis=1)
            kept = np.flatnonzero((score_[number] > 0) & (sides[:, 2:] > 0).all(axis=1))
            kept = kept[_without_repetitions(sides[kept], label_[number, kept], self.overlap)]
            found.append(Boxes(np.full(len(kept), number), sides[kept], label_[number, kept], score_[number, kept]))
        joined = (np.concatenate(each) for each in zip(*(vars(each).values() for each in found), strict=True))
        return self.task.columns(Boxes(*joined), len(found))

    @override
    def validate(self, batches: Iterable[Batch]) -> tuple[float, pa.Table | None]:
        total, examples, tables = 0.0, 0, list[pa.Table | None]()
        for batch in batches:
            assert isinstance(batch.inputs, dict)  # noqa: S101 - images come with their scale
            outputs, many = self._outputs(batch.inputs), _count(batch.inputs)
            total += many * float(sum(self._losses(outputs, batch).values()))
            examples += many
            tables.append(self._decoded(outputs, batch.inputs) if finite(on_host(outputs)) else None)
        whole = [each for each in tables if each is not None]
        return total / examples, pa.concat_tables(whole) if len(whole) == len(tables) else None


def _count(inputs: Mapping[str, Tensor]) -> int:
    return len(inputs["image"])


def _scale_of_sides(scale: Tensor) -> Tensor:
    """Return by what x, y, width and height are multiplied, (batch, 4), from the scale of height and width."""
    return scale.flip(1).repeat(1, 2)


def _focal(logits: Tensor, centres: Tensor) -> Tensor:
    """Compute the sum of the focal loss of a map of centres (arXiv:1904.07850, equation 1)."""
    probability = logits.sigmoid()
    here = (1 - probability).square() * functional.logsigmoid(logits)
    not_here = (1 - centres).pow(4) * probability.square() * functional.logsigmoid(-logits)
    return -torch.where(centres == 1, here, not_here).sum()


def _generalised_overlap(one: Tensor, other: Tensor) -> Tensor:
    """Return the generalised intersection over union of boxes by their corners, each (boxes, 4)."""
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    common = (high - low).clamp(min=0).prod(dim=1)
    around = torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])
    union = sum((each[:, 2:] - each[:, :2]).prod(dim=1) for each in (one, other)) - common
    return common / union - 1 + union / around.prod(dim=1)


def _without_repetitions(sides: np.ndarray, label: np.ndarray, most: float) -> np.ndarray:
    """Return the positions of boxes, by falling score, that no better one of their label overlaps by so much."""
    near = (box_overlaps(sides, sides) >= most) & (label[:, np.newaxis] == label)
    kept = np.ones(len(sides), dtype=bool)
    for number in range(len(sides)):
        if kept[number]:
            kept[number + 1 :] &= ~near[number, number + 1 :]
    return np.flatnonzero(kept)
