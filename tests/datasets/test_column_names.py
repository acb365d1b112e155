"""Columns of a user's own may have any name but the two that Headframe adds to every table."""

import csv
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headframe.config.plan.data import CONTENT, ROW_ID, DatasetConfig
from headframe.config.plan.task import TaskConfig
from headframe.datasets.ingest import ingest
from headframe.datasets.splits import split
from headframe.datasets.table import Table
from headframe.evaluation.slices import append_contents, row_positions
from headframe.examples.framing import RowFraming
from headframe.examples.prepare import prepare
from headframe.features.tabular import Tabular
from headframe.places import Places
from headframe.tasks.forecasting import Forecasting
from headframe.validation.validate import validate

OURS = ["content", "row_id", "split", "prediction", "target", "step", "after", "part", "score_a", "a", "a.b"]
NAMES = st.sampled_from(OURS) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
CLASSIFICATION = TaskConfig.model_validate(
    {"_target_": "headframe.tasks.classification.Classification", "kind": "classification", "examples": "row"}
)


def dataset_of(names: list[str], **settings: Any) -> DatasetConfig:
    *inputs, target = names
    return DatasetConfig.model_validate({
        "name": "own", "title": "Own", "licence": "CC0", "citation": "nobody",
        "sources": {"own": {"uri": "file:own.csv"}},
        "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited"},
        "inputs": inputs, "target": target, "tasks": ["classification"],
        "split": {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.3, "test": 0.3},
        "contract": {
            "columns": {**{name: {"dtype": "int", "min": 0} for name in inputs}, target: {"dtype": "string"}}
        },
        **settings,
    })  # fmt: skip


@settings(max_examples=15)
@given(st.lists(NAMES.map(str.strip).filter(len), min_size=3, max_size=5, unique=True))
@example(["content", "row_id", "split", "prediction", "target"])
@example(["a", "a.b", "part"])
def test_any_name_goes_from_the_file_to_the_examples(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    places = Places(tmp_path_factory.mktemp("own"))
    rows = [[*range(at, at + len(names) - 1), "ab"[at % 2]] for at in range(60)]
    with (places.root / "own.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([names, *rows])
    dataset = dataset_of(names)
    record = ingest(dataset, places)
    table = Table.open(places.root / record.folder)
    read = table.read(names)
    assert read.column_names == names
    assert [list(row.values()) for row in read.to_pylist()] == rows
    assert [batch.schema.names for batch in table.batches(names[:1])] == [names[:1]]
    validate(dataset, record, places.of_step(places.root / "step"))
    split(dataset, record, places)
    prepared = prepare(dataset, CLASSIFICATION, table)
    encoder = Tabular()
    encoder.fit(prepared.training_rows(), dataset.inputs)
    assert encoder.encode(prepared.rows).shape == (60, len(names) - 1)
    predictions = pa.table({"row_id": prepared.row_ids(prepared.positions("test", RowFraming()))})
    assert row_positions(predictions, table.read([ROW_ID, *names])).null_count == 0
    assert append_contents(predictions, table, dataset.inputs).column_names == ["row_id", "content"]


@pytest.mark.parametrize("name", [ROW_ID, CONTENT])
def test_our_own_two_names_are_refused_before_anything_is_read(name: str) -> None:
    with pytest.raises(ValidationError, match=f"a column may not be called '{name}', which Headframe adds"):
        dataset_of(["x", name, "y"])


def test_variables_of_a_forecast_keep_their_names_beside_the_counter() -> None:
    task = Forecasting(2)
    task.fit(pa.table({"step": [1.0, 2.0, 4.0], "step_": [0.0, 1.0, 0.0]}))
    decoded = task.decode(task.scores(pa.array([0.0] * 4).to_numpy().reshape(1, 2, 2)))
    assert decoded.column_names == ["step__", "step", "step_"]
    assert decoded["step__"].to_pylist() == [1, 2]
