"""A whole run through the command line: once, again, twice at once, and mistaken."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from given_overrides import last_of_each
from runs import SMALL, STAGES, ForkedRuns, digests, environment, forking_project, registered

from headframe.config.plan.data import ROW_ID
from headframe.config.project import Project

FinishedRun = tuple[Project, dict[str, Any], str]


def test_raw_data_becomes_a_champion_that_responds(finished_run: FinishedRun) -> None:
    project, outcome, stderr = finished_run
    assert outcome["decision"]["state"] == "champion"
    assert outcome["decision"]["champion"] == 1
    assert outcome["smoke_test"]["status"] == 200
    assert (project.root / outcome["result"]["evaluated"]["folder"] / "report.html").is_file()
    assert "engine: inline" in stderr
    assert "reused" not in stderr


def test_nothing_that_a_run_creates_is_writable_for_others(finished_run: FinishedRun) -> None:
    paths = [path for path in finished_run[0].root.rglob("*") if not path.is_symlink()]
    assert [path for path in paths if path.stat().st_mode & 0o002] == []


def test_the_same_command_again_reuses_every_stage_and_says_so(
    finished_run: FinishedRun, forked_runs: ForkedRuns
) -> None:
    project, outcome, _ = finished_run
    again, stderr = forked_runs.headframe(project, "run", *SMALL)
    assert again == outcome
    lines = [line for line in stderr.splitlines() if line.split(" ")[0] in STAGES]
    assert len(lines) == 9
    assert all("reused" in line for line in lines), stderr


def test_another_folder_gives_the_same_digests(
    finished_run: FinishedRun, forked_runs: ForkedRuns, tmp_path: Path
) -> None:
    project = forking_project(tmp_path / "elsewhere")
    other, _ = forked_runs.headframe(project, "run", *SMALL)
    assert digests(other) == digests(finished_run[1])
    [ours], [theirs] = (sorted((each.stages / "fit").glob("*/record.json")) for each in (project, finished_run[0]))
    assert ours.read_bytes() == theirs.read_bytes()


def test_the_run_says_what_the_training_took(finished_run: FinishedRun) -> None:
    from mlflow import MlflowClient

    project, outcome, _ = finished_run
    uri = f"sqlite:///{project.tracking_database}"
    metrics = MlflowClient(uri, uri).get_run(outcome["result"]["registered"]["run_id"]).data.metrics
    took = json.loads((project.root / outcome["result"]["trained"]["folder"] / ".cost.json").read_bytes())
    assert took.pop("resumed") is False
    assert {name: value for name, value in metrics.items() if name.startswith("cost/")} == {
        f"cost/{name}": value for name, value in took.items()
    }
    assert len(took) == 3


def test_a_changed_port_repeats_no_training(finished_run: FinishedRun, forked_runs: ForkedRuns) -> None:
    project, _, _ = finished_run
    _, stderr = forked_runs.headframe(project, "train", *SMALL, "serving.port=9999")
    lines = [line for line in stderr.splitlines() if line.startswith(("ingest", "validate", "fit"))]
    assert len(lines) == 3
    assert all("reused" in line for line in lines), stderr


def test_two_runs_at_once_in_one_folder_come_to_one_version(forked_runs: ForkedRuns, tmp_path: Path) -> None:
    project = forking_project(tmp_path / "both")
    for code, _, stderr in forked_runs.at_once(project, *[["run", *SMALL, "--json"]] * 2):
        assert code == 0, stderr
    assert registered(project) == (1, 1)


def test_a_worse_model_is_refused_with_exit_code_4(finished_run: FinishedRun, forked_runs: ForkedRuns) -> None:
    project, outcome, _ = finished_run
    document, _ = forked_runs.headframe(project, "run", *last_of_each(*SMALL, "trainer.max_epochs=1"), code=4)
    worse = document["result"]["evaluated"]["metrics"]["accuracy"]["value"]
    assert worse < outcome["result"]["evaluated"]["metrics"]["accuracy"]["value"]
    assert document["decision"]["state"] == "refused"
    assert document["decision"]["champion"] == 1
    assert document["smoke_test"]["response"] == outcome["smoke_test"]["response"]


def test_a_model_below_the_minimum_is_refused_with_exit_code_4(
    finished_run: FinishedRun, forked_runs: ForkedRuns
) -> None:
    project, _, _ = finished_run
    document, _ = forked_runs.headframe(
        project, "run", *SMALL, "promotion.gates.minimum.value=1.1", "promotion.model=strict", code=4
    )
    assert document["decision"]["state"] == "refused"
    assert "1.1" in document["decision"]["reason"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "model=nothing"), 2, ["model=nothing", "conf/model/nothing.yaml"]),
        (("run", "dataset=sms_spam", "features=tokens_word", "model=lstm"), 1, ["sms.tsv", "HEADFRAME_MIRROR"]),
        (("ingest", "dataset.sources.pixels.sha256=" + "0" * 64), 3, ["sha256", "0" * 64]),
        (("ingest", "+dataset.contract.columns.digit.max=5"), 3, ["digit", "5"]),
        (("run", "tracking.uri=sqlite:////dev/null/mlflow.db", *SMALL), 1, ["/dev/null/mlflow.db"]),
        (("predict", "digits@nobody", "digits", "out.parquet"), 2, ["digits", "nobody", "champion"]),
        (("frobnicate",), 2, ["frobnicate"]),
    ],
)
def test_a_mistake_is_one_sentence_and_the_right_code(
    arguments: tuple[str, ...], code: int, words: list[str], finished_run: FinishedRun, forked_runs: ForkedRuns
) -> None:
    came, _, stderr = forked_runs.printed(finished_run[0], *arguments, HEADFRAME_MIRROR="/nonexistent")
    assert came == code, stderr
    assert "Traceback" not in stderr
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("headframe: ")
    for word in words:
        assert word in last


def read_only(project: Project) -> list[str]:
    """The beginning of a command line that sees the project's folder mounted read-only; skips where none can be."""
    how = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)), "sh", "-c"]
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'
    probe = [*how, f'{mount} && ! touch "$0/probe"', str(project.root), "true"]
    try:
        allowed = subprocess.run(probe, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare, to mount a folder read-only")
    if allowed.returncode:
        pytest.skip(f"needs the right to mount a folder read-only: {allowed.stderr.strip()}")
    return [*how, mount, str(project.root)]


def test_a_project_mounted_read_only_can_be_used_but_not_changed(finished_run: FinishedRun, tmp_path: Path) -> None:
    project, _, _ = finished_run
    beginning = read_only(project)
    before = {path: path.stat().st_mtime_ns for path in project.root.rglob("*")}

    def call(*arguments: str) -> tuple[int, Any, str]:
        done = subprocess.run(
            [*beginning, sys.executable, "-m", "headframe", *arguments, "--json"],
            capture_output=True, text=True, check=False, env=environment(),
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout), done.stderr

    for arguments in (("run", *SMALL), ("ingest",), ("train", *SMALL)):
        code, document, stderr = call(*arguments)
        assert code == document["exit_code"] == 1, stderr
        assert "Traceback" not in stderr
        assert stderr.endswith(f"headframe: {document['error']}\n")
        assert str(project.root) in document["error"]
        assert "Read-only file system" in document["error"]
    code, document, stderr = call("doctor")
    [access] = [check for check in document if check["name"] == "access"]
    assert (code, access["state"]) == (1, "fail"), stderr
    assert "chmod" not in access["fix"]
    code, document, stderr = call("predict", "digits", "digits", str(tmp_path / "scored.parquet"))
    assert (code, document["rows"]) == (0, 1797), stderr
    assert (tmp_path / "scored.parquet").is_file()
    assert {path: path.stat().st_mtime_ns for path in project.root.rglob("*")} == before


def test_predictions_of_a_data_set_come_with_row_ids(
    finished_run: FinishedRun, forked_runs: ForkedRuns, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    project, _, _ = finished_run
    document, _ = forked_runs.headframe(project, "predict", "digits", "digits", str(tmp_path / "scored.parquet"))
    scored = pq.read_table(tmp_path / "scored.parquet")
    table = pq.read_table(project.data / "digits" / "table.parquet", columns=[ROW_ID, "digit"])
    assert document["rows"] == scored.num_rows == 1797
    assert scored["row_id"].to_pylist() == table[ROW_ID].to_pylist()
    hits = [a == b for a, b in zip(scored["prediction"].to_pylist(), table["digit"].to_pylist(), strict=True)]
    assert sum(hits) / len(hits) > 0.8


def test_the_plan_can_be_printed_without_running(forked_runs: ForkedRuns, tmp_path: Path) -> None:
    project = forking_project(tmp_path / "printed")
    code, printed, stderr = forked_runs.printed(project, "run", "--cfg", *SMALL)
    assert code == 0, stderr
    assert "hidden:\n  - 32" in printed
    assert not project.state.exists()
