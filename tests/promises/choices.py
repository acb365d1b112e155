"""What of `conf/` is trained to see whether it keeps its promises: which choices fit each other, and tiny tables."""

import os
import sys
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

from headframe.config.plan.component import Component
from headframe.config.plan.features import FeaturesConfig
from headframe.config.plan.model import EnsembleConfig, MemberConfig, ModelConfig
from headframe.config.plan.trainer import MethodConfig
from headframe.config.project import Project
from headframe.training.single import is_network

SomePart = TypeVar("SomePart", bound=Component)

REPOSITORY = Project(Path(os.environ.get("PROMISES_OF") or Path(__file__).parents[2]).resolve())
"""Whose `conf/` it is: Headframe's own, or that of a project which the environment names."""
sys.path += [str(REPOSITORY.root / "src")] if REPOSITORY.packages else []  # the project's own classes

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
OWN_INPUTS = {"made_rows": "[number, colour]", "made_texts": "[text]"}
"""Data sets of rows like these, which are quicker than the shipped ones, and what a model of them reads."""
DATA = {
    "image": "digits", "tabular": "made_rows", "tokens": "made_texts", "sparse": "made_texts", "fused": "made_texts",
    "series": "etth1",
}  # fmt: skip
"""Small data sets for kinds of input; others are trained on the first data set that names their task."""
PLAIN = {"tokens": "tokens_word", "sparse": "tfidf_word"}
"""The features of a kind of input, where the plainest by name are not the quickest."""
LABELS = {"digits": "3", "made_rows": "one", "made_texts": "one"}
"""A label of each, which marks an anomaly where a task looks for them."""
ROWS, LARGE_ROWS, SERIES_ROWS = 240, 60, 1000
LARGE = 2**15
"""Bytes of a row from which a table has fewer rows."""
QUICK = ("trainer.max_epochs=2", "trainer.batch_size=128", "trainer.accelerator=cpu")
MANY_STEPS = ("trainer.batch_size=16", "trainer.checkpoint_steps=2")
"""Of an epoch, so that a training can be killed between two checkpoints."""
SHORT = ("dataset.split.train=600", "dataset.split.validation=200", "dataset.split.test=200")
"""A series cut shorter; still long enough for windows of 336 rows that predict 96."""


