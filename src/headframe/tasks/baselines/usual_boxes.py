"""Boxes that need no look at the image."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from headframe.errors import ConfigurationError
from headframe.metrics.average_precision import MOST, OVERLAPS, Boxes, box_overlaps
from headframe.tasks.baselines.base import BaselineData, NaturalBaseline
from headframe.tasks.detection import BOXES, LABELS, Detection


class UsualBoxes(NaturalBaseline):
    """The same boxes for every image: of each label the mean size, wherever training images have such a box.

    A box scores by how many training images have one of its label there. Boxes lie half their size apart.
    """

    name: ClassVar[str] = "usual_boxes"

    @override
    def predictions(self, data: BaselineData) -> pa.Table:
        task = data.task
        if not isinstance(task, Detection):
            raise ConfigurationError(f"task {task.kind} names a baseline of boxes, which it does not predict")
        targets = task.targets(data.targets.filter(pa.array(data.training)))
        found = [_usual(targets[BOXES], targets[LABELS] == label) for label in range(len(task.names))]
        sides, scores = (np.concatenate(each) for each in zip(*found, strict=True))
        label = np.repeat(np.arange(len(found)), [len(each) for each, _ in found])
        rows = len(data.positions)
        repeated = Boxes(
            row=np.repeat(np.arange(rows), len(label)),
            sides=np.tile(sides, (rows, 1)),
            label=np.tile(label, rows),
            score=np.tile(scores, rows),
        )
        return task.columns(repeated, rows)


def _usual(boxes: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sides and scores of the usual boxes of a label.

    Args:
        boxes: of training rows, (rows, most, 4).
        chosen: which of them have the label, bool (rows, most).
    """
    row, sides = np.nonzero(chosen)[0], boxes[chosen]
    size = sides[:, 2:].mean(axis=0)
    corner = (sides[:, :2] + sides[:, 2:]).max(axis=0) - size
    along = [np.arange(0.0, max(end, 0.0) + 1, step / 2) for end, step in zip(corner, size, strict=True)]
    places = np.stack(np.meshgrid(*along), axis=-1).reshape(-1, 2)
    usual = np.concatenate([places, np.broadcast_to(size, places.shape)], axis=1)
    number, place = np.nonzero(box_overlaps(sides, usual) >= OVERLAPS[0])
    pairs = np.unique(np.stack([row[number], place]), axis=1)
    scores = np.bincount(pairs[1], minlength=len(usual)) / len(boxes)
    kept = np.argsort(-scores, kind="stable")[:MOST]
    kept = kept[scores[kept] > 0]
    return usual[kept], scores[kept]
