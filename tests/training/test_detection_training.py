"""Boxes from raw files: a training with augmentations that move them is resumed to the bit, and its bundle predicts."""

import io
import json
import shutil
from typing import Any

import fake_data
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from headframe.config.load import load_plan
from headframe.config.plan.plan import Plan
from headframe.datasets.ingest import ingest
from headframe.datasets.table import Table
from headframe.places import Places
from headframe.prediction.bundle import load_predictor

TINY = [
    "experiment=bccd_detector",
    "features.encoder.height=48",
    "features.encoder.width=64",
    "model.widths=[4,8,8]",
    "model.neck=8",
    "trainer.max_epochs=3",
    "trainer.batch_size=6",
    "trainer.checkpoint_steps=1",
    "trainer.accelerator=cpu",
]


@pytest.fixture(scope="module")
def project(training_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("boxes") / "project"
    shutil.copytree(training_project.root / "conf", root / "conf")
    (root / "conf" / "dataset" / "bccd.yaml").write_text(yaml.safe_dump(fake_data.settings("bccd")))
    made = type(training_project)(root)
    ingest(load_plan(TINY, made.project).dataset, Places(root, fake_data.mirror("bccd")))
    return made


@pytest.fixture(scope="module")
def plan(project: Any) -> Plan:
    return load_plan(TINY, project.project)


def test_boxes_are_in_pixels_of_each_image_and_an_image_is_judged_by_itself(project: Any, plan: Plan) -> None:
    run = project.train_once(plan)
    predictor = load_predictor(run.folder / "bundle")
    stored = pq.read_table(run.folder / "predictions.parquet")
    assert stored.num_rows == 12  # validation and test
    found = predictor.predictions(Table.open(project.root / "data" / "bccd").read())
    names = predictor.prediction_schema.names
    assert sum(map(len, found["boxes"].to_pylist())) > 30
    assert found.slice(18, 12).equals(stored.select(names))
    small = Image.open(io.BytesIO(fake_photo())).resize((64, 48))
    stream = io.BytesIO()
    small.save(stream, "PNG")
    [whole, shrunk] = predictor.predictions(pa.table({"image": [fake_photo(), stream.getvalue()]}))["boxes"].to_pylist()
    assert max(each["x"] + each["width"] for each in whole) > 64
    assert max(each["x"] + each["width"] for each in shrunk) <= 64
    alone = predictor.predictions(pa.table({"image": [fake_photo()]}))["boxes"].to_pylist()
    assert json.dumps(alone) == json.dumps([whole])
    assert predictor.task.measure(stored)["map50"] >= 0


def fake_photo() -> bytes:
    mirror = fake_data.mirror("bccd")
    assert mirror is not None
    return (mirror / "bccd" / "JPEGImages" / "BloodImage_00000.jpg").read_bytes()
