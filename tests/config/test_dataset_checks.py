"""A data set that could not be read, split or predicted is refused before anything is fetched."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from headframe.config.load import load_plan
from headframe.config.plan.component import COLUMN_TYPES, column_type_target
from headframe.config.plan.data import ColumnContract
from headframe.config.project import Project
from headframe.config.targets.find_definition import class_constant, submodules
from headframe.errors import ConfigurationError

REPOSITORY = Path(__file__).resolve().parents[2]
READERS, SPLITS = "headframe.datasets.readers", "headframe.datasets.splits"
TYPES = submodules(COLUMN_TYPES)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("made")
    (root / "src").mkdir()
    (root / "conf").mkdir()
    for group in (REPOSITORY / "conf").iterdir():
        (root / "conf" / group.name).symlink_to(group) if group.name != "dataset" else (root / "conf/dataset").mkdir()
    return Project(root)


def refusal(project: Project, change: dict[str, Any], columns: dict[str, Any], *, fitting: bool = False) -> str:
    """The message on a data set of two columns, `a` and `b`, that is changed so; empty where it is accepted."""
    made = {
        "name": "made", "title": "Made", "licence": "none", "citation": "nobody",
        "sources": {"rows": {"uri": "file:rows.csv"}},
        "reader": {"_target_": f"{READERS}.delimited.Delimited"},
        "inputs": ["a"], "target": "b", "tasks": ["classification"],
        "split": {"_target_": f"{SPLITS}.HashSplitter", "validation": 0.2, "test": 0.2, "salt": "x"},
        "contract": {"columns": {"a": {"dtype": "float"}, "b": {"dtype": "string"}, **columns}},
        **change,
    }  # fmt: skip
    (project.conf / "dataset" / "made.yaml").write_text(yaml.safe_dump(made))
    overrides = ["dataset=made", "features=tabular", "model=logistic", "baseline=none"]
    try:
        load_plan(overrides, project, fitting=fitting)
    except ConfigurationError as error:
        return str(error)
    return ""


def test_a_data_set_whose_parts_fit_is_accepted(project: Project):
    assert refusal(project, {}, {}, fitting=True) == ""


@pytest.mark.parametrize("fitting", [True, False], ids=["run", "ingest"])
@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        ({"target": None}, {}, "task classification predicts one column, but dataset made has no target; name one"),
        ({}, {"b": {"dtype": "float"}}, "task classification predicts bool or int or string, but 'b' of dataset"),
        ({}, {"b": {"dtype": "list"}}, "columns.b.dtype=list: reader Delimited reads single cells, which"),
        ({}, {"b": {"dtype": "tensor", "shape": [2]}}, "columns.b.dtype=tensor: reader Delimited reads single"),
        ({}, {"c": {"dtype": "tensor"}}, "dataset.contract.columns.c.shape has no value; a tensor needs one"),
        ({}, {"a": {"dtype": "string", "min": 0}}, "columns.a.min=0.0: this is not checked for string, which"),
        ({}, {"a": {"dtype": "int", "matches": "x"}}, "columns.a.matches=x: this is not checked for int"),
        (
            {"split": {"_target_": f"{SPLITS}.TimeSplitter", "train": 5, "validation": 5, "test": 5}},
            {},
            "dataset.time has no value, but TimeSplitter splits by time; name the column that orders rows",
        ),
        (
            {"split": {"_target_": f"{SPLITS}.TimeSplitter", "train": 5, "validation": 5, "test": 5}, "time": "b"},
            {},
            "dataset.time=b: the column orders the rows, but it is string, of which 10 may come before 9",
        ),
        (
            {"time": "b"},  # whatever splits the rows: the leakage gate compares times, too
            {},
            "dataset.time=b: the column orders the rows, but it is string",
        ),
        (
            {"split": {"_target_": f"{SPLITS}.PredefinedSplitter", "validation": 0.1, "salt": "x"}},
            {},
            "dataset.split.column=part: dataset.contract.columns has no such column; choose one of a, b",
        ),
        (
            {"reader": {"_target_": f"{READERS}.pixel_rows.PixelRows", "image": "a", "label": "b"}},
            {},
            "columns.a.dtype=float: PixelRows reads a tensor into the column that dataset.reader.image names",
        ),
        (
            {"reader": {"_target_": f"{READERS}.pixel_rows.PixelRows", "image": "a"}},
            {"a": {"dtype": "tensor", "shape": [2]}},
            "dataset.reader.label=label: dataset.contract.columns has no such column; choose one of a, b",
        ),
        (
            {"reader": {"_target_": f"{READERS}.idx.Idx", "image": "a", "label": "b", "parts": {"x": ["r", "r"]}}},
            {"a": {"dtype": "tensor", "shape": [2]}, "part": {"dtype": "list"}},
            "columns.part.dtype=list: Idx reads a string into the column that dataset.reader.part names",
        ),
    ],
)  # fmt: skip
def test_what_could_not_succeed_is_refused_at_once(project: Project, change, columns, message, fitting):
    assert message in refusal(project, change, columns, fitting=fitting)


@pytest.mark.parametrize("dtype", sorted(TYPES))
def test_every_type_of_column_says_which_keys_of_a_contract_it_checks(dtype: str):
    checked = class_constant(column_type_target(dtype), "constraints", REPOSITORY / "src")
    assert {*checked} <= ColumnContract.model_fields.keys() - {"dtype", "nullable"}


def test_all_keys_that_are_missing_come_at_once(project: Project):
    (project.conf / "dataset" / "bare.yaml").write_text("name: bare\nlicense: MIT\ninputs: [a]\n")
    with pytest.raises(ConfigurationError) as refused:
        load_plan(["dataset=bare"], project)
    text = str(refused.value)
    assert "dataset.license: the plan has no such key; did you mean 'licence'?" in text
    wanted = ("title", "licence", "citation", "sources", "reader", "split", "contract")
    assert all(f"dataset.{key}" in text for key in wanted), text
    (project.conf / "dataset" / "blank.yaml").write_text(
        "name: blank\ntitle: ???\nlicence: ???\nreader:\n  delimiter: ???\n"
    )
    with pytest.raises(
        ConfigurationError, match=r"dataset\.licence, dataset\.reader\.delimiter and dataset\.title have no value"
    ):
        load_plan(["dataset=blank"], project)
