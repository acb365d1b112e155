"""Boxes as truth and as predictions: read, padded, written and measured; none of either is legal."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from headframe.errors import DataError
from headframe.evaluation.intervals import Resampling, confidence_interval, resample
from headframe.metrics.average_precision import Boxes
from headframe.tasks.base import with_truth
from headframe.tasks.baselines.base import BaselineData
from headframe.tasks.baselines.usual_boxes import UsualBoxes
from headframe.tasks.detection import Detection


def box(x: float, y: float, width: float, height: float, label: str) -> dict[str, Any]:
    return {"label": label, "x": x, "y": y, "width": width, "height": height}


CELLS = [
    [box(0, 0, 10, 20, "cell"), box(30.25, 4, 8, 8, "White cell")],
    [],
    [box(5, 5, 7, 9, "cell")],
    [box(1, 2, 3, 4, "cell"), box(50, 50, 6, 6, "cell"), box(20, 20, 4, 4, "White cell")],
]


def target(cells: list[list[dict[str, Any]]] | None = None) -> pa.Table:
    fields = {name: pa.float64() for name in ("x", "y", "width", "height")}
    kind = pa.list_(pa.struct({"label": pa.string(), **fields}))
    return pa.table({"objects": pa.array(CELLS if cells is None else cells, kind)})


@pytest.fixture
def task() -> Detection:
    found = Detection()
    found.fit(target())
    return found


def predicted(task: Detection, cells: list[list[tuple[dict[str, Any], float]]]) -> pa.Table:
    """A predictions table of these boxes with their scores, and of the truth."""
    flat = [(row, each, score) for row, boxes in enumerate(cells) for each, score in boxes]
    found = Boxes(
        row=np.array([row for row, _, _ in flat], dtype=np.int64),
        sides=np.array([[each[n] for n in ("x", "y", "width", "height")] for _, each, _ in flat]).reshape(-1, 4),
        label=np.array([task.names.index(each["label"]) for _, each, _ in flat], dtype=np.int64),
        score=np.array([score for _, _, score in flat], dtype=np.float64),
    )
    return with_truth(task.truth(task.targets(target())), task.columns(found, len(cells)))


def test_truth_is_what_was_given_and_padding_is_no_box(task) -> None:
    targets = task.targets(target())
    assert targets["labels"].tolist() == [[1, 0, -1], [-1, -1, -1], [1, -1, -1], [1, 1, 0]]
    assert targets["boxes"].shape == (4, 3, 4)
    assert task.truth(targets)["target"].to_pylist() == [[{**each} for each in row] for row in CELLS]
    again = Detection()
    again.restore(task.state())
    assert again.truth(targets).equals(task.truth(targets))
    empty = task.targets(target([[], []]))
    assert empty["boxes"].shape == (2, 0, 4)
    assert task.truth(empty)["target"].to_pylist() == [[], []]


def test_perfect_boxes_have_a_precision_of_1_and_none_of_0(task) -> None:
    perfect = predicted(task, [[(each, 0.9) for each in row] for row in CELLS])
    assert perfect.schema.field("boxes").type == task.prediction_schema.field("boxes").type
    every = {"map50", "map", "ap50_cell", "ap50_white_cell"}
    assert task.measure(perfect) == dict.fromkeys(every, 1.0)
    nothing = predicted(task, [[], [], [], []])
    assert nothing["boxes"].to_pylist() == [[], [], [], []]
    assert task.measure(nothing) == dict.fromkeys(every, 0.0)
    for table in (perfect, nothing):
        assert set(task.plots(table)) == {*task.captions} - {"worst_images"}


def test_rows_without_any_true_box_define_no_metric(task) -> None:
    assert task.measure(predicted(task, [[(box(1, 1, 2, 2, "cell"), 0.5)]] * 4).slice(1, 1)) == {}


@pytest.mark.parametrize(
    "wrong", [box(0, 0, 10, 20, "White cell"), box(6, 0, 10, 20, "cell"), box(0, 0, 10, 20, "cell")]
)
def test_another_label_a_shifted_box_and_a_second_one_are_wrong_and_cost_if_they_come_first(task, wrong) -> None:
    right = [[(each, 0.5 + (each == wrong) / 4) for each in row] for row in CELLS]
    behind = task.measure(predicted(task, [[*right[0], (wrong, 0.1)], *right[1:]]))
    assert behind["map50"] == 1.0
    before = task.measure(predicted(task, [[*right[0], (wrong, 0.7)], *right[1:]]))
    assert before["map50"] < 1.0


def test_boxes_stand_by_falling_score_and_an_answer_holds_those_above_the_least(task) -> None:
    boxes = [(box(1, 1, 2, 2, "cell"), 0.1), (box(2, 2, 2, 2, "cell"), 0.7), (box(3, 3, 2, 2, "White cell"), 0.3)]
    table = predicted(task, [boxes, [], boxes[:1], boxes[1:2]])
    assert [each["score"] for each in table["boxes"][0].as_py()] == [0.7, 0.3, 0.1]
    answer = task.answer(table.select(["boxes"]))
    assert [[each["score"] for each in row] for row in answer["boxes"].to_pylist()] == [[0.7, 0.3], [], [], [0.7]]
    assert answer["boxes"][0].as_py()[0] == boxes[1][0] | {"score": 0.7}


def test_intervals_come_from_the_matches_of_rows_and_hold_the_value(task) -> None:
    scores = [[(each, 0.5 + 0.1 * place) for place, each in enumerate(row)] for row in CELLS]
    scores[2] = [(box(5, 9, 7, 9, "cell"), 0.9)]
    table = pa.concat_tables([predicted(task, scores)] * 10)
    found = resample(task, table, Resampling(0.95, 500, 3))
    for each in found.values():
        interval = confidence_interval(each, 0.95)
        assert interval.low <= each.value <= interval.high
    assert found["map50"].values.std() > 0.01
    perfect = predicted(task, [[(each, 0.9) for each in row] for row in CELLS])
    bounded = confidence_interval(resample(task, perfect, Resampling(0.95, 200, 3))["map50"], 0.95)
    assert bounded.high == 1.0 > bounded.low


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["RBC", "White cell", "x-1"], ["rbc", "white_cell", "x_1"]),
        (["a b", "a-b", "狗", "7"], ["0", "1", "2", "3"]),  # equal, without a letter, and what stands for another
    ],
)
def test_metrics_of_labels_have_names_of_their_own(labels: list[str], names: list[str]) -> None:
    task = Detection()
    task.fit(target([[box(1, 1, 2, 2, label)] for label in labels]))
    every = sorted(labels)
    found = task.statistics(predicted_nothing(task, labels))
    expected = dict(zip(labels, names, strict=True))
    if "7" in labels:
        expected = {label: str(every.index(label)) for label in labels}
    assert set(found) == {"map50", "map", *(f"ap50_{name}" for name in expected.values())}


def predicted_nothing(task: Detection, labels: list[str]) -> pa.Table:
    truth = task.truth(task.targets(target([[box(1, 1, 2, 2, label)] for label in labels])))
    return with_truth(truth, task.prediction_schema.empty_table().from_pylist(
        [{"boxes": []} for _ in labels], schema=task.prediction_schema
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"objects": [1, 2]}), "holds int64, but boxes are lists of structs with x, y, width, height and lab"),
        (pa.table({"objects": [[{"x": 1.0, "label": "a"}]]}), "but boxes are lists of structs with x, y, width"),
        (target([[], []]), "has no box in training rows, so nothing can be learned"),
        (pa.table({"objects": pa.array([None], target().schema.field(0).type)}), "is empty in 1 of 1 rows"),
        (pa.table({"a": [1], "b": [1]}), "has one target column, but there are 2"),
    ],
)
def test_what_are_no_boxes_is_refused(table: pa.Table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Detection().fit(table)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (box(0, 0, 0, 4, "cell"), "has a box without an area; leave it out"),
        (box(0, float("nan"), 2, 4, "cell"), "has a box without an area; leave it out"),
        (box(0, 0, 2, 4, "dog"), "has label 'dog' in rows that are not for training, but training rows only have"),
    ],
)
def test_a_box_that_cannot_be_learned_or_measured_is_refused(task, cell: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        task.targets(target([[box(1, 1, 1, 1, "cell")], [cell]]))


def test_usual_boxes_are_where_training_rows_have_theirs(task) -> None:
    cells = [[box(100, 40, 20, 20, "cell"), box(10, 10, 6, 6, "White cell")]] * 3 + [[box(60, 40, 20, 20, "cell")]] * 2
    task.fit(target(cells))
    data = BaselineData(task, None, None, np.array([5, 6]))  # type: ignore[arg-type]
    data.__dict__.update(training=np.arange(7) < 5, targets=target([*cells, [box(0, 0, 9, 9, "cell")], []]))
    found = UsualBoxes().predictions(data)
    assert found.schema == task.prediction_schema
    first, second = found["boxes"].to_pylist()
    assert first == second
    best = {each["label"]: each for each in reversed(first)}
    assert best["cell"] == box(100, 40, 20, 20, "cell") | {"score": 0.6}
    assert best["White cell"]["score"] == 0.6
    assert any(each["x"] == 60 and each["score"] == 0.4 for each in first)


def test_the_best_that_can_be_predicted_is_rated_1(task) -> None:
    targets = task.targets(target())
    ideal = task.ideal(targets)
    assert ideal.schema == task.prediction_schema
    table = with_truth(task.truth(targets), ideal)
    assert set(task.measure(table).values()) == {1.0}
    assert len(task.worst(table)) == 0


def test_rows_are_worst_by_their_share_of_wrong_boxes_among_those_that_an_answer_holds(task) -> None:
    wrong = (box(70, 70, 5, 5, "cell"), 0.9)
    right = [[(each, 0.9) for each in row] for row in CELLS]
    # One of two is wrong, a wrong one stands alone, one of two is missed and one wrong, and a low score is not shown.
    table = predicted(task, [[*right[0], wrong], [wrong], [wrong], [*right[3], (wrong[0], 0.1)]])
    assert task.worst(table).tolist() == [2, 1, 0]
    rows = pa.table({"photo": [photo(30, 40)] * 3})
    figure = task.pictures(table.take(pa.array([2, 1, 0])), rows)["worst_images"]
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["2 wrong", "1 wrong", "1 wrong"]
    drawn = [{each.get_xy(): each.get_linestyle() for each in axes.patches} for axes in panels]
    assert drawn[0] == {(5, 5): ":", (70, 70): "-"}  # missed, wrong
    assert drawn[1] == {(70, 70): "-"}
    assert drawn[2] == {(0, 0): "-", (30.25, 4): "-", (70, 70): "-"}
    assert set(task.captions) == {*task.plots(table), "worst_images"}
    assert task.pictures(table, pa.table({"number": [1, 2, 3, 4]})) == {}


def photo(height: int, width: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(stream, "PNG")
    return stream.getvalue()
