"""Masks of images of three sizes: from raw files to a champion that answers for an archive and over HTTP."""

import base64
import json
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
from discs import SIZES, write_discs
from runs import ForkedRuns, fresh_project

from headframe.cells.images import decode_mask

TINY = (
    "experiment=dsb2018_unet",
    "dataset=discs",
    "features.augment.crop.size=24",
    "model.width=4",
    "model.depth=2",
    "trainer.max_epochs=8",
    "trainer.batch_size=6",
    "trainer.accelerator=cpu",
    "optimizer.lr=0.02",
    "evaluation.resamples=100",
    "~promotion.gates.validation",  # on as few rows nothing is shown to be better than anything
    "~promotion.gates.baselines",
)


def test_masks_are_alike_in_a_run_a_file_and_a_request(forked_runs: ForkedRuns, tmp_path: Path) -> None:
    project = fresh_project(tmp_path / "project")
    write_discs(project.root)
    outcome, stderr = forked_runs.headframe(project, "run", *TINY)
    assert outcome["decision"]["champion"] == 1, stderr
    folder = project.root / outcome["result"]["evaluated"]["folder"]
    plots = {each.stem for each in (folder / "plots").iterdir()}
    assert plots == {"learning_curves", "images", "areas", "worst_masks"}
    assert "with true and with predicted outlines" in (folder / "report.html").read_text()
    measured = json.loads((folder / "metrics.json").read_text())
    assert measured["metrics"].keys() == {"iou", "image_iou", "dice", "pixel_accuracy"}
    assert measured["metrics"]["iou"]["low"] < measured["metrics"]["iou"]["value"] > 0.8
    assert "otsu" in measured["baselines"]

    forked_runs.headframe(project, "predict", "discs", "discs.zip", "masks.parquet")
    found = pq.read_table(project.root / "masks.parquet")
    masks = dict(zip(found["row_id"].to_pylist(), found["mask"].to_pylist(), strict=True))
    name = "top/02/images/02.png"
    assert {decode_mask(each).shape[::-1] for each in masks.values()} == {*SIZES}
    with zipfile.ZipFile(project.root / "discs.zip") as archive:
        image = archive.read(name)
    body = json.dumps({"dataframe_records": [{"image": base64.b64encode(image).decode()}]})
    code, answer, stderr = forked_runs.served(project, "serve", "discs", "--port", "0", body=body)
    assert (code, answer["status"]) == (0, 200), stderr
    assert base64.b64decode(answer["body"]["predictions"][0]["mask"]) == masks[name]
