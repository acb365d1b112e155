"""Boxes from raw photographs to a champion that answers for a folder, for one file and over HTTP alike."""

import base64
import json
from pathlib import Path

import fake_data
import pyarrow.parquet as pq
import yaml
from runs import ForkedRuns, fresh_project

PLAN = (
    "experiment=bccd_detector",
    "features.encoder.height=48",
    "features.encoder.width=64",
    "model.widths=[4,8,8]",
    "model.neck=8",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "evaluation.resamples=100",
    "task.least_score=0",
    "promotion.gates.minimum.value=0",
)


def test_photographs_become_a_champion_and_every_way_gets_its_boxes(forked_runs: ForkedRuns, tmp_path: Path) -> None:
    project = fresh_project(tmp_path / "project")
    mirror = fake_data.mirror("bccd")
    assert mirror is not None
    (project.conf / "dataset" / "bccd.yaml").write_text(yaml.safe_dump(fake_data.settings("bccd")))
    own = {"HEADFRAME_MIRROR": str(mirror)}
    outcome, _ = forked_runs.headframe(project, "run", *PLAN, **own)
    assert outcome["decision"]["champion"] == 1
    assert json.loads(outcome["smoke_test"]["response"])["predictions"][0]["boxes"]
    report = project.root / outcome["result"]["evaluated"]["folder"] / "report.html"
    assert "The images with the largest share of wrong boxes" in report.read_text()
    photos = mirror / "bccd" / "JPEGImages"
    for source in ("bccd", f"{photos}/", str(photos / "BloodImage_00029.jpg")):
        forked_runs.headframe(project, "predict", "bccd_detector", source, f"{Path(source).stem}.parquet")
    table, folder, alone = (
        pq.read_table(project.root / f"{name}.parquet") for name in ("bccd", "JPEGImages", "BloodImage_00029")
    )
    assert folder["row_id"].to_pylist() == sorted(each.name for each in photos.iterdir())
    assert folder["boxes"].equals(table["boxes"])
    assert alone["row_id"].to_pylist() == ["BloodImage_00029.jpg"]
    assert alone["boxes"][0] == folder["boxes"][29]
    photo = base64.b64encode((photos / "BloodImage_00029.jpg").read_bytes()).decode()
    body = json.dumps({"dataframe_records": [{"image": photo}]})
    code, answer, stderr = forked_runs.served(project, "serve", "bccd_detector", "--port", "0", body=body)
    assert (code, answer["status"]) == (0, 200), stderr
    assert answer["body"]["predictions"] == [{"boxes": alone["boxes"][0].as_py()}]
