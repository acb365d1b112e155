"""Train a plan: ingest, fit, evaluate, register."""

from pathlib import Path

from flows.ingest import ingest_dataset
from headframe.code_dependencies import device_of
from headframe.config.load import load_plan
from headframe.config.members import with_member
from headframe.config.natural import natural_baselines
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.evaluation.step import evaluate
from headframe.orchestration import flow, step
from headframe.places import Places
from headframe.records import RegisteredPlan
from headframe.registry.register import Destination, is_registered, register
from headframe.run_checks import require_registrable
from headframe.tracking.address import places_of, portable_uri
from headframe.training import PROGRAM
from headframe.training.fit import fit


@flow(name="train")
def train_flow(overrides: list[str]) -> RegisteredPlan:
    """Compose a plan in the project of the working folder, train it and register the result.

    Args:
        overrides: Hydra overrides, e.g. `["experiment=mnist_cnn"]`.
    """
    project = Project.find(Path.cwd())
    plan = load_plan(overrides, project)
    return train_plan(plan, places_of(plan, project.root))


def train_plan(plan: Plan, places: Places) -> RegisteredPlan:
    """Run the steps from raw data to a registered version."""
    require_registrable(plan, places.root)
    data = ingest_dataset(plan.dataset, places)
    table, version = data.validated.table, plan.version
    job, baseline = version.training_job(table.digest), None
    if version.baseline is not None:
        other = with_member(job.learner, version.baseline)
        fit_baseline = step(fit, name="fit-baseline", program=PROGRAM)
        baseline = fit_baseline(job.with_learner(other), device_of(other), places)
    trained = step(fit, program=PROGRAM)(job, device_of(job.learner), places)
    destination = Destination(
        model=plan.promotion.model,
        experiment=plan.tracking.experiment,
        code=plan.tracking.code,
        registry=portable_uri(places.tracking_uri, places.root),
    )
    natural = natural_baselines(version.task, places.root / "src")
    evaluated = step(evaluate)(version, table, trained, baseline, natural, places)
    registered = step(register, retries=2, valid=is_registered)(
        version, destination, plan.team, data, trained, evaluated, places
    )
    return RegisteredPlan(data=data, trained=trained, evaluated=evaluated, registered=registered)
