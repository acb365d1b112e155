"""Masks of images of three sizes, from raw files: learned from crops, resumed to the bit, predicted, served."""

import base64
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from discs import SIZES, png, write_discs
from PIL import Image, ImageDraw
from starlette.testclient import TestClient

from headframe.cells.images import decode_mask
from headframe.config.load import load_plan
from headframe.config.plan.plan import Plan
from headframe.datasets.ingest import ingest
from headframe.datasets.table import Table
from headframe.places import Places
from headframe.prediction.bundle import load_predictor
from headframe.prediction.predictor import Predictor
from headframe.registry.versions import ModelVersion
from headframe.serving.app import make_app
from headframe.serving.batch import write_predicted_rows

TINY = [
    "experiment=dsb2018_unet",
    "dataset=discs",
    "features.augment.crop.size=24",
    "model.width=4",
    "model.depth=2",
    "trainer.max_epochs=8",
    "trainer.batch_size=6",
    "trainer.evaluation_batch_size=5",
    "trainer.checkpoint_steps=1",
    "trainer.accelerator=cpu",
    "optimizer.lr=0.02",
]


@pytest.fixture(scope="module")
def project(training_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("masks") / "project"
    shutil.copytree(training_project.root / "conf", root / "conf")
    write_discs(root)
    made = type(training_project)(root)
    ingest(load_plan(TINY, made.project).dataset, Places(root))
    return made


@pytest.fixture(scope="module")
def plan(project: Any) -> Plan:
    return load_plan(TINY, project.project)


@pytest.fixture(scope="module")
def predictor(project: Any, plan: Plan) -> Predictor:
    return load_predictor(project.train_once(plan).folder / "bundle", batch_size=7)


@pytest.fixture(scope="module")
def rows(project: Any) -> pa.Table:
    return Table.open(project.root / "data" / "discs").read()


def test_discs_are_found_in_images_of_all_three_sizes(project: Any, plan: Plan, predictor: Predictor) -> None:
    stored = pq.read_table(project.train_once(plan).folder / "predictions.parquet")
    shapes = {decode_mask(each.as_py()).shape[::-1] for each in stored["mask"]}
    assert shapes == {*SIZES}
    measured = predictor.task.measure(stored.filter(pc.equal(stored["split"], "test")))
    assert measured["iou"] > 0.8
    assert measured["image_iou"] > 0.8


def test_an_image_has_one_mask_alone_in_batches_of_any_size_and_in_any_order(
    project: Any, plan: Plan, predictor: Predictor, rows: pa.Table
) -> None:
    stored = pq.read_table(project.train_once(plan).folder / "predictions.parquet")
    images = {row["__row_id__"]: row["image"] for row in rows.to_pylist()}
    mine = pa.table({"image": [images[name] for name in stored["row_id"].to_pylist()]})
    expected = stored.select(predictor.prediction_schema.names)
    found = predictor.predictions(mine)
    assert found.equals(expected), "batches of 7 and of 5"
    order = pa.array(np.random.default_rng(1).permutation(mine.num_rows))
    assert load_predictor(project.train_once(plan).folder / "bundle").batch_size == 5, "as in training"
    assert predictor.predictions(mine.take(order)).equals(found.take(order))
    for row in range(0, mine.num_rows, 4):
        assert predictor.predictions(mine.slice(row, 1)).equals(found.slice(row, 1))


def test_archives_folders_and_single_files_get_a_mask_for_each_image(
    project: Any, predictor: Predictor, rows: pa.Table, tmp_path: Path
) -> None:
    expected = predictor.predictions(rows)["mask"].to_pylist()
    with zipfile.ZipFile(project.root / "discs.zip") as archive:
        archive.extractall(tmp_path / "folder")
    one = tmp_path / "folder" / "top" / "04" / "images" / "04.png"
    for source, wanted in {
        project.root / "discs.zip": expected,  # as it came: the masks in it are no images
        tmp_path / "folder": expected,
        one: expected[4:5],
    }.items():
        target = tmp_path / "found.parquet"
        target.unlink(missing_ok=True)
        write_predicted_rows(predictor, str(source), target, project.root)
        found = pq.read_table(target)
        assert found["mask"].to_pylist() == wanted
    assert "04.png" in found[0][0].as_py()


def test_a_request_gets_masks_that_a_person_can_open(predictor: Predictor) -> None:
    image = Image.new("RGB", (50, 31), (20, 60, 110))
    ImageDraw.Draw(image).ellipse((10, 8, 24, 22), fill=(200, 120, 60))
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=95)
    with TestClient(make_app(predictor, ModelVersion("m", 1), max_rows=9, max_bytes=2**20)) as client:

        def ask(*images: bytes) -> Any:
            texts = [base64.b64encode(each).decode() for each in images]
            body = json.dumps({"dataframe_records": [{"image": text} for text in texts]})
            return client.post("/invocations", content=body, headers={"content-type": "application/json"})

        answers = ask(png(image), jpeg.getvalue()).json()["predictions"]
        refused = ask(png(image), b"no image")
    for answer in answers:
        mask = Image.open(io.BytesIO(base64.b64decode(answer["mask"])))
        assert mask.size == (50, 31)
        found = np.asarray(mask)
        assert found[15, 17] == 1
        assert found[2, 40] == 0
        assert answer["foreground"] == pytest.approx(found.mean())
        assert 0.5 < answer["confidence"] <= 1
    assert refused.status_code == 400
    assert "row 2" in refused.text
    assert "is no JPEG or PNG image" in refused.text
