"""Train a plan: ingest, train, measure, package, register."""

from __future__ import annotations

from pathlib import Path

from flows.ingest import bring_in
from headframe.code_dependencies import device_of
from headframe.config.load import load_plan
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.evaluation.step import evaluate
from headframe.orchestration import flow, step
from headframe.records import Trained, TrainedPlan
from headframe.registry.register import is_registered, register
from headframe.registry.signature import require_signer
from headframe.signing.trust import Trust
from headframe.tracking.address import portable_uri, tracking_uri
from headframe.tracking.client import require_access
from headframe.training import PROGRAM
from headframe.training.run import is_whole, train, train_baseline


@flow(name="train")
def train_flow(overrides: list[str]) -> TrainedPlan:
    """Compose a plan in the project of the working folder, train it and register what comes of it.

    Args:
        overrides: Hydra overrides, e.g. `["experiment=mnist_cnn"]`.
    """
    project = Project.find(Path.cwd())
    return train_plan(load_plan(overrides, project), project.root)


def train_plan(plan: Plan, root: Path) -> TrainedPlan:
    """Run the steps from raw data to a registered version."""
    uri = tracking_uri(plan.tracking, root)
    require_access(uri)
    require_signer(plan.team)
    trust = Trust.of(plan.team)
    data = bring_in(plan.dataset, root)
    table = data.validated.table
    relevant = plan.without_declared
    task_and_data = (relevant.task, relevant.dataset.relevant_to_training)
    baseline = None

    def whole(trained: Trained) -> bool:
        return is_whole(trained, root)

    if relevant.baseline is not None:
        learner = relevant.learner.with_member(relevant.baseline)
        on = (learner, *task_and_data, device_of(learner))
        baseline = step(train_baseline, root=root, on=on, program=PROGRAM, valid=whole)(plan=plan, table=table)
    on = (relevant.learner, *task_and_data, device_of(relevant.learner))
    trained = step(train, root=root, on=on, program=PROGRAM, valid=whole)(plan=plan, table=table)
    evaluated = step(evaluate, root=root, on=(plan.identity,))(
        plan=plan, table=table, trained=trained, baseline=baseline
    )
    what_and_where = (plan.identity, plan.tracking.experiment)
    registered = step(
        register, root=root, on=what_and_where, retries=2, valid=lambda record: is_registered(record, uri, trust)
    )(plan=plan, data=data, trained=trained, evaluated=evaluated, uri=uri, place=portable_uri(uri, root))
    return TrainedPlan(data=data, trained=trained, evaluated=evaluated, registered=registered)
