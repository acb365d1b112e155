"""The whole pipeline: from raw data to a champion that serves."""

from pathlib import Path

from flows.train import train_plan
from headframe.config.load import load_plan
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.orchestration import flow, step
from headframe.places import Places
from headframe.promotion.gate_and_promote import decide, is_in_force
from headframe.records import RunResult
from headframe.serving.smoke_request import is_unchanged, smoke_test
from headframe.tracking.address import places_of, portable_uri


@flow(name="lifecycle")
def lifecycle(overrides: list[str]) -> RunResult:
    """Compose a plan in the project of the working folder and run its whole pipeline.

    Args:
        overrides: Hydra overrides, e.g. `["experiment=digits_ensemble", "seed=3"]`.
    """
    project = Project.find(Path.cwd())
    plan = load_plan(overrides, project)
    return run_plan(plan, places_of(plan, project.root))


def run_plan(plan: Plan, places: Places) -> RunResult:
    """Run all steps."""
    result = train_plan(plan, places)
    registry = portable_uri(places.tracking_uri, places.root)
    promote = step(decide, name="promote", retries=2, valid=is_in_force)
    decision = promote(plan.promotion, plan.team, result, registry, places)
    tested = step(smoke_test, retries=2, valid=is_unchanged)(decision, result.trained, plan.team, registry, places)
    return RunResult(plan=plan.name, fingerprint=plan.fingerprint, result=result, decision=decision, smoke_test=tested)
