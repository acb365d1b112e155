"""Sources that are damaged or cannot be learned from: one sentence, exit code 3, and nothing that was there is lost."""

import socket
from typing import Any

import pytest
from runs import ForkedRuns, forking_project

from headframe.config.project import Project
from headframe.datasets.table import Table
from headframe.digests import file_digest

FLOWERS = """
# Flowers, whose source may change.
name: flowers
title: Flowers
licence: CC0
citation: made up
sources:
  rows: {uri: "file:flowers.csv"}
reader:
  _target_: headframe.datasets.readers.delimited.Delimited
inputs: [length, colour]
target: kind
tasks: [classification]
split: {_target_: headframe.datasets.splits.PredefinedSplitter, column: part}
contract:
  columns:
    length: {dtype: float, min: 0, max: 10}
    colour: {dtype: string}
    kind: {dtype: string}
    part: {dtype: string, one_of: [train, validation, test]}
"""
PLAN = ("dataset=flowers", "features=tabular", "model=logistic", "evaluation.resamples=100")
HEADER = "length,colour,kind,part\n"
ROWS = [
    f"{row % 7 + row / 1000},{'red' if row % 2 else 'blue'},{'rose' if row % 2 else 'iris'},{part}"
    for place, part in enumerate(("train", "validation", "test"))
    for row in range(place * 60, place * 60 + 60)
]
GOOD = HEADER + "\n".join(ROWS) + "\n"
LAST = ROWS[-1]


def changed(cell: str, value: str) -> bytes:
    """The good file with one cell of its last row spelt otherwise."""
    assert LAST.count(cell) == 1
    return (HEADER + "\n".join([*ROWS[:-1], LAST.replace(cell, value)]) + "\n").encode()


NUMBER, COLOUR, KIND, _ = LAST.split(",")
UNREADABLE = {
    "missing column": (GOOD.replace("length", "width", 1).encode(), ["flowers.csv", "column 'length' is missing"]),
    "wrong type": (changed(NUMBER, "long"), ["line 181", "column 'length'", "'long'"]),
    "NaN": (changed(NUMBER, "nan"), ["line 181", "column 'length'", "'nan'", "no finite number"]),
    "infinity": (changed(NUMBER, "-inf"), ["line 181", "column 'length'", "'-inf'", "no finite number"]),
    "empty file": (b"", ["flowers.csv", "is empty"]),
    "header only": (HEADER.encode(), ["flowers", "no rows that can be read"]),
    "latin-1": (changed(COLOUR, "gr\u00fcn").decode().encode("latin-1"), ["line 181", "is not UTF-8 text"]),
    "binary": (bytes(range(256)) * 50, ["flowers.csv"]),
}
"""By what is wrong with it: a file that cannot become a table, and words of the sentence that says so."""
UNLEARNABLE = {
    "out of range": (changed(NUMBER, "11"), ["'length'", "at most 10", "1 of 180 rows"]),
    "one class only": (GOOD.replace("iris", "rose").encode(), ["'kind'", "only 'rose'", "training rows"]),
    "a class that training never saw": (changed(KIND, "\u5170\u82b1"), ["'kind'", "class '\u5170\u82b1'"]),
}
"""By what is wrong with it: a file that becomes a table, and words of the sentence of validation or training."""


def held(project: Project) -> dict[str, str]:
    """The digest of the table's files, of the list of its versions and of each model in the registry's folder."""
    found = [*project.data.rglob("*"), project.root / "data.dvc", *(project.state / "artifacts").rglob("*")]
    files = {path.relative_to(project.root).as_posix(): file_digest(path) for path in found if path.is_file()}
    assert len(files) > 8, files
    return files


def champion(project: Project) -> tuple[int, int]:
    """The champion's version, and how many versions there are."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{project.tracking_database}"
    client = MlflowClient(uri, uri)
    version = client.get_model_version_by_alias("flowers", "champion").version
    return int(version), len(client.search_model_versions("name='flowers'"))


@pytest.fixture(scope="module")
def flowers(forked_runs: ForkedRuns, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    """A project with a champion, and the outcome of its run."""
    project = forking_project(tmp_path_factory.mktemp("flowers") / "project")
    (project.conf / "dataset" / "flowers.yaml").write_text(FLOWERS)
    (project.root / "flowers.csv").write_text(GOOD)
    code, outcome, stderr = forked_runs.run(project, "run", *PLAN)
    assert code == 0, stderr
    return project, outcome


def fails(forked_runs: ForkedRuns, project: Project, content: bytes, words: list[str]) -> None:
    """Put a file in the place of the source, run, and return the error that is reported."""
    (project.root / "flowers.csv").write_bytes(content)
    code, document, stderr = forked_runs.run(project, "run", *PLAN)
    assert code == 3, stderr
    assert "Traceback" not in stderr
    last = stderr.strip().splitlines()[-1]
    assert last == f"headframe: {document['error']}"
    assert document["exit_code"] == 3
    for word in words:
        assert word in last


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_file_that_cannot_become_a_table_changes_nothing(
    what: str, forked_runs: ForkedRuns, flowers: tuple[Project, dict[str, Any]]
) -> None:
    project, _ = flowers
    before = held(project)
    fails(forked_runs, project, *UNREADABLE[what])
    assert held(project) == before
    assert champion(project) == (1, 1)
    assert not (project.state / "collecting" / "flowers").exists(), "something half-written is left"


@pytest.mark.parametrize("what", UNLEARNABLE)
def test_rows_that_cannot_be_learned_from_leave_the_champion_and_the_former_version(
    what: str, forked_runs: ForkedRuns, flowers: tuple[Project, dict[str, Any]]
) -> None:
    project, outcome = flowers
    fails(forked_runs, project, *UNLEARNABLE[what])
    assert champion(project) == (1, 1)
    table = outcome["result"]["data"]["validated"]["table"]["digest"]
    code, _, stderr = forked_runs.run(project, "data", "restore", "flowers", table)
    assert code == 0, stderr
    assert Table.open(project.data / "flowers").digest == table


def test_after_all_of_that_the_champion_responds_and_the_good_file_is_known(
    forked_runs: ForkedRuns, flowers: tuple[Project, dict[str, Any]]
) -> None:
    project, outcome = flowers
    (project.root / "flowers.csv").write_text(GOOD)
    code, again, stderr = forked_runs.run(project, "run", *PLAN)
    assert code == 0, stderr
    assert again == outcome
    code, document, stderr = forked_runs.run(
        project, "predict", "flowers", "flowers", str(project.root / "scored.parquet")
    )
    assert (code, document["rows"]) == (0, len(ROWS)), stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["serve", "flowers", "--port"], "cannot listen on 127.0.0.1:{} (Address already in use); choose another"),
        (["up", "--prefect-port"], "port {} for prefect cannot be used (Address already in use); choose another"),
        (["up", "--mlflow-port"], "port {} for mlflow cannot be used (Address already in use); choose another"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_busy_port_is_one_sentence_and_code_1(
    arguments: list[str], sentence: str, forked_runs: ForkedRuns, flowers: tuple[Project, dict[str, Any]]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, document, stderr = forked_runs.run(flowers[0], *arguments, str(port))
    assert code == document["exit_code"] == 1
    assert document["error"].startswith(sentence.format(port))
    assert stderr.endswith(f"headframe: {document['error']}\n")
    assert "Traceback" not in stderr
    assert not (flowers[0].state / "servers.json").exists()
