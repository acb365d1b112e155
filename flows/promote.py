"""Make a version champion: run its gates, wait for people where the policy says so, promote."""

from pathlib import Path

from pydantic import BaseModel, Field

from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.errors import Refused, refuse_if
from headframe.ledger.rules import entries_since_champion
from headframe.orchestration import action, flow, wait_for_input
from headframe.promotion.approve import record_approval
from headframe.promotion.promote import promote
from headframe.promotion.rules import gate_entry_problem, valid_gate_entry
from headframe.promotion.run_gates import run_gates
from headframe.promotion.service import LedgerAction, PromotionService
from headframe.registry.versions import resolve
from headframe.signing.keys import own_key

HOURS = 24 * 14.0  # in which people must respond


class ApprovalForm(BaseModel):
    """The form for approvals in Prefect's pages."""

    approval: str = Field(
        default="",
        description=(
            "A signed approval, as `headframe models approve MODEL/VERSION --reason WHY --print` gives it; empty where "
            "approvals were given on the command line. What counts is the signature, not who fills in this form."
        ),
    )


@flow(name="promote")
def promote_flow(
    model: str, overrides: list[str], reason: str = "", signer: str | None = None, wait: bool = False
) -> LedgerAction:
    """Make a version champion by the policy in force.

    Args:
        model: `NAME/VERSION` in the registry.
        overrides: Hydra overrides; the groups promotion, team and tracking matter.
        reason: why, in words.
        signer: name of the key to sign with; without one `HEADFRAME_SIGNER`, else the only key there is.
        wait: request approvals in Prefect's pages, and wait for them; else a missing approval is refused at once.

    Raises:
        Refused: a gate, an approval or a signature is missing or does not hold.
    """
    project = Project.find(Path.cwd())
    service = PromotionService.of(load_plan(overrides, project, fitting=False), project.root)
    key = own_key(signer)
    version = resolve(model, service.uri)
    entries, author = service.current_entries(version.model), service.version_files(version).author
    rules = service.rules(author, entries)
    gated = valid_gate_entry(entries_since_champion(entries), version.number, rules)
    if gated is None:
        run = action(run_gates)(version, service, key)
        if not run.report.passed:
            raise Refused(run.message)
        gated = service.entries(version.model)[run.number - 1]
        refuse_if(gate_entry_problem(gated, rules))  # before anybody is asked for an approval in vain
    report = gated.digests["report"]
    if wait and service.promotion.approvals.needed:
        given = wait_for_input(ApprovalForm, f"{version.model}-{version.number}-{report[:16]}", HOURS)
        if given is not None and given.approval.strip():
            action(record_approval)(version, given.approval, service, key)
    return action(promote)(version, service, key, reason)