@cache
def read(group: str, name: str) -> dict[str, Any]:
    """Return a file of `conf/` as it stands there."""
    content: dict[str, Any] = yaml.safe_load((REPOSITORY.conf / group / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def part(schema: type[SomePart], group: str, name: str) -> SomePart:
    """Return a file of `conf/` as that part of a plan which it is."""
    return schema.model_validate(read(group, name), context={"trusted": REPOSITORY.packages})


def choices(group: str) -> list[str]:
    """Return the names of the files of a group."""
    return REPOSITORY.choices(group)


KINDS = sorted(
    sorted({read("features", name)["gives"] for name in choices("features")}), key=lambda kind: kind != "tabular"
)
"""The kinds of input that there are, the quickest first."""


def fits(group: str, name: str) -> tuple[set[str], set[str]]:
    """Tasks and inputs of a model, or of all that an ensemble or a baseline pulls in."""
    content = read(group, name)
    if "tasks" in content:
        return set(content["tasks"]), set(content["takes"])
    tasks, inputs = {*choices("task")}, {*KINDS}
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


def cases(group: str) -> list[tuple[str, str, str]]:
    """Return every file of a group with every task and kind of input that it says it is for."""
    found = []
    for name in choices(group):
        if (group, name) == ("baseline", "none"):
            continue
        tasks, inputs = fits(group, name)
        fitting = [
            (name, t, k) for t in sorted(tasks) for k in sorted(inputs) if is_windows("task", t) == is_windows_of(k)
        ]
        assert fitting, f"conf/{group}/{name}.yaml fits no task on any data"
        found += fitting
    return found


def kind_of(task: str) -> str:
    """Return the kind of a task, by which models, methods and data sets say that they are for it."""
    return str(read("task", task)["kind"])


def is_windows(group: str, name: str) -> bool:
    """Return whether an example of a task or of features is a window of rows."""
    return read(group, name).get("examples") == "window"


def is_windows_of(kind: str) -> bool:
    """Return whether inputs of a kind are windows of rows."""
    return is_windows("features", features_of(kind))


def features_of(kind: str) -> str:
    """Return the plainest features that give a kind of input: of rows by themselves, without augmentations."""
    fitting = [name for name in choices("features") if read("features", name)["gives"] == kind]
    files = {name: read("features", name) for name in fitting}
    return PLAIN.get(kind) or min(
        files, key=lambda name: ("framing" in files[name], bool(files[name]["augment"]), name)
    )


def models_of(task: str, kind: str) -> list[str]:
    """Return the models of a task that take a kind of input, those that can be made small first."""
    fitting = [
        name
        for name in choices("model")
        if kind_of(task) in (file := read("model", name)).get("tasks", ()) and kind in file["takes"]
    ]
    return sorted(fitting, key=lambda name: ("tiny" not in read("model", name), name))


def method_of(task: str, model: str) -> str:
    """Return a method of a task that can train the parts of a model, or the usual one where no network learns it."""
    parts = {*read("model", model).get("parts", ())}
    files = {name: read("method", name) for name in choices("method")}
    kind = kind_of(task)
    fitting = (name for name, file in files.items() if kind in file["tasks"] and parts >= {*file.get("parts", ())})
    return next(fitting, "supervised")


def methods_of(kind: str, parts: Collection[str]) -> list[MethodConfig]:
    """Return all methods of a kind of task that can train a network with these parts."""
    methods = [part(MethodConfig, "method", name) for name in choices("method")]
    return [each for each in methods if kind in each.tasks and {*parts} >= {*each.parts}]


def method_case(name: str) -> tuple[str, str, str]:
    """Return the first task that a method learns, a network for it and a kind of input that it takes."""
    file = read("method", name)
    return next(
        (task, model, kind)
        for task in file["tasks"]
        for kind in kinds_of(task)
        for model in models_of(task, kind)
        if {*read("model", model).get("parts", ())} >= {*file.get("parts", ())}
        and is_network(part(ModelConfig, "model", model))
    )


def overrides_of(kind: str, task: str, model: str = "", base: Sequence[str] = ()) -> list[str]:
    """Return the overrides of a plan of a task on a kind of input.

    Args:
        kind: of input.
        task: which.
        model: a small one without it.
        base: data set and features; without them a small table, or a shipped data set.
    """
    base = base or small_base(kind, task) or shipped_base(kind, task)
    assert base, f"no data set in conf/ is for {task} and has what {features_of(kind)} reads"
    model = model or models_of(task, kind)[0]
    return [
        *base,
        f"task={task}",
        f"dataset.tasks=[{kind_of(task)}]",
        f"model={model}",
        f"method={method_of(task, model)}",
        *QUICK,
    ]


def kinds_of(task: str) -> list[str]:
    """Return the kinds of input on which a task can be shown."""
    fitting = [each for each in KINDS if models_of(task, each) and is_windows("task", task) == is_windows_of(each)]
    return [each for each in fitting if small_base(each, task) or shipped_base(each, task)]


def small_base(kind: str, task: str) -> list[str]:
    """Return the data set and the features of a kind of input; none where they have nothing that the task predicts."""
    if kind not in DATA:
        return []
    dataset = DATA[kind]
    found = [f"dataset={dataset}", f"features={features_of(kind)}"]
    if is_windows_of(kind):
        return [*found, *SHORT, "features.encoder.lookback=24", "task.horizon=8"]
    file = yaml.safe_load(OWN.format(name=dataset, inputs="[]")) if dataset in OWN_INPUTS else read("dataset", dataset)
    columns, predicts = file["contract"]["columns"], read("task", task).get("predicts")
    others = [name for name in (file["target"], *columns) if name not in OWN_INPUTS.get(dataset, file["inputs"])]
    full = [name for name in others if not columns[name].get("nullable")]
    targets = [name for name in full if not predicts or columns[name]["dtype"] in predicts]
    if "positive" in read("task", task) and not read("task", task).get("needs_target", True):
        found.append(f"task.positive={LABELS[dataset]}")
    return [*found, f"dataset.target={targets[0]}"] if targets else []


def shipped_base(kind: str, task: str) -> list[str]:
    """Return the first data set that says it is for a task, and has what features of a kind of input read."""
    features = features_of(kind)
    for name in choices("dataset"):
        file = read("dataset", name)
        types = {file["contract"]["columns"][each]["dtype"] for each in file["inputs"]}
        if kind_of(task) in file["tasks"] and types <= {*read("features", features)["reads"]}:
            return [f"dataset={name}", f"features={features}"]
    return []


@cache
def chosen_by(experiment: str) -> dict[str, str]:
    """Return which choice of each group an experiment overrides."""
    entries = [each for each in read("experiment", experiment)["defaults"] if isinstance(each, dict)]
    plan = {
        group: name for each in read("", "plan")["defaults"] if isinstance(each, dict) for group, name in each.items()
    }
    found = {key: name for each in entries for key, name in each.items() if key.startswith("override /")}
    return plan | {key.removeprefix("override /"): name for key, name in found.items()}


def shortened(experiment: str) -> list[str]:
    """Return the overrides that make an experiment short."""
    chosen = chosen_by(experiment)
    return [f"experiment={experiment}", *QUICK, *(SHORT if is_windows("task", chosen["task"]) else ())]


def tiny(model: Any) -> Any:
    """Give a model its tiny arguments, and those of an ensemble to its members."""
    if not isinstance(model, EnsembleConfig):
        return model.shrunk()
    members = {name: tiny_member(member) for name, member in model.members.items()}
    return model.model_copy(update={"members": members})


def tiny_features(features: FeaturesConfig) -> FeaturesConfig:
    """Give encoders their tiny arguments."""
    if features.encoder is not None:
        return features.model_copy(update={"encoder": features.encoder.shrunk()})
    return features.model_copy(update={"encoders": {name: each.shrunk() for name, each in features.encoders.items()}})


def tiny_member(member: MemberConfig) -> MemberConfig:
    """Give a member its tiny arguments."""
    quick = {**member.trainer, **({"max_epochs": 2} if "max_epochs" in member.trainer else {})}
    return member.model_copy(update={"model": tiny(member.model), "trainer": quick})
