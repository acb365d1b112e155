"""Translations from a raw file of sentence pairs to a model that answers for a file and over HTTP alike."""

import json
from pathlib import Path

import fake_data
import pyarrow.parquet as pq
import yaml
from runs import ForkedRuns, fresh_project

PLAN = (
    "experiment=tatoeba_seq2seq",
    "model.hidden=32",
    "model.layers=1",
    "model.dropout=0",
    "optimizer.lr=0.01",
    "trainer.max_epochs=8",
    "trainer.batch_size=32",
    "trainer.accelerator=cpu",
    "method.beam=2",
    "task.length=16",
    "evaluation.resamples=100",
    "promotion.gates.minimum.value=0",
    "promotion.gates.budget.requests=5",
    "promotion.gates.budget.latency_p95_ms=60000",
)


def test_sentence_pairs_become_a_champion_and_every_way_gets_its_translations(
    forked_runs: ForkedRuns, tmp_path: Path
) -> None:
    project = fresh_project(tmp_path / "project")
    mirror = fake_data.mirror("tatoeba_cmn_eng")
    assert mirror is not None
    (project.conf / "dataset" / "tatoeba_cmn_eng.yaml").write_text(
        yaml.safe_dump(fake_data.settings("tatoeba_cmn_eng"))
    )
    own = {"HEADFRAME_MIRROR": str(mirror)}
    outcome, _ = forked_runs.headframe(project, "run", *PLAN, **own)
    assert outcome["decision"]["champion"] == 1
    report = (project.root / outcome["result"]["evaluated"]["folder"] / "report.html").read_text()
    assert "Largest errors" in report
    assert "not the probability of being right" in report
    forked_runs.headframe(project, "predict", "tatoeba_translation", "tatoeba_cmn_eng", "all.parquet")
    found = pq.read_table(project.root / "all.parquet")
    table = pq.read_table(project.root / "data" / "tatoeba_cmn_eng" / "table.parquet")
    body = json.dumps({"dataframe_records": [{"chinese": text} for text in table["chinese"].to_pylist()[:3]]})
    code, answer, stderr = forked_runs.served(project, "serve", "tatoeba_translation", "--port", "0", body=body)
    assert (code, answer["status"]) == (0, 200), stderr
    served = answer["body"]["predictions"]
    assert [each["translation"] for each in served] == found["translation"].to_pylist()[:3]
    assert all(each["translation"] for each in served)
    empty = json.dumps({"dataframe_records": [{"chinese": ""}]})
    code, answer, stderr = forked_runs.served(project, "serve", "tatoeba_translation", "--port", "0", body=empty)
    assert (code, answer["status"]) == (0, 400), stderr
    assert "column 'chinese' has no value in row 1" in answer["body"]["error"]
