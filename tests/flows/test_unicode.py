"""Letters of all kinds through a whole run: in labels, in the names of columns, in the project's folder."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runs import ForkedRuns, free_port, fresh_project, start

from headframe.config.project import Project

DATASET = """
# Labels and columns in letters of all kinds.
name: letters
title: Letters 字 😀
licence: CC0
citation: made up
sources:
  rows: {uri: "file:字 母.csv"}
reader:
  _target_: headframe.datasets.readers.delimited.Delimited
inputs: ["📏", "颜 色"]
target: "klass/é"
tasks: [classification]
split: {_target_: headframe.datasets.splits.HashSplitter, validation: 0.2, test: 0.3}
contract:
  columns:
    "📏": {dtype: float, min: 0, max: 10}
    "颜 色": {dtype: string}
    "klass/é": {dtype: string, one_of: ["😀👍🏽", 矿井, a/b]}
"""
LABELS = ("😀👍🏽", "矿井", "a/b")
COLOURS = ("röd", "蓝", "🟢")
PLAN = (
    "dataset=letters", "features=tabular", "model=logistic", "evaluation.resamples=100",
    'evaluation.slices=["颜 色"]',
)  # fmt: skip


def row(number: int) -> dict[str, Any]:
    """A row whose class follows from its colour."""
    return {"📏": number % 9 + number / 1000, "颜 色": COLOURS[number % 3]}


@pytest.fixture(scope="module")
def letters(forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """A run in a folder whose name has blanks and no letter of ASCII."""
    project = fresh_project(tmp_path_factory.mktemp("unicode") / "矿 山 项目 ⛏")
    (project.conf / "dataset" / "letters.yaml").write_text(DATASET, encoding="utf-8")
    lines = [",".join([*map(str, row(number).values()), LABELS[number % 3]]) for number in range(240)]
    (project.root / "字 母.csv").write_text("\n".join(["📏,颜 色,klass/é", *lines]) + "\n", encoding="utf-8")
    code, outcome, stderr = forked_runs.run(project, "run", *PLAN)
    assert code == 0, stderr
    return project, outcome


def test_letters_of_all_kinds_come_through_a_life(letters: tuple[Project, dict[str, Any]]) -> None:
    project, outcome = letters
    assert outcome["result"]["evaluated"]["metrics"]["accuracy"]["value"] == 1
    assert outcome["smoke_test"]["status"] == 200
    folder = project.root / outcome["result"]["evaluated"]["folder"]
    for name in ("report.html", "card.md"):
        page = (folder / name).read_text(encoding="utf-8")
        for text in ("Letters 字 😀", "颜 色", *COLOURS):
            assert text in page, f"{name} lacks {text}"
    assert all(label in (folder / "report.html").read_text(encoding="utf-8") for label in LABELS)


def test_a_file_of_such_rows_is_scored(forked_runs: ForkedRuns, letters: tuple[Project, dict[str, Any]]) -> None:
    project, _ = letters
    pq.write_table(pa.Table.from_pylist([row(number) for number in range(3)]), project.root / "行 📄.parquet")
    code, document, stderr = forked_runs.run(project, "predict", "letters", "行 📄.parquet", "出 📄.parquet")
    assert (code, document["rows"]) == (0, 3), stderr
    assert pq.read_table(project.root / "出 📄.parquet")["prediction"].to_pylist() == [*LABELS]


def test_such_rows_are_predicted_over_http(letters: tuple[Project, dict[str, Any]]) -> None:
    project, _ = letters
    port = free_port()
    process = start(project, "serve", "letters", "--port", str(port))
    try:
        body = json.dumps({"dataframe_records": [row(number) for number in range(3)]}, ensure_ascii=False).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        response = _post(request, process)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert [each["prediction"] for each in response["predictions"]] == [*LABELS]


def _post(request: urllib.request.Request, process: Any) -> Any:
    for _ in range(600):
        assert process.poll() is None, process.communicate()[1]
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except ConnectionRefusedError:
            pass
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
        time.sleep(0.2)
    pytest.fail("the server never listened")
