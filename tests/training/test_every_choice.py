"""Every file in conf/ that decides what is trained is trained, tiny, by the training program, and its bundle predicts.

The tables are made up of what their contracts promise, so no raw data are needed.
"""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from given_overrides import last_of_each
from PIL import Image

from headframe.config.load import load_plan
from headframe.config.members import with_member
from headframe.config.plan.data import ColumnContract, DatasetConfig
from headframe.config.plan.model import EnsembleConfig, MemberConfig
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.datasets.readers.base import ReadBatch
from headframe.datasets.schema import contract_schema
from headframe.datasets.table_writer import write_table
from headframe.digests import digest
from headframe.prediction.answers import compare_answers
from headframe.prediction.bundle import load_predictor

REPOSITORY = Project(Path(__file__).resolve().parents[2])
OWN = """
title: {name}
licence: none
citation: none
name: {name}
sources: {{rows: {{uri: "file:rows.csv"}}}}
reader: {{_target_: headframe.datasets.readers.delimited.Delimited}}
inputs: {inputs}
target: label
tasks: [classification, regression]
split: {{_target_: headframe.datasets.splits.HashSplitter, validation: 0.2, test: 0.2}}
contract:
  columns:
    number: {{dtype: float, min: -1, max: 1, nullable: true}}
    colour: {{dtype: string, one_of: [red, blue, green]}}
    text: {{dtype: string, min_length: 1}}
    label: {{dtype: string, one_of: [one, two, three]}}
    value: {{dtype: float, min: 0, max: 9}}
"""
DATA = {
    "image": "digits", "tabular": "made_rows", "tokens": "made_texts", "sparse": "made_texts", "fused": "made_texts",
    "series": "etth1", "baskets": "groceries", "resized_image": "bccd",
    "noise": "mnist_seeds",
}  # fmt: skip
FEATURES = {
    "image": "image", "tabular": "tabular", "tokens": "tokens_word", "sparse": "tfidf_word", "fused": "text_fused",
    "series": "windows", "baskets": "baskets", "resized_image": "resized_image",
    "noise": "noise",
}  # fmt: skip
MODELS = {
    "image": "cnn", "tabular": "mlp", "tokens": "gru", "sparse": "logistic", "fused": "late_fusion",
    "series": "channel_linear", "baskets": "association_rules", "resized_image": "center_detector",
    "noise": "variational_autoencoder",
}  # fmt: skip
"""For each kind of input: a data set that has it, features that give it, and a model that takes it."""
KINDS = {"series": "forecasting", "baskets": "association", "resized_image": "detection", "noise": "generation"}
"""The tasks of kinds of input that are for no other task."""
OF_TASK = {"anomaly": "autoencoder", "clustering": "clustering_autoencoder"}
"""Models of tasks that learn from inputs alone."""
GIVEN = {
    "anomaly": ["method=reconstruction", "task.positive=one"],
    "clustering": ["method=deep_clustering"],
    "detection": ["method=center_detection", "features.encoder.height=48", "features.encoder.width=64"],
    "generation": ["method=vae"],
}
"""What tasks are given besides, on rows with the label of `OWN`."""
OF_MODEL = {"adversarial_pair": ["method=gan"]}
"""What models are given besides that another method learns than their task is given."""
ROWS = 240
QUICK = ("trainer.max_epochs=2", "trainer.batch_size=128", "trainer.accelerator=cpu")
SHORT = ("dataset.split.train=600", "dataset.split.validation=200", "dataset.split.test=200")
"""A series cut shorter; still long enough for windows of 336 rows that predict 96."""


def made_up(dataset: DatasetConfig, rows: int) -> pa.Table:
    """Draw a table that keeps a contract."""
    random = np.random.default_rng(3)
    columns = dataset.contract.columns
    cells = [_cells(promise, rows, random) for promise in columns.values()]
    return pa.table(cells, schema=contract_schema(columns))


