"""A task of quite another kind, boxes on images, goes the way of all predictions: only the task knows its columns."""

import base64
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from headframe.config.plan.data import ROW_ID, ColumnContract
from headframe.datasets.readers.delimited import Delimited
from headframe.errors import ConfigurationError, DataError, HeadframeError, Refused
from headframe.evaluation.intervals import Resampling
from headframe.evaluation.metrics import compute_metrics
from headframe.examples.prepare import PreparedData
from headframe.features.images import Images
from headframe.gates.comparison import ChampionComparison
from headframe.gates.parity import Parity
from headframe.gates.rows import VersionRows, replaced
from headframe.metrics.statistics import mean
from headframe.models.ensembles import Mean
from headframe.prediction.answers import compare_answers
from headframe.prediction.predictor import EnsemblePredictor, SinglePredictor
from headframe.prediction.schema import to_frame
from headframe.registry.loader import PyfuncModel
from headframe.registry.package import _columns, _complete, _through_pandas
from headframe.registry.versions import ModelVersion
from headframe.serving.app import make_app
from headframe.serving.batch import write_predicted_rows
from headframe.serving.smoke_request import _difference, request_content, send_request
from headframe.tasks.base import Task
from headframe.training import outcome

TRUE = pa.list_(pa.struct([("x", pa.int64()), ("y", pa.int64())]))
FOUND = pa.list_(pa.struct([("x", pa.int64()), ("y", pa.int64()), ("score", pa.float64())]))
HEAT = pa.fixed_shape_tensor(pa.float32(), [4, 4])
SIZE = 4


class Boxes(Task):
    """Bright places of an image; the truth are a list of places and their number."""

    kind = "detection"
    truth_columns = ("places", "number")
    primary_metric = "missed"
    higher_is_better = False

    def fit(self, target):
        self.column_ = target.column_names[0]

    def targets(self, target):
        cells = target[self.column_].to_pylist()
        found = np.full((len(cells), SIZE, 2), -1)
        for row, cell in enumerate(cells):
            for place, each in enumerate(cell):
                found[row, place] = each["x"], each["y"]
        return {"places": found, "number": np.array([len(cell) for cell in cells])}

    def truth(self, targets):
        places = [
            [{"x": int(x), "y": int(y)} for x, y in row[:many]]
            for row, many in zip(targets["places"], targets["number"], strict=True)
        ]
        return pa.table({"places": pa.array(places, TRUE), "number": targets["number"]})

    @property
    def prediction_schema(self):
        return pa.schema([("boxes", FOUND), ("heat", HEAT), ("raw", pa.binary())])

    def answer(self, predictions):
        return predictions.select(["boxes", "raw"])

    def statistics(self, predictions):
        found, true = predictions["boxes"].to_pylist(), predictions["places"].to_pylist()
        many = [abs(len(mine) - len(other)) for mine, other in zip(found, true, strict=True)]
        return {"missed": mean(np.array(many, dtype=np.float64))}

    def plots(self, predictions, validation=None):
        return {}

    def state(self):
        return {"column": self.column_}

    def restore(self, state):
        self.column_ = state["column"]


def detected(inputs: np.ndarray, least: float = 1.2) -> pa.Table:
    """Find bright places; each image by itself."""
    images = inputs[:, 0].astype(np.float64)
    boxes = [
        [{"x": int(x), "y": int(y), "score": float(image[y, x])} for y, x in np.argwhere(image > least)[:SIZE]]
        for image in images
    ]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(images.astype(np.float32).ravel()), 16)
    heat = pa.ExtensionArray.from_storage(HEAT, flat)
    raw = pa.array([image.astype(np.float32).tobytes()[:4] for image in images], pa.binary())
    return pa.table({"boxes": pa.array(boxes, FOUND), "heat": heat, "raw": raw})


def rows(many: int = 40) -> pa.Table:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (many, 4, 4, 1)).astype(np.uint8)
    images[::7] = 0  # on which nothing is found
    places = [[{"x": 1, "y": 2}] * (row % 3) for row in range(many)]
    return pa.table(
        {
            ROW_ID: [f"r{row}" for row in range(many)],
            "image": pa.FixedShapeTensorArray.from_numpy_ndarray(images),
            "places": pa.array(places, TRUE),
        }
    )


def predictor(model: Any = detected, batch_size: int = 16) -> SinglePredictor:
    given, task, encoder = rows(), Boxes(), Images()
    task.fit(given.select(["places"]))
    encoder.fit(given, ("image",))
    contract = {"image": ColumnContract(dtype="string")}  # which bounds nothing
    schema = given.select(["image"]).schema
    return SinglePredictor(schema, Delimited(), task, encoder, model, contract=contract, batch_size=batch_size)


