"""Two answers are compared in every column, whatever its type."""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures import World

from headframe.datasets.hashing import update_digest
from headframe.digests import digest
from headframe.errors import HeadframeError
from headframe.evaluation.metrics import align_rows
from headframe.evaluation.paired import count
from headframe.prediction.answers import compare_answers, differing_rows
from headframe.registry.package import verify_parity, write_package

BOXES = pa.list_(pa.struct([("label", pa.string()), ("corners", pa.list_(pa.float64())), ("score", pa.float64())]))
TENSOR = pa.fixed_shape_tensor(pa.float32(), [2])


def tensors(values: list[list[float]]) -> pa.Array:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.array(values, dtype=np.float32))


ANSWERS = {
    "text": pa.array(["a", "b", None]),
    "integer": pa.array([1, 2, 2**53 + 1]),
    "truth": pa.array([True, False, None]),
    "time": pa.array([datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]),
    "number": pa.array([0.5, float("nan"), None]),
    "tensor": tensors([[1, 2], [3, 4], [5, 6]]),
    "ranking": pa.array([["x", "y"], [], None]),
    "boxes": pa.array([[{"label": "cat", "corners": [0.0, 1.0], "score": 0.9}], [], []], BOXES),
}
OTHERS = {
    "text": pa.array(["a", "b", "c"]),
    "integer": pa.array([1, 2, 2**53]),
    "truth": pa.array([True, True, None]),
    "time": pa.array([datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 4)]),
    "number": pa.array([0.5, 1.0, None]),
    "tensor": tensors([[1, 2], [3, 4.1], [5, 6]]),
    "ranking": pa.array([["y", "x"], [], None]),
    "boxes": pa.array([[{"label": "cat", "corners": [0.0, 1.1], "score": 0.9}], [], []], BOXES),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_one_cell_of_any_type_that_differs_is_found(name: str):
    expected = pa.table(ANSWERS)
    assert compare_answers(expected, expected).within(0.0)
    changed = expected.set_column(expected.column_names.index(name), name, OTHERS[name])
    difference = compare_answers(expected, changed)
    assert not difference.within(1e-5), str(difference)
    assert set(difference.changed) <= {name}


def test_another_type_a_missing_column_and_fewer_rows_differ():
    expected = pa.table({"prediction": ["1", "2"], "score": [0.1, 0.2]})
    for found in (
        pa.table({"prediction": [1, 2], "score": [0.1, 0.2]}),
        expected.select(["score"]),
        expected.append_column("more", pa.array([1, 2])),
        expected.slice(1),
    ):
        assert not compare_answers(expected, found).within(1.0)


def test_numbers_are_allowed_to_differ_by_rounding_relative_to_the_largest():
    one, other = pa.table({"v": [1000.0, 1.0]}), pa.table({"v": [1000.0, 1.001]})
    found = compare_answers(one, other)
    assert found.largest == pytest.approx(0.001)
    assert (found.scale, found.within(1e-5), found.within(1e-7)) == (1000.0, True, False)


LISTS: list[tuple[list[Any], list[Any], list[int]]] = [
    ([["a"], ["b", "c"], []], [["a"], ["b"], []], [1]),
    ([[{"box": [0.0, 1.0], "of": "cat"}], []], [[{"box": [0.0, 1.0 + 1e-9], "of": "cat"}], []], []),
    ([[{"box": [0.0, 1.0], "of": "cat"}], []], [[{"box": [0.0, 1.1], "of": "cat"}], []], [0]),
    ([[1, 2], None, [3]], [[1, 2], [], [3]], [1]),
    (["a", None, "b"], ["a", None, None], [2]),
    ([1.0, 2.0], [1.0, 2.0 + 1e-9], []),
]


@pytest.mark.parametrize(("one", "other", "rows"), LISTS)
def test_targets_of_any_type_are_compared_row_by_row(one: list[Any], other: list[Any], rows: list[int]):
    kind = pa.array(one).type
    expected, found = (pa.chunked_array([pa.array(each, kind)]) for each in (one, other))
    assert differing_rows(expected, found, 1e-6).tolist() == rows
    assert differing_rows(expected, expected).tolist() == []


class Lists:
    """What a task declares whose predictions are right where they equal the truth."""

    truth_columns = ("target",)

    def hits(self, predictions: pa.Table) -> np.ndarray:
        right = np.ones(predictions.num_rows, dtype=bool)
        right[differing_rows(predictions["target"], predictions["prediction"])] = False
        return right


def test_predictions_of_lists_are_right_or_wrong_and_have_a_digest():
    targets = pa.array([["a"], ["b", "c"], []])
    right, wrong = pa.array([["a"], ["b", "c"], ["d"]]), pa.array([["a"], ["c", "b"], ["d"]])
    tables = [pa.table({"row_id": ["1", "2", "3"], "target": targets, "prediction": each}) for each in (right, wrong)]
    pairs = count(Lists(), *tables, np.arange(3))
    assert (pairs.wins, pairs.losses) == (1, 0)
    digests = []
    for column in ("target", "prediction"):
        state = hashlib.sha256()
        update_digest(state, tables[0].select(["row_id", column]))
        digests.append(state.hexdigest())
    assert digests[0] != digests[1]
    assert align_rows(Lists(), tables[0], tables[1].take(pa.array([2, 1, 0]))).equals(tables[1])


def test_a_package_with_right_scores_and_wrong_classes_is_refused(world: World, tmp_path: Path):
    made = world.made["sms_spam"]
    trained = made.root / made.trained.folder
    bundle = shutil.copytree(trained / "bundle", tmp_path / "bundle")
    content = json.loads((bundle / "bundle.json").read_bytes())
    content["task"]["state"]["classes"].reverse()
    del content["digest"]
    content["digest"] = digest(content)
    (bundle / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
    expected = pq.read_table(trained / "probe_predictions.parquet")
    answer = made.predictor.task.answer(expected)
    for name, source in (("whole", trained / "bundle"), ("swapped", bundle)):
        write_package(
            tmp_path / name, source, made.probe, name="x", run_id="r", model_id="m", created=datetime.now(UTC)
        )
    assert verify_parity(tmp_path / "whole", trained / "probe.parquet", expected, answer, 1) == 0.0
    with pytest.raises(HeadframeError, match=r"'prediction' of 32 rows.*nothing was registered"):
        verify_parity(tmp_path / "swapped", trained / "probe.parquet", expected, answer, 1)
