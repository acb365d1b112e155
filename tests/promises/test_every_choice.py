"""Every file in conf/ that decides what is trained is trained, tiny, by the training program, and keeps all promises.

The tables are made up of what their contracts promise, so no raw data are needed.
"""

from pathlib import Path

import promises
import pytest
from choices import (
    cases,
    choices,
    chosen_by,
    features_of,
    kind_of,
    kinds_of,
    method_case,
    models_of,
    overrides_of,
    part,
    read,
    shortened,
    small_base,
    tiny_member,
)
from tiny import TinyProject, Trained

from headframe.config.build import build, class_of
from headframe.config.members import with_member
from headframe.config.plan.plan import Plan
from headframe.config.plan.promotion import GateConfig
from headframe.digests import digest
from headframe.errors import ConfigurationError
from headframe.examples.prepare import prepare


@pytest.fixture
def keeps(tiny_project: TinyProject, tmp_path: Path):
    """Train a plan, once, and check all that a trained model promises."""

    def check(plan: Plan, *, in_full: bool = False) -> Trained:
        trained = tiny_project.trained(plan)
        if trained.run.folder not in tiny_project.checked:
            promises.of_a_trained_model(trained, tmp_path)
            tiny_project.checked.add(trained.run.folder)
        measured = digest([plan.task, plan.dataset, trained.predictor.framing.reach])
        if in_full and measured not in tiny_project.measured:  # other models of a task are measured alike
            promises.is_measured_in_full(trained)
            tiny_project.measured.add(measured)
        return trained

    return check


@pytest.mark.parametrize(("name", "task", "kind"), cases("model"))
def test_every_model_learns_and_predicts(keeps, tiny_project, name, task, kind):
    promises.learns_with_every_weight(keeps(tiny_project.plan(*overrides_of(kind, task, name))))


@pytest.mark.parametrize(("name", "task", "kind"), cases("baseline"))
def test_every_baseline_learns_and_predicts(keeps, tiny_project, name, task, kind):
    plan = tiny_project.plan(*overrides_of(kind, task), f"baseline={name}")
    assert plan.baseline is not None
    learner = with_member(plan.learner, tiny_member(plan.baseline))
    parts = ("model", "features", "method", "optimizer", "scheduler", "trainer")
    changed = {part: getattr(learner, part) for part in parts}
    keeps(plan.model_copy(update={**changed, "baseline": None}))


def test_no_baseline_is_none(tiny_project):
    assert tiny_project.plan("baseline=none").baseline is None


def plan_with_features(tiny_project: TinyProject, name: str) -> Plan:
    """Return the first plan with these features that is accepted: on a small table, or on a data set of the task."""
    kind, refusals = read("features", name)["gives"], []
    for task in ["classification", *choices("task")]:
        named = [[f"dataset={each}"] for each in choices("dataset") if kind_of(task) in read("dataset", each)["tasks"]]
        for base in filter(None, [small_base(kind, task), *named] if models_of(task, kind) else []):
            try:
                return tiny_project.plan(*overrides_of(kind, task, base=base), f"features={name}")
            except ConfigurationError as error:
                refusals.append(str(error))
    return pytest.fail(f"features {name} fit no task on any data: {refusals}")


@pytest.mark.parametrize("name", choices("features"))
def test_every_kind_of_features_is_learned_from(keeps, tiny_project, name):
    plan = plan_with_features(tiny_project, name)
    trained = keeps(plan)
    promises.encodes_each_row_by_itself(trained)
    promises.augments_by_its_generator(plan.learner, prepare(plan.dataset, plan.task, trained.table))


@pytest.mark.parametrize("name", choices("task"))
def test_every_task_is_learned_and_measured(keeps, tiny_project, name):
    keeps(tiny_project.plan(*overrides_of(kinds_of(name)[0], name)), in_full=True)


@pytest.mark.parametrize("name", [name for name in choices("task") if not read("task", name).get("needs_target", True)])
def test_what_needs_no_labels_is_learned_without_any(keeps, tiny_project, name):
    given = overrides_of(kinds_of(name)[0], name)
    metrics = class_of(tiny_project.plan(*given).task).unlabelled_metrics
    dataset = next(each for each in given if each.startswith("dataset="))
    trained = keeps(
        tiny_project.plan(
            *given, dataset, "dataset.target=null", *(f"task.primary_metric={each}" for each in metrics[:1])
        )
    )
    assert "target" not in trained.tested.column_names
    assert trained.task.measure(trained.tested)


@pytest.mark.parametrize("name", choices("method"))
def test_every_method_is_trained_by(keeps, tiny_project, name):
    task, model, kind = method_case(name)
    keeps(tiny_project.plan(*overrides_of(kind, task, model), f"method={name}"))


@pytest.mark.parametrize(
    "choice", [f"{group}={name}" for group in ("optimizer", "scheduler", "trainer") for name in choices(group)]
)
def test_every_way_to_train_trains(keeps, tiny_project, choice):
    keeps(tiny_project.plan(*overrides_of("tabular", "classification", "mlp"), choice))


@pytest.mark.parametrize("name", [name for name in choices("dataset") if read("dataset", name)["tasks"]])
def test_every_data_set_is_learned_from(keeps, tiny_project, name):
    shipped = [each for each in choices("experiment") if chosen_by(each)["dataset"] == name]
    if shipped:
        keeps(tiny_project.plan(*shortened(shipped[0])))
        return
    file = read("dataset", name)
    task, types = file["tasks"][0], {file["contract"]["columns"][each]["dtype"] for each in file["inputs"]}
    kind = next(each for each in kinds_of(task) if types <= {*read("features", features_of(each))["reads"]})
    base = [f"dataset={name}", f"features={features_of(kind)}"]
    keeps(tiny_project.plan(*overrides_of(kind, task, base=base)))


@pytest.mark.parametrize("name", choices("experiment"))
def test_every_experiment_is_learned_and_measured(keeps, tiny_project, name):
    keeps(tiny_project.plan(*shortened(name)), in_full=True)


@pytest.mark.parametrize("name", choices("gate"))
def test_every_gate_looks_at_what_it_judges(name):
    promises.looks_at_what_it_judges(build(part(GateConfig, "gate", name)))