def test_a_row_alone_in_a_batch_and_shuffled_has_the_same_prediction():
    given, whole = rows(), predictor().predictions(rows())
    assert whole.schema == Boxes().prediction_schema
    assert [] in whole["boxes"].to_pylist(), "nothing found is a prediction"
    for size in (1, 7, 100):
        assert compare_answers(whole, predictor(batch_size=size).predictions(given)).within(0.0)
    order = pa.array(np.random.default_rng(1).permutation(40))
    assert compare_answers(whole.take(order), predictor().predictions(given.take(order))).within(0.0)
    assert compare_answers(whole.slice(5, 1), predictor().predictions(given.slice(5, 1))).within(0.0)
    assert predictor().predictions(given.slice(0, 0)).schema == whole.schema
    assert [part.num_rows for part in predictor().batches(given)] == [16, 16, 8]


def _nan_in_a_box(inputs: np.ndarray) -> pa.Table:
    found = detected(inputs)
    cells = found["boxes"].to_pylist()
    cells[3] = [{"x": 0, "y": 0, "score": float("nan")}]
    return found.set_column(0, "boxes", pa.array(cells, FOUND))


def _infinite_tensor(inputs: np.ndarray) -> pa.Table:
    return detected(np.where(inputs == inputs.max(), np.inf, inputs))


@pytest.mark.parametrize("model", [_nan_in_a_box, _infinite_tensor])
def test_no_nan_or_infinity_passes_wherever_in_a_prediction_it_is(model: Any):
    with pytest.raises(DataError, match="the model predicts NaN or infinity for rows 1 to 16; if they hold"):
        predictor(model).predictions(rows())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda inputs: detected(inputs).select(["boxes"]), r"16 rows of 'boxes' \(.*\) for rows 1 to 16, but task"),
        (lambda inputs: detected(inputs[1:]), "predicts 15 rows of"),
    ],
)
def test_other_columns_or_rows_than_the_task_has_are_refused(model: Any, words: str):
    with pytest.raises(HeadframeError, match=words):
        predictor(model).predictions(rows())


def test_predictions_that_cannot_be_merged_make_no_ensemble():
    whole = EnsemblePredictor(Boxes(), {"one": predictor(), "other": predictor()}, Mean())
    with pytest.raises(ConfigurationError, match="predictions of task detection cannot be merged"):
        whole.predictions(rows())


def test_mlflow_gets_columns_and_answer_and_their_types():
    given, made = rows(), predictor()
    model = PyfuncModel(made)
    for output, expected in (("predictions", made.predict(given)), ("columns", made.predictions(given))):
        found = _through_pandas(model.predict(to_frame(given.select(["image"])), {"output": output}))
        assert compare_answers(_through_pandas(to_frame(expected)), found).within(0.0), output
        assert found.column_names == expected.column_names == _columns(_complete(expected.schema)).input_names()
    other = _through_pandas(PyfuncModel(predictor(lambda inputs: detected(inputs, 1.3))).predict(to_frame(given)))
    assert "'boxes' of" in str(compare_answers(_through_pandas(to_frame(made.predict(given))), other))


def test_rest_and_a_file_give_every_type():
    given, made = rows(), predictor()
    body = request_content(given.select(["image"]).slice(0, 9))
    with TestClient(make_app(made, ModelVersion("boxes", 1), max_rows=50)) as client:
        answered, columns = (
            client.post("/invocations", json={**body, "params": {"output": output}}).json()["predictions"]
            for output in ("predictions", "columns")
        )
    expected = made.predictions(given.slice(0, 9))
    for row, (answer, column, cells) in enumerate(zip(answered, columns, expected.to_pylist(), strict=True)):
        raw = base64.b64encode(cells["raw"]).decode()
        assert answer == {"boxes": cells["boxes"], "raw": raw}
        assert column == {**answer, "heat": expected["heat"].combine_chunks().to_numpy_ndarray()[row].tolist()}


def test_a_response_is_compared_with_what_was_evaluated():
    given, made = rows().select(["image"]), predictor()
    stored = made.predictions(given)
    for model, words in (
        (detected, ""),
        (lambda inputs: detected(inputs + 0.01), "boxes is off by 0.01"),
        (lambda inputs: detected(inputs, 9.0), "boxes is [] and was [{'x'"),
    ):
        status, response = send_request(predictor(model), ModelVersion("boxes", 1), given.slice(1, 1))
        assert status == 200
        found = _difference(json.loads(response)["predictions"], stored.slice(1), made.task)
        assert found.startswith(words) if words else not found