def _cells(promise: ColumnContract, rows: int, random: np.random.Generator) -> Any:
    low, high = promise.min or 0, 9 if promise.max is None else promise.max
    words = ["free", "gold", "now", "call", "矿", "工", "学", "x1"]
    match promise.dtype:
        case _ if promise.one_of is not None:
            cells: list[Any] = [promise.one_of[n] for n in random.integers(0, len(promise.one_of), rows)]
        case "tensor":
            assert promise.shape is not None
            pixels = random.integers(int(low), int(high) + 1, (rows, *promise.shape)).astype(np.uint8)
            return pa.FixedShapeTensorArray.from_numpy_ndarray(pixels)
        case "int":
            cells = random.integers(int(low), int(high) + 1, rows).tolist()
        case "float":
            cells = random.uniform(low, high, rows).tolist()
        case "timestamp":
            return pa.array(np.datetime64("2020-01-01T00", "us") + np.arange(rows) * np.timedelta64(1, "h"))
        case "string":
            cells = [" ".join(random.choice(words, 5)) for _ in range(rows)]
        case "list":
            cells = [random.choice(words, number % 4, replace=False).tolist() for number in range(rows)]
        case "encoded_image":
            return pa.array([_png(random) for _ in range(rows)])
        case "struct_list":
            sizes = random.integers(promise.min_length or 0, 4, rows)
            fields = {name: _cells(each, int(sizes.sum()), random) for name, each in (promise.fields or {}).items()}
            structs = pa.StructArray.from_arrays([pa.array(each) for each in fields.values()], names=[*fields])
            return pa.ListArray.from_arrays(np.concatenate([[0], sizes.cumsum()]).astype(np.int32), structs)
        case unknown:
            pytest.fail(f"there is no rule to make up {unknown}")
    if promise.nullable:
        cells = [None if missing else cell for cell, missing in zip(cells, random.random(rows) < 0.1, strict=True)]
    return pa.array(cells)


