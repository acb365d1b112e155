"""Masks of any size: files that people can open, and metrics that scikit-learn and a plain loop give, too."""

import io
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from headframe.cells.images import decode_mask, encode_mask
from headframe.errors import DataError
from headframe.tasks.base import with_truth
from headframe.tasks.baselines.base import BaselineData
from headframe.tasks.baselines.otsu import Otsu, above_threshold
from headframe.tasks.segmentation import MASK, OUTSIDE, Segmentation

SIZES = [(5, 7), (8, 3), (6, 6), (1, 9)]


def masks(numbers: list[int], seed: int) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.choice(numbers, size).astype(np.uint8) for size in SIZES]


def files(found: list[np.ndarray]) -> pa.Table:
    return pa.table({"mask": pa.array([encode_mask(each) for each in found], pa.binary())})


def task_of(numbers: list[int]) -> Segmentation:
    task = Segmentation()
    task.fit(files([np.array([numbers], dtype=np.uint8)]))
    return task


def table(task: Segmentation, true: list[np.ndarray], found: list[np.ndarray]) -> pa.Table:
    codes = [np.searchsorted(task.numbers_, each) for each in found]
    return with_truth(task.truth(task.targets(files(true))), task.columns(codes, [0.5] * len(codes)))


@pytest.mark.parametrize("numbers", [[0, 1], [0, 255], [0, 3, 200]])
def test_a_mask_is_a_file_in_colours_with_its_numbers(numbers: list[int]) -> None:
    mask = masks(numbers, 1)[0]
    content = encode_mask(mask)
    np.testing.assert_array_equal(decode_mask(content), mask)
    shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert (shown[mask == 0] == 0).all()
    assert (shown[mask == numbers[1]].sum(axis=-1) > 0).all()


@pytest.mark.parametrize("numbers", [[0, 1], [0, 255], [0, 3, 200]])
def test_truth_is_the_mask_in_its_own_size_whether_it_came_as_file_or_tensor(numbers: list[int]) -> None:
    task, true = task_of(numbers), masks(numbers, 2)
    targets = task.targets(files(true))[MASK]
    assert targets.shape == (4, 8, 9)
    assert (targets[0, 5:] == OUTSIDE).all()
    found = [decode_mask(each.as_py()) for each in task.truth({MASK: targets})["target"]]
    assert all(np.array_equal(one, other) for one, other in zip(found, true, strict=True))
    for shape in ((5, 7), (5, 7, 1)):
        tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(true[0].reshape(1, *shape))
        np.testing.assert_array_equal(task.targets(pa.table({"mask": tensors}))[MASK][0], targets[0, :5, :7])


@pytest.mark.parametrize("numbers", [[0, 1], [0, 3, 200]])
def test_pooled_metrics_are_those_of_scikit_learn_on_all_pixels(numbers: list[int]) -> None:
    task, true, found = task_of(numbers), masks(numbers, 3), masks(numbers, 4)
    measured = task.measure(table(task, true, found))
    both = [np.concatenate([each.ravel() for each in some]) for some in (true, found)]
    assert measured["iou"] == pytest.approx(jaccard_score(*both, labels=numbers[1:], average="macro"), abs=1e-12)
    assert measured["dice"] == pytest.approx(f1_score(*both, labels=numbers[1:], average="macro"), abs=1e-12)
    assert measured["pixel_accuracy"] == pytest.approx(accuracy_score(*both), abs=1e-12)
    each = [
        jaccard_score(one.ravel(), other.ravel(), labels=numbers[1:], average="macro")
        for one, other in zip(true, found, strict=True)
    ]
    assert measured["image_iou"] == pytest.approx(np.mean(each), abs=1e-12)
    by_class = {f"iou_{number}" for number in numbers} if len(numbers) > 2 else set()
    assert {name for name in measured if name.startswith("iou_")} == by_class
    for number, value in zip(numbers, jaccard_score(*both, labels=numbers, average=None), strict=True):
        assert measured.get(f"iou_{number}", value) == pytest.approx(value, abs=1e-12)