def test_a_file_holds_lists_and_bytes(tmp_path: Path):
    given, made = rows(), predictor()
    pq.write_table(given.select(["image"]), tmp_path / "rows.parquet")
    many = write_predicted_rows(made, str(tmp_path / "rows.parquet"), tmp_path / "found.parquet", tmp_path)
    found = pq.read_table(tmp_path / "found.parquet")
    assert (many, found.column_names) == (40, ["row_id", "boxes", "raw"])
    assert found.drop_columns(["row_id"]).equals(made.predict(given).combine_chunks())


def trained(folder: Path) -> tuple[PreparedData, pa.Table]:
    """Write what a training leaves in its folder; return its predictions."""
    folder.mkdir()
    made = predictor()
    splits = np.array(["train"] * 8 + ["validation"] * 12 + ["test"] * 20)
    dataset: Any = SimpleNamespace(inputs=("image",), target="places", repeats=True, repeated_columns=(), group=())
    prepared = PreparedData(dataset, rows(), splits, made.task, SimpleNamespace())
    outcome.write_outcome(folder, prepared, made, made, [])
    return prepared, pq.read_table(folder / "predictions.parquet")


def test_the_file_of_predictions_has_truth_and_prediction_in_order(tmp_path: Path):
    prepared, found = trained(tmp_path / "trained")
    assert found.column_names == ["row_id", "split", "places", "number", "boxes", "heat", "raw"]
    assert found["row_id"].to_pylist() == [f"r{row}" for row in range(8, 40)]
    assert found["places"].to_pylist() == prepared.rows["places"].to_pylist()[8:]
    probe, kept = (pq.read_table(tmp_path / "trained" / f"{name}.parquet") for name in ("probe", "probe_predictions"))
    assert compare_answers(kept, predictor().predictions(probe)).within(0.0)


def test_predictions_are_written_in_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _, whole = trained(tmp_path / "whole")
    monkeypatch.setattr(outcome, "GROUP_BYTES", 1)
    _, found = trained(tmp_path / "parts")
    assert pq.read_metadata(tmp_path / "whole" / "predictions.parquet").num_row_groups == 1
    assert pq.read_metadata(tmp_path / "parts" / "predictions.parquet").num_row_groups == 2
    assert found.equals(whole)


def test_metrics_compare_rows_by_every_column_of_the_truth(tmp_path: Path):
    _, found = trained(tmp_path / "trained")
    how = Resampling(0.95, 200, 1)
    few = replaced(found, predictor(lambda inputs: detected(inputs, 9.0)).predictions(rows().slice(8)))
    measured = compute_metrics(Boxes(), found, {"other": few.take(pa.array(np.arange(31, -1, -1)))}, how)
    assert measured.baselines["other"].difference["missed"].value > 0
    for column in ("places", "number"):
        moved = few.set_column(few.column_names.index(column), column, few[column].take(pa.array([*range(1, 32), 0])))
        with pytest.raises(DataError, match="the baseline has other targets"):
            compute_metrics(Boxes(), found, {"other": moved}, how)


def version_rows(folder: Path, prepared: PreparedData, predictions: pa.Table) -> VersionRows:
    """The rows that gates look at, of a version without a registry."""
    file = folder / "signed.parquet"
    pq.write_table(predictions, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    signed = SimpleNamespace(payload={"predictions": sha256}, signer=SimpleNamespace(name="Ann"))
    request = SimpleNamespace(version=ModelVersion("boxes", 1), champion=None)
    plan = SimpleNamespace(dataset=prepared.dataset)
    records = SimpleNamespace(signed=signed, request=request, plan=plan, task=prepared.task, file=lambda name: file)
    return VersionRows(SimpleNamespace(records=records, prepared=prepared, table=None))


def test_gates_take_the_truth_from_the_table_and_predictions_as_they_are(tmp_path: Path):
    prepared, found = trained(tmp_path / "trained")
    judged = version_rows(tmp_path, prepared, found)
    assert judged.predictions.equals(found.slice(12))
    assert judged.metrics == {"missed": judged.value}
    assert ChampionComparison(judged).incomparable is None
    assert len(judged.digest) == 64
    again = predictor().predictions(rows().slice(20))
    context: Any = SimpleNamespace(rows=judged, records=judged.records)
    judged.records.model = None
    for raw, verdict in ((again["raw"], "equal"), (again["raw"].take(pa.array([1] * 20)), "different")):
        packaged = replaced(judged.predictions, again.set_column(2, "raw", raw))
        judged.predict = lambda _, found=packaged: found
        assert Parity().judge(context).verdict == verdict
    for column in ("places", "number"):
        other = found.set_column(
            found.column_names.index(column), column, found[column].take(pa.array([*range(1, 32), 0]))
        )
        with pytest.raises(Refused, match=r"targets in the predictions of models:/boxes/1 are not those of its table"):
            _ = version_rows(tmp_path, prepared, other).predictions
