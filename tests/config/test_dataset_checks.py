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
    """A project for data sets of its own; with one gate, since each costs as much to compose as a data set."""
    root = tmp_path_factory.mktemp("made")
    for folder in ("src", "conf/dataset", "conf/promotion"):
        (root / folder).mkdir(parents=True)
    for group in (REPOSITORY / "conf").iterdir():
        if not (root / "conf" / group.name).exists():
            (root / "conf" / group.name).symlink_to(group)
    shipped = (REPOSITORY / "conf" / "promotion" / "solo.yaml").read_text()
    lines = [line for line in shipped.splitlines(keepends=True) if "/gate@" not in line or "minimum" in line]
    (root / "conf" / "promotion" / "solo.yaml").write_text("".join(lines))
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


YES_NO = '; YAML takes yes, no, on, off, true and false for truth values: write "yes" or the like in quotes'
NUMBER = '; YAML takes 012, 1_000 or 1e3 for numbers, here for {}: write it in quotes, as in "012"'
NOTHING = '; YAML takes null, ~ and nothing for no value: write "null" or the like in quotes'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("one_of: [x, y]", "one_of: [yes, no]", f"columns.b.one_of holds True, which is no string{YES_NO}"),
        ("one_of: [x, y]", "one_of: [a, off]", f"columns.b.one_of holds False, which is no string{YES_NO}"),
        ("one_of: [x, y]", "one_of: [012, 013]", f"columns.b.one_of holds 10, which is no string{NUMBER.format(10)}"),
        ("one_of: [x, y]", "one_of: [a, 1_000]", f"b.one_of holds 1000, which is no string{NUMBER.format(1000)}"),
        ("one_of: [x, y]", "one_of: [a, 1e3]", f"b.one_of holds 1000, which is no string{NUMBER.format(1000)}"),
        ("one_of: [x, y]", "one_of: [a, 0.5]", "one_of: it holds 0.5; expected texts, whole numbers or truth values"),
        ("one_of: [x, y]", "one_of: [a, ~]", f"holds None; expected texts, whole numbers or truth values{NOTHING}"),
        ("one_of: [x, y]", "one_of: [2020-01-01, no]", f"columns.b.one_of holds False, which is no string{YES_NO}"),
        ("dtype: int", "dtype: int, one_of: [a]", "columns.a.one_of holds 'a', which is no int"),
        ("dtype: int", "dtype: int, one_of: [1, yes]", "columns.a.one_of holds True, which is no int"),
        ("inputs: [a]", "inputs: [no]", f"dataset.inputs.0=False: expected text{YES_NO}"),
        ("target: b", "target: on", f"dataset.target=True: expected text{YES_NO}"),
        ("{a: {", "{no: {dtype: int}, a: {", f"expected text{YES_NO}"),
        ("missing: ['']", "missing: [NA, no]", f"missing=['NA', False]: Delimited expects a list, each text{YES_NO}"),
        ("missing: ['']", "missing: ['', -999]", f"expects a list, each text{NUMBER.format(-999)}"),
        ("missing: ['']", "missing: [null, NA]", f"expects a list, each text{NOTHING}"),
        ("missing: ['']", "columns: [on, b]", f"Delimited expects a list, each text or null{YES_NO}"),
        ("missing: ['']", "endings: {no: x}", f"expects keys with values: keys text, values text{YES_NO}"),
        ("missing: ['']", "endings: {b: 1}", f"keys with values: keys text, values text{NUMBER.format(1)}"),
        ("missing: ['']", "comment: off", f"reader.comment=False: Delimited expects text or null{YES_NO}"),
        ("missing: ['']", "quoted: 'no'", "reader.quoted='no': Delimited expects true or false"),
    ],
)  # fmt: skip
def test_what_yaml_does_not_take_for_text_gets_the_advice_to_write_quotes(
    project: Project, old: str, new: str, message: str
):
    text = (
        "name: made\ntitle: Made\nlicence: none\ncitation: nobody\nsources: {rows: {uri: 'file:rows.csv'}}\n"
        f"reader: {{_target_: {READERS}.delimited.Delimited, missing: ['']}}\n"
        "inputs: [a]\ntarget: b\ntasks: [classification]\n"
        f"split: {{_target_: {SPLITS}.HashSplitter, validation: 0.2, test: 0.2}}\n"
        "contract: {columns: {a: {dtype: int}, b: {dtype: string, one_of: [x, y]}}}\n"
    )
    assert old in text
    (project.conf / "dataset" / "made.yaml").write_text(text.replace(old, new))
    with pytest.raises(ConfigurationError) as refused:
        load_plan(["dataset=made", "features=tabular", "model=logistic", "baseline=none"], project)
    assert message in str(refused.value)