def _png(random: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (24, 32, 3)).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def read(group: str, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((REPOSITORY.conf / group / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def fits(group: str, name: str) -> tuple[set[str], set[str]]:
    """Tasks and inputs of a model, or of all that an ensemble or a baseline pulls in."""
    content = read(group, name)
    if "tasks" in content:
        return set(content["tasks"]), set(content["takes"])
    tasks, inputs = {*REPOSITORY.choices("task")}, {*DATA}
    pulled = {
        place: choice for entry in content["defaults"] if isinstance(entry, dict) for place, choice in entry.items()
    }
    for place, choice in pulled.items():
        if place.startswith("/model@"):
            more_tasks, more_inputs = fits("model", choice)
            own = pulled.get(place.replace("/model@", "/features@").removesuffix("model") + "features")
            if own is not None:  # it brings its own features, so the others' read the same data
                data = DATA[read("features", own)["gives"]]
                more_inputs = {kind for kind in DATA if DATA[kind] == data}
            tasks &= more_tasks
            inputs &= more_inputs
    return tasks, inputs


def cases(group: str) -> list[Any]:
    """Every file of a group, for every task and kind of input that it says it is for."""
    found = []
    for name in REPOSITORY.choices(group):
        if (group, name) == ("baseline", "none"):
            continue
        tasks, inputs = fits(group, name)
        # Windows of a series are forecast, and nothing else is.
        fitting = [(t, k) for t in sorted(tasks) for k in sorted(inputs) if (t == "forecasting") == (k == "series")]
        assert fitting, f"conf/{group}/{name}.yaml fits no task on any data"
        found += [pytest.param(name, task, kind, id=f"{name}-{task}-{kind}") for task, kind in fitting]
    return found


def overrides_of(kind: str, task: str) -> list[str]:
    """Overrides for a task on data of a kind."""
    overrides = [
        f"dataset={DATA[kind]}",
        f"features={FEATURES[kind]}",
        f"task={task}",
        f"dataset.tasks=[{task}]",
        *GIVEN.get(task, ()),
        *QUICK,
    ]
    if (task, kind) == ("anomaly", "image"):
        overrides.append("task.positive=3")
    if kind == "series":
        return [*overrides, *SHORT, "features.encoder.lookback=24", "task.horizon=8"]
    if task == "regression" and kind != "image":
        overrides.append("dataset.target=value")
    return overrides


def tiny(model: Any) -> Any:
    """Give a model its tiny arguments, and those of an ensemble to its members."""
    if not isinstance(model, EnsembleConfig):
        return model.shrunk()
    members = {name: _tiny(member) for name, member in model.members.items()}
    return model.model_copy(update={"members": members})


def _tiny(member: MemberConfig) -> MemberConfig:
    quick = {**member.trainer, **({"max_epochs": 2} if "max_epochs" in member.trainer else {})}
    return member.model_copy(update={"model": tiny(member.model), "trainer": quick})


class ChoicesProject:
    """A project with made-up tables, in which plans are trained tiny."""

    def __init__(self, training_project: Any) -> None:
        self.training_project = training_project
        self.checked: set[str] = set()

    def plan(self, *overrides: str) -> Plan:
        plan = load_plan(last_of_each(*overrides), self.training_project.project)
        return plan.model_copy(update={"model": tiny(plan.model)})

    def table(self, dataset: DatasetConfig) -> None:
        """Make up the table of a data set, once."""
        folder = self.training_project.project.data / dataset.name
        if not folder.is_dir():
            folder.mkdir(parents=True)
            rows = made_up(dataset, 1000 if "forecasting" in dataset.tasks else ROWS)
            batches = [ReadBatch(batch, ()) for batch in rows.to_batches()]
            write_table(folder, dataset, dict(dataset.sources), batches)

    def check_predictions(self, plan: Plan) -> None:
        """Train a plan and check the predictions of its bundle; what an earlier test trained is the same job."""
        self.table(plan.dataset)
        job = digest(self.training_project.job(plan))
        if job in self.checked:
            return
        run = self.training_project.train(plan, job, "serial")
        assert run.code == 0, run.stderr
        predictor = load_predictor(run.folder / "bundle")
        probe = pq.read_table(run.folder / "probe.parquet")
        predictions = predictor.predict(probe)
        if plan.task.kind == "forecasting":
            assert probe.num_rows == predictor.lookback
            assert predictions.num_rows == predictor.horizon
        else:
            assert predictions.num_rows == probe.num_rows > 1
        stored = pq.read_table(run.folder / "probe_predictions.parquet")
        assert stored.schema == predictor.prediction_schema
        assert compare_answers(stored, predictor.predictions(probe)).within(1e-5)
        self.checked.add(job)


@pytest.fixture(scope="module")
def choices(training_project: Any, tmp_path_factory: pytest.TempPathFactory) -> ChoicesProject:
    root = tmp_path_factory.mktemp("choices") / "project"
    shutil.copytree(REPOSITORY.conf, root / "conf")
    for name, inputs in (("made_rows", "[number, colour]"), ("made_texts", "[text]")):
        (root / "conf" / "dataset" / f"{name}.yaml").write_text(OWN.format(name=name, inputs=inputs))
    return ChoicesProject(type(training_project)(root))


@pytest.mark.parametrize(("name", "task", "kind"), cases("model"))
def test_every_model_learns_and_predicts(choices: ChoicesProject, name: str, task: str, kind: str) -> None:
    choices.check_predictions(choices.plan(*overrides_of(kind, task), f"model={name}", *OF_MODEL.get(name, ())))


@pytest.mark.parametrize(("name", "task", "kind"), cases("baseline"))
def test_every_baseline_learns_and_predicts(choices: ChoicesProject, name: str, task: str, kind: str) -> None:
    sparse = {"regression": "ridge", "clustering": "kmeans", "anomaly": "isolation_forest"}
    model = sparse.get(task) if kind == "sparse" else OF_TASK.get(task)
    model = model or MODELS[kind]
    plan = choices.plan(*overrides_of(kind, task), f"model={model}", f"baseline={name}")
    assert plan.baseline is not None
    learner = with_member(plan.learner, _tiny(plan.baseline))
    parts = ("model", "features", "method", "optimizer", "scheduler", "trainer")
    changed = {part: getattr(learner, part) for part in parts}
    choices.check_predictions(plan.model_copy(update={**changed, "baseline": None}))


def test_no_baseline_is_none(choices: ChoicesProject) -> None:
    assert choices.plan("baseline=none").baseline is None


@pytest.mark.parametrize("name", REPOSITORY.choices("features"))
def test_every_kind_of_features_is_learned_from(choices: ChoicesProject, name: str) -> None:
    kind = read("features", name)["gives"]
    task = KINDS.get(kind, "classification")
    choices.check_predictions(choices.plan(*overrides_of(kind, task), f"features={name}", f"model={MODELS[kind]}"))


@pytest.mark.parametrize("name", REPOSITORY.choices("task"))
def test_every_task_is_learned(choices: ChoicesProject, name: str) -> None:
    kind = next((kind for kind, task in KINDS.items() if task == name), "tabular")
    choices.check_predictions(choices.plan(*overrides_of(kind, name), f"model={OF_TASK.get(name, MODELS[kind])}"))


@pytest.mark.parametrize(
    "given",
    [
        ["task=clustering", "model=kmeans", "task.primary_metric=silhouette"],
        ["task=anomaly", "model=isolation_forest", "task.primary_metric=flag_error"],
    ],
)
def test_what_needs_no_labels_is_learned_without_any(choices: ChoicesProject, given: list[str]) -> None:
    kind = given[0].removeprefix("task=")
    unlabelled = ["dataset=made_rows", "features=tabular", f"dataset.tasks=[{kind}]", "dataset.target=null"]
    plan = choices.plan(*unlabelled, *QUICK, *given)
    choices.table(plan.dataset)
    run = choices.training_project.train_once(plan)
    found = pq.read_table(run.folder / "predictions.parquet")
    assert found.num_rows > 50
    assert "target" not in found.column_names
    assert load_predictor(run.folder / "bundle").task.measure(found)


@pytest.mark.parametrize(
    "choice",
    [f"{group}={name}" for group in ("optimizer", "scheduler", "trainer") for name in REPOSITORY.choices(group)],
)
def test_every_way_to_train_trains(choices: ChoicesProject, choice: str) -> None:
    choices.check_predictions(choices.plan(*overrides_of("tabular", "classification"), "model=mlp", choice))


@pytest.mark.parametrize("name", [name for name in REPOSITORY.choices("dataset") if read("dataset", name)["tasks"]])
def test_every_data_set_is_learned_from(choices: ChoicesProject, name: str) -> None:
    dataset = DatasetConfig.model_validate(read("dataset", name))
    columns = dataset.contract.columns
    kinds = {"tensor": "image", "string": "tokens"}
    single = kinds.get(columns[dataset.inputs[0]].dtype, "tabular") if len(dataset.inputs) == 1 else "tabular"
    kind = next((kind for kind, task in KINDS.items() if task in dataset.tasks), single)
    model = OF_TASK.get(dataset.tasks[0], MODELS[kind])
    given = [*overrides_of(kind, dataset.tasks[0]), f"dataset={name}", f"model={model}"]
    if dataset.tasks[0] == "regression":
        given.append(f"dataset.target={dataset.target}")
    if dataset.tasks[0] == "anomaly":
        given.append("task.positive=null")
    choices.check_predictions(choices.plan(*given))


@pytest.mark.parametrize("name", REPOSITORY.choices("experiment"))
def test_every_experiment_trains_and_predicts(choices: ChoicesProject, name: str) -> None:
    series = "windows" in json.dumps(read("experiment", name))
    plan = choices.plan(f"experiment={name}", *QUICK, *(SHORT if series else ()))
    choices.check_predictions(plan)