def test_rows_that_are_drawn_again_count_again_as_a_plain_loop_does() -> None:
    task, true, found = task_of([0, 1]), masks([0, 1], 5), masks([0, 1], 6)
    statistics = task.statistics(table(task, true, found))
    weights = np.array([[2.0, 0], [0, 1], [1, 1], [3, 0]])
    for resample in range(2):
        hit = union = right = pixels = mean = 0
        for times, one, other in zip(weights[:, resample], true, found, strict=True):
            own_hit = own_union = 0
            for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
                own_hit += a == b == 1
                own_union += 1 in {a, b}
                right += times * (a == b)
                pixels += times
            hit, union, mean = hit + times * own_hit, union + times * own_union, mean + times * own_hit / own_union
        expected = {"iou": hit / union, "dice": 2 * hit / (hit + union), "pixel_accuracy": right / pixels}
        expected["image_iou"] = mean / weights[:, resample].sum()
        assert {name: each.evaluate(weights)[resample] for name, each in statistics.items()} == pytest.approx(expected)


def test_an_image_without_foreground_is_right_if_none_is_found() -> None:
    task, empty, full = task_of([0, 1]), np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)
    assert task.measure(table(task, [empty], [empty])) == {"image_iou": 1, "pixel_accuracy": 1}
    assert task.measure(table(task, [empty], [full])) == {"iou": 0, "dice": 0, "image_iou": 0, "pixel_accuracy": 0}


def test_what_a_user_reads_is_the_mask_the_share_of_foreground_and_how_sure() -> None:
    task = task_of([0, 255])
    answer = task.answer(task.columns([np.array([[0, 1], [0, 0]])], [0.75]))
    assert answer.schema == task.prediction_schema
    assert answer.drop_columns("mask").to_pylist() == [{"foreground": 0.25, "confidence": 0.75}]
    np.testing.assert_array_equal(decode_mask(answer["mask"][0].as_py()), [[0, 255], [0, 0]])


def test_a_restored_task_measures_and_draws_alike() -> None:
    task = Segmentation(classes=["ground", "cell"])
    task.fit(files(masks([0, 9], 1)))
    rows = table(task, masks([0, 9], 1), masks([0, 9], 2))
    again = Segmentation(classes=["ground", "cell"])
    again.restore(task.state())
    assert again.measure(rows) == task.measure(rows)
    assert set(again.plots(rows)) | {"worst_masks"} == {*task.captions}
    assert (again.names, again.outputs) == (["ground", "cell"], (2,))
    assert "Finds cell in images" in again.describe_purpose(["photo"], "mask")


def test_the_worst_come_first_and_are_drawn_with_their_outlines() -> None:
    task, true = task_of([0, 3, 200]), masks([0, 3, 200], 8)
    found = [true[0], true[1], np.zeros(SIZES[2], np.uint8), masks([0, 3, 200], 9)[3]]
    rows = table(task, true, found)
    assert task.worst(rows).tolist() == [2, 3]
    shown = rows.take([2, 3])
    stream = io.BytesIO()
    Image.new("RGB", (6, 6), (0, 0, 3)).save(stream, "PNG")
    drawn = task.pictures(shown, pa.table({"name": ["a", "b"], "photo": pa.array([stream.getvalue()] * 2)}))
    [figure] = drawn.values()
    assert drawn.keys() == {"worst_masks"} <= {*task.captions}
    figure.canvas.draw()
    panels = np.array(figure.axes).reshape(2, 3)
    assert [len(each.collections) for each in panels[0]] == [0, 2, 0]  # an outline a class, and none of no foreground
    assert panels[0, 0].get_title(loc="left") == "IoU 0.000"
    assert task.pictures(shown, pa.table({"name": ["a", "b"]})) == {}


def test_what_is_ideal_has_the_best_metrics() -> None:
    task, true = task_of([0, 3, 200]), masks([0, 3, 200], 8)
    targets = task.targets(files(true))
    assert set(task.measure(with_truth(task.truth(targets), task.ideal(targets))).values()) == {1}


