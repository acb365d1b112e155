"""The whole life: from raw data to a champion that answers."""

from __future__ import annotations

from pathlib import Path

from flows.train import train_plan
from headframe.config.load import load_plan
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.orchestration import flow, step
from headframe.promotion.decide import decide, still_champion
from headframe.records import Outcome
from headframe.serving.smoke_request import answer, still_answers
from headframe.signing.trust import Trust
from headframe.tracking.address import portable_uri, tracking_uri


@flow(name="lifecycle")
def lifecycle(overrides: list[str]) -> Outcome:
    """Compose a plan in the project of the working folder and live its whole life.

    Args:
        overrides: Hydra overrides, e.g. `["experiment=digits_ensemble", "seed=3"]`.
    """
    project = Project.find(Path.cwd())
    return live(load_plan(overrides, project), project.root)


def live(plan: Plan, root: Path) -> Outcome:
    """Run all steps."""
    result = train_plan(plan, root)
    uri = tracking_uri(plan.tracking, root)
    where = portable_uri(uri, root)
    trust = Trust.of(plan.team)
    judged_by = (plan.promotion, plan.team)
    decision = step(decide, root=root, on=judged_by, retries=2, valid=lambda d: still_champion(d, uri, trust))(
        plan=plan, result=result, uri=uri, place=where
    )
    answered = step(answer, root=root, retries=2, valid=lambda a: still_answers(a, uri, trust))(
        plan=plan, decision=decision, trained=result.trained, uri=uri, place=where
    )
    return Outcome(plan=plan.name, fingerprint=plan.fingerprint, result=result, decision=decision, answered=answered)
