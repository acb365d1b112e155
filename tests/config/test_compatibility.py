"""A plan whose parts do not fit each other is refused when it is loaded; one that is accepted can be trained."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from given_overrides import last_of_each
from made_up import made_up

from headframe.config import compatibility
from headframe.config.build import build
from headframe.config.compatibility import check_compatibility
from headframe.config.load import load_plan
from headframe.config.members import single_learners
from headframe.config.plan.data import ROW_ID, DatasetConfig
from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.model import ModelConfig
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.errors import ConfigurationError

REPOSITORY = Project(Path(__file__).resolve().parents[2])
ROWS = 160
read = cache(compatibility._read)
TINY = {"lookback": 12, "horizon": 3}
"""Shorter windows than the shipped ones, where an encoder or a task has them."""


@cache
def part(group: str, name: str) -> Any:
    """A part of a plan as `conf/` has it, and as few rows as will do."""
    found = getattr(load_plan([f"{group}={name}"], REPOSITORY, fitting=False), group)
    if group == "features":
        return found if found.encoder is None else found.model_copy(update={"encoder": shorter(found.encoder)})
    return shorter(found) if group == "task" else found


def shorter(component: Any) -> Any:
    return component.model_copy(update={key: TINY[key] for key in TINY if key in component.arguments})


@cache
def method_for(kind: str, parts: tuple[str, ...]) -> Any:
    """The first method that learns a kind of task by these parts of a network; None without one."""
    methods = [part("method", name) for name in REPOSITORY.choices("method")]
    return next((each for each in methods if kind in each.tasks and {*each.parts} <= {*parts}), None)


def plans(dataset: str) -> Iterator[tuple[str, Plan]]:
    """Every combination of the shipped features, tasks and models with a data set, and a method that fits them.

    A task that the data set does not name is refused before features and model are looked at: of these there is one.
    """
    base = load_plan([f"dataset={dataset}"], REPOSITORY, fitting=False)
    groups, foreign = ("features", "task", "model"), set[str]()
    for names in product(*(REPOSITORY.choices(group) for group in groups)):
        if part("task", names[1]).kind not in base.dataset.tasks:
            if names[1] in foreign:
                continue
            foreign.add(names[1])
        parts = {group: part(group, name) for group, name in zip(groups, names, strict=True)}
        parts["method"] = method_for(parts["task"].kind, getattr(parts["model"], "parts", ())) or base.method
        yield " ".join((dataset, *names)), base.model_copy(update=parts)


def prepared_rows(dataset: DatasetConfig) -> Any:
    """A few rows of a data set as training would see them: prepared, but for the table."""
    return made_up(dataset, ROWS).add_column(0, ROW_ID, [[str(row) for row in range(ROWS)]])


def refused_in_training(plan: Plan, rows: Any) -> str:
    """Say what the training program would refuse of a plan as soon as it looks at encoders, task and networks."""
    from headframe.examples.prepare import PreparedData

    task = build(plan.task)
    columns = task.target_columns(plan.dataset.inputs, plan.dataset.target)
    splits = np.array(["train", "validation", "test"]).repeat([ROWS - 60, 30, 30])
    try:
        task.fit(rows.slice(0, ROWS - 60).select(columns))
        prepared = PreparedData(plan.dataset, rows, splits, task, plan.task)
        for _, learner in single_learners(plan.learner, "model"):
            check_model(learner, encoded(prepared, learner), task)
    except ConfigurationError as error:
        return str(error)
    return ""


ENCODED: dict[str, Any] = {}


def encoded(prepared: Any, learner: LearnerConfig) -> Any:
    """Encode once for all models that take the same features."""
    from headframe.examples.encode import encode

    key = f"{prepared.dataset.name} {prepared.component} {learner.features}"
    if key not in ENCODED:
        ENCODED[key] = encode(prepared, learner)
    return ENCODED[key]


def check_model(learner: LearnerConfig, examples: Any, task: Any) -> None:
    """Build a model as training does, and let a network score two examples."""
    import torch

    from headframe.examples.batches import Batch, as_tensors
    from headframe.miners.base import estimator_model
    from headframe.training.single import is_network

    model = learner.model
    assert isinstance(model, ModelConfig)
    if not is_network(model):
        estimator_model(build(model), task)
        return
    network = build(model.shrunk(), examples.spec, task.outputs).eval()
    method = build(learner.method, network, task)
    inputs = as_tensors(examples.inputs_of(examples.train[:2]))
    targets = {name: torch.from_numpy(each) for name, each in examples.targets(examples.train[:2]).items()}
    with torch.inference_mode():
        method.calibrate([Batch(inputs, targets)])
        assert method.predict(inputs).schema == task.prediction_schema
    for move in method.moves():
        assert all(loss.isfinite() for loss in method.losses(move, Batch(inputs, targets)).values())


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["experiment=wine_kmeans", "dataset.target=null"],
            "task.primary_metric=ari compares with labels, but dataset wine has no target; set task.primary_metric=",
        ),
        (
            ["dataset.target=null"],
            "task classification predicts one column, but dataset digits has no target; name",
        ),
        (
            ["model=cnn_lstm_mean", "model.members.lstm=${model.members.cnn}"],
            "model.members.lstm is the same as model.members.cnn in every setting, so both would be one model twice;",
        ),
        (["method.loss=huber"], "method.loss=huber is for values, but task classification predicts none; leave it at"),
        (
            ["experiment=etth1_linear", "method.label_smoothing=0.1"],
            "method.label_smoothing=0.1 is for classes, but",
        ),
        (
            ["experiment=etth1_linear", "method.loss=cross_entropy"],
            "method.loss=cross_entropy is for classes, but",
        ),
        (["+phases.a.trains=[body]"], "phases.a.trains names 'body', which is no part that ConvNet declares"),
        (["+phases.a.trainer.max_epoch=2"], "phases.a.trainer.max_epoch: the plan has no such key; did you mean"),
        (
            ["+method.parts=[decoder]"],
            "method Supervised trains the decoder of a network, which ConvNet does not",
        ),
    ],
)
def test_a_method_or_target_that_does_not_fit_is_refused_when_loaded(overrides: list[str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        load_plan(overrides, REPOSITORY)


@pytest.mark.parametrize("dataset", REPOSITORY.choices("dataset"))
def test_every_combination_is_refused_when_loaded_or_is_accepted_by_training(
    dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compatibility, "_read", read)  # choices in messages come from the same files
    rows, accepted, refused = None, 0, list[str]()
    for names, plan in plans(dataset):
        try:
            check_compatibility(plan, REPOSITORY)
        except ConfigurationError as error:
            refused.append(str(error))
            continue
        accepted += 1
        rows = prepared_rows(plan.dataset) if rows is None else rows
        assert refused_in_training(plan, rows) == "", names
    assert bool(accepted) == bool(load_plan([f"dataset={dataset}"], REPOSITORY, fitting=False).dataset.tasks)
    assert len(refused) > accepted
    assert [message for message in refused if "\n" in message] == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            "dataset=diabetes features=windows task=regression model=gru",
            "makes each window an example, but task regression predicts from each row; choose features=tabular",
        ),
        (
            "experiment=etth1_lstm features=tabular",
            "makes each row an example, but task forecasting predicts from each window; choose features=windows or",
        ),
        (
            "dataset=tatoeba_cmn_eng task=translation",  # by no model that is chosen, but by another
            "'chinese' of dataset tatoeba_cmn_eng is string; choose features=tokens_bpe or tokens_char or tokens_word",
        ),
        (
            "experiment=etth1_lstm features.encoder.columns=[OT]",
            "model PatchRecurrent predicts the columns that it reads (OT), but task forecasting predicts HUFL, HULL,",
        ),
        (
            "experiment=etth1_lstm dataset.tasks=[classification] task=classification",
            "task classification predicts one column, but dataset etth1 has no target; name one in dataset.target",
        ),
        (
            "experiment=diabetes_mlp dataset.tasks=[classification] task=classification",
            "task classification predicts bool or int or string, but 'progression' of dataset diabetes is float",
        ),
        (
            "+features.augment.noise={_target_: headframe.examples.augment.TokenDropout, takes: [tokens], share: 0.1}",
            "features.augment.noise: TokenDropout changes tokens, but encoder Images gives image",
        ),
        (
            "dataset=sms_spam features=tfidf_word baseline=tfidf_word model=mlp",
            "model MLP takes image or series or tabular, but its features give sparse; choose model=logistic or",
        ),
        (
            "baseline=ridge",
            "baseline Ridge does not fit task classification: it is for regression or forecasting; choose model=",
        ),
        ("dataset=adult features=tabular model=mlp evaluation.slices=[sexx]", "no such column; did you mean 'sex'?"),
        ("evaluation.slices=[image]", "tensor cells there, which have no values to group rows by"),
        ("dataset.contract.columns.digit.dtype=intt", "there is no type of column 'intt'; did you mean 'int'?"),
        (
            "experiment=sms_spam_lstm task.positive=spamm",
            "task.positive=spamm: target 'label' of dataset sms_spam has no such value; did you mean 'spam'?",
        ),
        (
            "experiment=adult_mlp features.encoder.log=[capital_gian]",
            "log names 'capital_gian', which is no column that Tabular reads; did you mean 'capital_gain'?",
        ),
        (
            "scheduler._target_=torch.optim.lr_scheduler.StepLR",
            "scheduler torch.optim.lr_scheduler.StepLR of model has no parameter total_steps, which training passes",
        ),
        (
            "experiment=adult_mlp features.encoder.columns=[age,age]",
            "features.encoder.columns=['age', 'age']: Tabular expects a list, each text and named once",
        ),
        (
            "experiment=adult_mlp features.encoder.categorical=[sex,age,sex]",
            "features.encoder.categorical=['sex', 'age', 'sex']: Tabular expects a list, each text and named once",
        ),
        ("evaluation.slices=[digit,digit]", "evaluation.slices: it has 'digit' twice; name each once"),
        ("dataset.inputs=[image,image]", "dataset.inputs: it has 'image' twice; name each once"),
        ("dataset.tasks=[regression,regression]", "dataset.tasks: it has 'regression' twice; name each once"),
        ("dataset.contract.columns.digit.one_of=[0,1,0]", "dataset.contract.columns.digit.one_of: it has 0 twice"),
        ("model.takes=[image,image]", "model.takes: it has 'image' twice; name each once"),
        ("features.reads=[tensor,tensor]", "features.reads: it has 'tensor' twice; name each once"),
        ("task.predicts=[int,int]", "task.predicts: it has 'int' twice; name each once"),
        (
            "+promotion.gates.slices={_target_: headframe.gates.slices.Slices, columns: [digit, digit]}",
            "promotion.gates.slices.columns=['digit', 'digit']: Slices expects a list, each text and named once",
        ),
        (
            "+promotion.gates.slices={_target_: headframe.gates.slices.Slices, columns: [digti]}",
            "promotion.gates.slices.columns names 'digti', but dataset digits has no such column; did you mean",
        ),
        (
            "task.primary_metric=f1",
            "task.primary_metric=f1 is for two classes, but target 'digit' of dataset digits has 10; leave it out",
        ),
        ("task.positive=3", "task.positive=3 is for two classes, but target 'digit' of dataset digits has 10"),
        (
            "dataset.contract.columns.digit.one_of=null task.positive=x",
            "task.positive=x: target 'digit' of dataset digits has no such value; it is int",
        ),
        (
            "dataset.contract.columns.digit.dtype=bool dataset.contract.columns.digit.one_of=null task.positive=x",
            "task.positive=x: target 'digit' of dataset digits has no such value; choose one of False, True",
        ),
        (
            "dataset.contract.columns.digit.one_of=[3]",
            "target 'digit' of dataset digits can have one value only, so that nothing can be learned; correct dataset",
        ),
        (
            "+dataset.contract.columns.digit.nullable=true",
            "target 'digit' of dataset digits may be empty, but a task learns its values and is measured by them; set",
        ),
        ("model.tasks=[]", "model ConvNet does not fit task classification: it is for none, as its file declares none"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(overrides: str, words: str) -> None:
    given = [overrides] if "{" in overrides else overrides.split()
    with pytest.raises(ConfigurationError) as caught:
        load_plan(given, REPOSITORY)
    assert words in str(caught.value)


@pytest.mark.parametrize("group", ["features", "task", "model"])
def test_a_suggested_choice_fits(group: str) -> None:
    """What a message suggests is accepted in place of what was refused."""
    overrides = {"dataset": "etth1", "features": "windows", "task": "forecasting", "model": "patch_lstm"}
    wrong = {"features": "tabular", "task": "regression", "model": "cnn"}[group]
    with pytest.raises(ConfigurationError) as caught:
        load_plan([f"{key}={name}" for key, name in {**overrides, group: wrong}.items()], REPOSITORY)
    suggested = str(caught.value).rpartition(f"choose {group}=")[2].split(" or ")
    assert suggested[0]
    for name in suggested:
        load_plan([f"{key}={choice}" for key, choice in {**overrides, group: name}.items()], REPOSITORY)


def test_a_kind_of_the_projects_own_needs_nothing_but_its_files(project: Project) -> None:
    """A new kind of task on a new kind of input is declared in YAML; no list of kinds knows it."""
    (project.conf / "task" / "surprise.yaml").write_text(
        "_target_: headframe.tasks.regression.Regression\nkind: surprise\nexamples: session\n"
    )
    features = yaml.safe_load((project.conf / "features" / "tabular.yaml").read_text())
    features |= {"gives": "event", "examples": "session"}
    (project.conf / "features" / "sessions.yaml").write_text(yaml.safe_dump(features))
    (project.conf / "model" / "scorer.yaml").write_text(
        "_target_: headframe.models.mlp.MLP\ntasks: [surprise]\ntakes: [event]\n"
    )
    own = ["dataset=diabetes", "dataset.tasks=[surprise]", "task=surprise", "features=sessions", "model=scorer"]
    own.append("method.tasks=[surprise]")
    assert load_plan(own, project).task.kind == "surprise"
    with pytest.raises(ConfigurationError, match="predicts from each session; choose features=sessions"):
        load_plan(last_of_each(*own, "features=tabular"), project)


def test_data_without_labels_can_be_ingested_for_a_metric_that_needs_none() -> None:
    unlabelled = ["dataset=wine", "dataset.target=null", "dataset.tasks=[clustering]", "task=clustering"]
    with pytest.raises(ConfigurationError, match=r"set task\.primary_metric=silhouette or stability"):
        load_plan(unlabelled, REPOSITORY, fitting=False)
    plan = load_plan([*unlabelled, "task.primary_metric=silhouette"], REPOSITORY, fitting=False)
    assert plan.dataset.target is None
