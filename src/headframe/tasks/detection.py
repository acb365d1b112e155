"""Where objects are in an image, and what they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from headframe.config.ranges import Share
from headframe.errors import DataError, some
from headframe.metrics.average_precision import AveragePrecision, Boxes, compare_boxes
from headframe.metrics.statistics import Statistic, divide
from headframe.tasks.base import Task, require_target, single_target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET, FOUND = "target", "boxes"
BOXES, LABELS = "boxes", "labels"
"""The arrays of `targets`: sides of boxes, float64 (rows, most, 4), and numbers of labels, int64 (rows, most)."""

NO_BOX = -1
"""In the place of a label: the row has no more boxes."""

SIDES = ("x", "y", "width", "height")
TRUE_BOX = pa.struct({**dict.fromkeys(SIDES, pa.float64()), "label": pa.string()})
FOUND_BOX = pa.struct([*TRUE_BOX, pa.field("score", pa.float64())])


class Detection(Task):
    """Boxes with a label and a score, in pixels of the image as it came, from its upper left corner.

    The target is a list of structs with x, y, width, height and label, which may be empty. Metrics are those of COCO:
    average precision at an overlap of 0.5 (`map50`, and `ap50_...` of each label), and its mean over overlaps of 0.5
    to 0.95 (`map`). All boxes of a model count in them, also those with low scores.

    Args:
        primary_metric: decides between models.
        least_score: of the boxes that an answer holds; metrics and records hold all.
    """

    kind: ClassVar[str] = "detection"
    padding: ClassVar[Mapping[str, float]] = {BOXES: 0.0, LABELS: NO_BOX}
    natural_baselines: ClassVar[tuple[str, ...]] = ("headframe.tasks.baselines.usual_boxes.UsualBoxes",)
    captions: ClassVar[Mapping[str, str]] = {
        "precision_recall": "Precision and recall of the boxes of each label, and recall by score",
        "worst_images": "The images with the largest share of wrong boxes, among those that an answer holds",
    }
    short_name: ClassVar[str] = "c{}"
    caveats: ClassVar[tuple[str, ...]] = (
        "What was not labelled counts as a false box where it is found, and what resembles no label is not found.",
    )

    def __init__(self, *, primary_metric: Literal["map50", "map"] = "map50", least_score: Share = 0.3) -> None:
        self.primary_metric = primary_metric
        self.higher_is_better = True
        self.least_score = least_score
        self.column_ = ""
        self.labels_: list[str] = []

    @override
    def fit(self, target: pa.Table) -> None:
        self.column_ = single_target(target, self.kind)
        found = set(self._flat(target).field("label").to_pylist())
        if not found:
            raise DataError(f"target {self.column_!r} has no box in training rows, so nothing can be learned")
        self.labels_ = sorted(found)

    def _cells(self, target: pa.Table) -> pa.ListArray:
        """Return the boxes of each row."""
        require_target(target, [self.column_])
        cells = target[self.column_].combine_chunks()
        kind, what = cells.type, f"target {self.column_!r}"
        inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else None
        names = {each.name for each in inner} if inner is not None and pa.types.is_struct(inner) else set()
        if not {*SIDES, "label"} <= names:
            raise DataError(f"{what} holds {kind}, but boxes are lists of structs with {', '.join(SIDES)} and label")
        if cells.null_count:
            raise DataError(f"{what} is empty in {cells.null_count:,} of {len(cells):,} rows; leave them out")
        return cells

    def _flat(self, target: pa.Table) -> pa.StructArray:
        return self._cells(target).flatten()

    @override
    def targets(self, target: pa.Table) -> dict[str, np.ndarray]:
        cells = self._cells(target)
        read = self._read(cells)
        sides, row = read.sides, read.row
        if not (np.isfinite(sides).all() and (sides[:, 2:] > 0).all()):
            raise DataError(f"target {self.column_!r} has a box without an area; leave it out")
        if (read.label < 0).any():
            came = cells.flatten().field("label")[int(np.argmin(read.label))].as_py()
            raise DataError(
                f"target {self.column_!r} has label {some([str(came)])!r} in rows that are not for training, but "
                f"training rows only have {some(self.labels_)}; let training have rows of it, or leave it out"
            )
        counts = np.bincount(row, minlength=len(cells))
        place = np.arange(len(row)) - np.searchsorted(row, row)
        boxes = np.zeros((len(cells), int(counts.max(initial=0)), len(SIDES)))
        labels = np.full(boxes.shape[:2], NO_BOX, dtype=np.int64)
        boxes[row, place], labels[row, place] = sides, read.label
        return {BOXES: boxes, LABELS: labels}

    def _read(self, cells: pa.ListArray) -> Boxes:
        """Return boxes of a column of lists; a label that is none of the training rows' is below 0."""
        flat = cells.flatten()
        sides = [flat.field(name).cast(pa.float64()).to_numpy(zero_copy_only=False) for name in SIDES]
        label = pc.index_in(flat.field("label").cast(pa.string()), value_set=pa.array(self.labels_, pa.string()))
        return Boxes(
            row=pc.list_parent_indices(cells).to_numpy().astype(np.int64),
            sides=np.stack(sides, axis=1),
            label=pc.fill_null(label, NO_BOX).to_numpy().astype(np.int64),
            score=flat.field("score").to_numpy() if "score" in flat.type.names else np.ones(len(flat)),
        )

    @override
    def truth(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        boxes, labels = targets[BOXES], targets[LABELS]
        row, place = np.nonzero(labels != NO_BOX)
        cells = self._lists(TRUE_BOX, row, boxes[row, place], labels[row, place], len(labels))
        return pa.table({TARGET: cells})

    def _lists(
        self, kind: pa.DataType, row: np.ndarray, sides: np.ndarray, label: np.ndarray, rows: int, *more: np.ndarray
    ) -> pa.ListArray:
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))])
        names = pa.array(self.labels_, pa.string()).take(pa.array(label))
        fields = [
            *(pa.array(side, pa.float64()) for side in sides.T),
            names,
            *(pa.array(each, pa.float64()) for each in more),
        ]
        structs = pa.StructArray.from_arrays(fields, fields=list(kind))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs, type=pa.list_(kind))

    @property
    @override
    def prediction_schema(self) -> pa.Schema:
        return pa.schema({FOUND: pa.list_(FOUND_BOX)})

    @property
    @override
    def outputs(self) -> tuple[int, ...]:
        return (len(self.labels_),)

    def columns(self, found: Boxes, rows: int) -> pa.Table:
        """Return the prediction columns of rows from their boxes; those of a row stand by falling score."""
        ordered = found[np.lexsort((-found.score, found.row))]
        cells = self._lists(FOUND_BOX, ordered.row, ordered.sides, ordered.label, rows, ordered.score)
        return pa.table({FOUND: cells})

    @override
    def ideal(self, targets: Mapping[str, np.ndarray]) -> pa.Table:
        truth = self.truth(targets)
        return self.columns(self._read(truth[TARGET].combine_chunks()), truth.num_rows)

    @override
    def answer(self, predictions: pa.Table) -> pa.Table:
        return self.columns(self._answered(predictions), predictions.num_rows)

    def _answered(self, predictions: pa.Table) -> Boxes:
        found = self._read(predictions[FOUND].combine_chunks())
        return found[found.score >= self.least_score]

    def _measured(self, predictions: pa.Table) -> AveragePrecision:
        truth, found = (self._read(predictions[name].combine_chunks()) for name in (TARGET, FOUND))
        return AveragePrecision(truth, found, predictions.num_rows, len(self.labels_))

    @override
    def statistics(self, predictions: pa.Table) -> dict[str, Statistic]:
        measured = self._measured(predictions)
        each = {f"ap50_{name}": measured.at_half(number) for number, name in enumerate(self._metric_names())}
        return {"map50": measured.mean_at_half, "map": measured.mean, **each}

    def _metric_names(self) -> list[str]:
        """Return labels as names of metrics have them; where that leaves nothing or makes two equal, their numbers."""
        plain = [re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") for label in self.labels_]
        times = Counter(plain)
        return [
            name if name and times[name] == 1 and not name.isdigit() else str(number)
            for number, name in enumerate(plain)
        ]

    @override
    def describe_purpose(self, inputs: Sequence[str], target: str | None) -> str:
        return f"Finds {some(self.labels_)} in images (`{inputs[0]}`), each with a box in pixels and a score."

    @override
    def plots(self, predictions: pa.Table, validation: pa.Table | None = None) -> dict[str, Figure]:
        from headframe.tasks import detection_plots  # noqa: PLC0415 - training and serving draw nothing

        measured = self._measured(predictions)
        curves = {name: measured.curve(number) for number, name in enumerate(self.plot_names)}
        return {"precision_recall": detection_plots.precision_recall(curves)}

    @override
    def worst(self, predictions: pa.Table) -> np.ndarray:
        truth, found = self._read(predictions[TARGET].combine_chunks()), self._answered(predictions)
        verdicts = compare_boxes(truth, found)
        faulty = np.concatenate([truth.row[verdicts.missed], found.row[~verdicts.right]])
        every = np.concatenate([truth.row, found.row])
        wrong, boxes = (np.bincount(rows, minlength=predictions.num_rows) * 1.0 for rows in (faulty, every))
        share = divide(wrong, boxes, otherwise=0.0)
        order = np.lexsort((-wrong, -share))
        return order[share[order] > 0]

    @override
    def pictures(self, predictions: pa.Table, rows: pa.Table) -> dict[str, Figure]:
        from headframe.tasks import detection_plots, pictures  # noqa: PLC0415 - training and serving draw nothing

        if (images := pictures.first_images(rows)) is None:
            return {}
        truth, found = self._read(predictions[TARGET].combine_chunks()), self._answered(predictions)
        return {"worst_images": detection_plots.boxes_on_images(images, truth, found, self.plot_names)}

    @property
    @override
    def names(self) -> list[str]:
        return self.labels_

    @override
    def state(self) -> dict[str, Any]:
        return {"column": self.column_, "labels": self.labels_}

    @override
    def restore(self, state: dict[str, Any]) -> None:
        self.column_, self.labels_ = state["column"], list(state["labels"])