def colour(mode: str) -> pa.Table:
    stream = io.BytesIO()
    Image.new(mode, (3, 3)).save(stream, "PNG")
    return pa.table({"mask": pa.array([stream.getvalue()], pa.binary())})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (files([np.zeros((2, 2), np.uint8)]), r"have 0, but 2 to 255 different numbers were expected"),
        (files([np.array([[0, 1, 2]], np.uint8)]), r"have 0, 1, 2, but task.classes has 2 names; give each number one"),
        (colour("RGB"), "has pixels of mode RGB, but a mask has one number a pixel; save it in grey"),
        (pa.table({"mask": ["x"]}), "'mask' holds string, but masks were expected: tensors of bytes, or PNG files"),
        (pa.table({"mask": pa.array([b"x"], pa.binary())}), "'mask' holds what is no PNG image"),
        (pa.table({"mask": pa.array([None], pa.binary())}), "'mask' has no mask"),
        (
            pa.table({"mask": pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((1, 2, 2, 3), np.uint8))}),
            r"tensors of shape \(2, 2, 3\), but a mask has height and width alone",
        ),
    ],
)
def test_masks_that_cannot_be_learned_are_refused_in_a_sentence(rows: pa.Table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Segmentation(classes=["ground", "cell"]).fit(rows)


def test_a_number_that_training_did_not_have_is_refused() -> None:
    with pytest.raises(DataError, match=r"has 7 .*row 2.*; training rows have 0, 1"):
        task_of([0, 1]).targets(files([np.zeros((1, 2), np.uint8), np.full((1, 2), 7, np.uint8)]))


def test_the_threshold_is_where_the_variance_between_both_sides_is_largest() -> None:
    draw = np.random.default_rng(1)
    image = np.concatenate([draw.normal(60, 15, 300), draw.normal(150, 20, 100)]).clip(0, 255).astype(np.uint8)
    best, threshold = -1.0, 0
    for level in range(255):  # Otsu's definition as a plain loop
        low, high = image[image <= level], image[image > level]
        if len(low) and len(high):
            between = len(low) * len(high) * (low.mean() - high.mean()) ** 2
            best, threshold = max((best, threshold), (between, level), key=lambda each: each[0])
    np.testing.assert_array_equal(above_threshold(image.reshape(20, 20, 1)).ravel(), image > threshold)


@pytest.mark.parametrize("side", ["brighter", "darker", "smaller"])
def test_the_baseline_takes_the_side_that_fits_training_masks(side: str) -> None:
    draw = np.random.default_rng(2)
    images, true = [], []
    for row in range(20):
        mask = np.zeros((12, 12), bool)
        size = 10 if side != "smaller" and row % 2 else 4
        mask[:size, :size] = True
        bright = side == "brighter" or (side == "smaller" and row % 3 == 0)
        images.append(np.where(mask == bright, 200, 20)[..., np.newaxis] + draw.integers(0, 9, (12, 12, 3)))
        true.append(mask)
    rows = pa.table(
        {
            "photo": pa.FixedShapeTensorArray.from_numpy_ndarray(np.array(images, np.uint8)),
            "mask": pa.FixedShapeTensorArray.from_numpy_ndarray(np.array(true, np.uint8)),
        }
    )
    task, training = Segmentation(), np.arange(20) < 12
    task.fit(rows.select(["mask"]).slice(0, 12))
    dataset = SimpleNamespace(inputs=["photo"], target="mask")
    table_ = SimpleNamespace(read=rows.select, schema=rows.schema)
    data = BaselineData(task, dataset, table_, np.flatnonzero(~training))  # type: ignore[arg-type]
    data.__dict__["training"] = training
    found = Otsu().predictions(data)
    assert found is not None
    truth = task.truth({MASK: task.targets(data.targets)[MASK][12:]})
    assert task.measure(with_truth(truth, found))["iou"] == 1
    rows = pa.table({"other": ["x"] * 20})
    without = SimpleNamespace(read=rows.select, schema=rows.schema)
    other = SimpleNamespace(inputs=["other"], target="mask")
    assert Otsu().predictions(BaselineData(task, other, without, data.positions)) is None  # type: ignore[arg-type]