def test_a_slice_and_a_label_that_yaml_does_not_take_for_text_get_the_same_advice(project: Project):
    assert refusal(project, {}, {"b": {"dtype": "string", "one_of": ["yes", "no"]}}, fitting=True) == ""
    overrides = ["dataset=made", "features=tabular", "model=logistic", "baseline=none"]
    for override, message in {
        "evaluation.slices=[true]": "evaluation.slices.0=True: expected text",
        "task.positive=true": "task.positive=True: target 'b' of dataset made has no such value; choose one of no, yes",
    }.items():
        with pytest.raises(ConfigurationError) as refused:
            load_plan([*overrides, override], project)
        assert str(refused.value).startswith(message)
        assert str(refused.value).endswith(YES_NO)


def test_yaml_that_is_nested_without_end_is_one_sentence(project: Project):
    (project.conf / "dataset" / "deep.yaml").write_text("name: deep\ntitle: " + "[" * 20_000 + "]" * 20_000 + "\n")
    with pytest.raises(ConfigurationError, match="conf holds lists or keys that are nested too deeply to be read"):
        load_plan(["dataset=deep"], project)


@pytest.mark.parametrize("fitting", [True, False], ids=["run", "ingest"])
def test_all_arguments_that_a_target_needs_are_asked_for_at_once(project: Project, fitting: bool):
    change = {
        "split": {"_target_": f"{SPLITS}.HashSplitter", "salt": "x"},
        "reader": {"_target_": f"{READERS}.idx.Idx", "image": "a", "label": "b", "part": "c"},
    }
    columns = {"a": {"dtype": "tensor", "shape": [2]}, "c": {"dtype": "string"}}
    said = refusal(project, change, columns)
    assert said == (
        "dataset.reader.parts, dataset.split.validation and dataset.split.test have no value; give each one, as in "
        "dataset.reader.parts=VALUE"
    )
    said = refusal(project, {"split": {"_target_": f"{SPLITS}.TimeSplitter", "train": 5}, "time": "a"}, {})
    assert said.startswith("dataset.split.validation and dataset.split.test have no value")
    (project.conf / "dataset" / "half.yaml").write_text(
        f"name: half\ntitle: Half\nsplit: {{_target_: {SPLITS}.HashSplitter}}\ninputs: [a]\n"
    )
    with pytest.raises(ConfigurationError) as refused:
        load_plan(["dataset=half"], project, fitting=fitting)
    for key in ("licence", "citation", "sources", "reader", "contract", "split.validation", "split.test"):
        assert f"dataset.{key}" in str(refused.value)


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


@pytest.mark.parametrize("content", ["inputs: [a]\n", "# nothing\n"])
def test_a_data_set_without_a_name_lacks_what_else_it_lacks(project: Project, content: str):
    (project.conf / "dataset" / "unnamed.yaml").write_text(content)  # the plan's own name refers to that of the data
    with pytest.raises(ConfigurationError) as refused:
        load_plan(["dataset=unnamed"], project)
    wanted = ("name", "title", "licence", "citation", "sources", "reader", "split", "contract")
    assert all(f"dataset.{key}" in str(refused.value) for key in wanted), refused.value


def test_a_reference_to_what_no_plan_has_is_named(project: Project):
    (project.conf / "dataset" / "odd.yaml").write_text("name: odd\ntitle: ${dataset.nam}\n")
    with pytest.raises(ConfigurationError, match=r"conf/ refers to \$\{dataset\.nam\}, which the plan does not have"):
        load_plan(["dataset=odd"], project)
