"""Average precision of boxes is that of COCO's own program, as a whole and in every resample."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from headframe.metrics.average_precision import AveragePrecision, Boxes

ROWS, LABELS = 14, 3


def drawn_boxes(seed: int, *, rounded: bool = False) -> tuple[Boxes, Boxes]:
    """True boxes, and predicted ones of which most lie near a true one; some rows have none of either."""
    draw = np.random.default_rng(seed)
    truth, found = list[tuple[object, ...]](), list[tuple[object, ...]]()
    for row in range(ROWS):
        for _ in range(int(draw.integers(0, 9)) if row else 0):
            sides, label = [*draw.uniform(0, 60, 2), *draw.uniform(15, 40, 2)], int(draw.integers(LABELS))
            truth.append((row, sides, label, 1.0))
            for _ in range(int(draw.integers(0, 4))):
                moved = np.array(sides) + draw.normal(0, 4, 4)
                found.append((row, moved, label if draw.random() < 0.9 else int(draw.integers(LABELS)), draw.random()))
        found += [(row, draw.uniform(5, 50, 4), int(draw.integers(LABELS)), draw.random()) for _ in range(row % 4)]
    made = []
    for each in (truth, found):
        row, sides, label, score = zip(*each, strict=True)
        numbers = np.round(score, 1) if rounded else np.array(score)
        made.append(Boxes(np.array(row), np.round(np.array(sides, dtype=np.float64), 3), np.array(label), numbers))
    return made[0], made[1]


def by_coco(truth: Boxes, found: Boxes, rows: int = ROWS) -> dict[str, float]:
    """The figures of pycocotools; NaN where it has none."""
    annotations = [
        {"id": number, "image_id": int(row) + 1, "category_id": int(label) + 1, "bbox": sides.tolist(), "iscrowd": 0}
        | {"area": float(sides[2] * sides[3])}
        for number, (row, sides, label) in enumerate(zip(truth.row, truth.sides, truth.label, strict=True), start=1)
    ]
    results = [
        {"image_id": int(row) + 1, "category_id": int(label) + 1, "bbox": sides.tolist(), "score": float(score)}
        for row, sides, label, score in zip(found.row, found.sides, found.label, found.score, strict=True)
    ]
    with redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "info": {},
            "images": [{"id": number} for number in range(1, rows + 1)],
            "categories": [{"id": number} for number in range(1, LABELS + 1)],
            "annotations": annotations,
        }
        known.createIndex()
        measured = COCOeval(known, known.loadRes(results), "bbox")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    of_labels = measured.eval["precision"][0, :, :, 0, 2].mean(axis=0)
    each = {str(number): value if value >= 0 else np.nan for number, value in enumerate(of_labels)}
    return {"map": measured.stats[0], "map50": measured.stats[1], **each}


def ours(truth: Boxes, found: Boxes, weights: np.ndarray) -> dict[str, np.ndarray]:
    measured = AveragePrecision(truth, found, len(weights), LABELS)
    statistics = {"map": measured.mean, "map50": measured.mean_at_half}
    statistics |= {str(number): measured.at_half(number) for number in range(LABELS)}
    return {name: each.evaluate(weights) for name, each in statistics.items()}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rounded", [False, True], ids=["scores", "equal scores"])
def test_figures_are_those_of_coco(seed: int, rounded: bool) -> None:
    truth, found = drawn_boxes(seed, rounded=rounded)
    expected = by_coco(truth, found)
    assert 0.05 < expected["map"] < expected["map50"] < 0.95
    for name, value in ours(truth, found, np.ones((ROWS, 1))).items():
        assert value[0] == pytest.approx(expected[name], abs=1e-9), name


def test_more_boxes_than_coco_counts_are_cut_by_their_scores() -> None:
    draw = np.random.default_rng(1)
    truth, found = drawn_boxes(3)
    many = 600
    row = np.sort(draw.integers(0, 2, many))
    label = draw.integers(0, 2, many)
    sides = np.round(np.concatenate([draw.uniform(0, 60, (many, 2)), draw.uniform(15, 40, (many, 2))], axis=1), 3)
    crowd = Boxes(row, sides, label, draw.random(many))
    joined = [np.concatenate(pair) for pair in zip(vars(found).values(), vars(crowd).values(), strict=True)]
    order = np.argsort(joined[0], kind="stable")
    found = Boxes(*(each[order] for each in joined))
    assert np.bincount(found.row[found.label == 0]).max() > 120
    expected = by_coco(truth, found)
    for name, value in ours(truth, found, np.ones((ROWS, 1))).items():
        assert value[0] == pytest.approx(expected[name], abs=1e-9), name


def test_resamples_are_those_of_the_boxes_written_out() -> None:
    truth, found = drawn_boxes(7)
    draw = np.random.default_rng(2)
    weights = np.stack([np.bincount(draw.integers(0, ROWS, ROWS), minlength=ROWS) for _ in range(8)], axis=1)
    weights = np.concatenate([weights, np.eye(ROWS)[:, :3]], axis=1).astype(np.float64)
    computed = ours(truth, found, weights)
    assert np.isnan(computed["map"][8])  # row 0 has no true box
    for number, counts in enumerate(weights.T.astype(int)):
        rows = np.repeat(np.arange(ROWS), counts)
        written = [
            Boxes(
                row=np.concatenate([np.full((each.row == row).sum(), place) for place, row in enumerate(rows)]),
                sides=np.concatenate([each.sides[each.row == row] for row in rows]),
                label=np.concatenate([each.label[each.row == row] for row in rows]),
                score=np.concatenate([each.score[each.row == row] for row in rows]),
            )
            for each in (truth, found)
        ]
        if not len(written[0].row):
            continue
        expected = by_coco(written[0], written[1], rows=len(rows))
        for name, values in computed.items():
            assert values[number] == pytest.approx(expected[name], abs=1e-9, nan_ok=True), (name, number)


def test_many_resamples_are_those_of_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, found = drawn_boxes(4)
    weights = np.random.default_rng(5).integers(0, 3, (ROWS, 40)).astype(np.float64)
    whole = ours(truth, found, weights)
    monkeypatch.setattr("headframe.metrics.average_precision._CELLS", 100)
    for name, values in ours(truth, found, weights).items():
        np.testing.assert_array_equal(values, whole[name])
