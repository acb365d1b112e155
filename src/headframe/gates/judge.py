"""Judge a version by the gates of a policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from headframe.config.plan.promotion import PromotionConfig
from headframe.gates.report import GateReport, GateResult
from headframe.registry.versions import Version
from headframe.signing.trust import Trust

if TYPE_CHECKING:
    from headframe.gates.context import Case


DIGESTS = ("plan", "table", "split", "predictions")


class Gate(Protocol):
    """A class with settings in a file in `promotion/gates/`, or in the project's own code."""

    def judge(self, case: Case) -> GateResult:
        """Say whether a version passes, and by which numbers."""


def judge_version(
    version: Version,
    champion: Version | None,
    promotion: PromotionConfig,
    *,
    tries: int,
    candidates: int,
    reproduced: str | None,
    uri: str,
    root: Path,
    trust: Trust,
) -> GateReport:
    """Ask all gates of a policy about a version.

    Equal files give an equal report, except for the figures of `budget`, which are of this machine in this moment
    and therefore rounded.

    Args:
        version: as the registry has it, with its tags.
        champion: as the registry has it; None where there is none.
        promotion: the policy.
        tries: how many versions, with this one, were compared with this champion so far.
        candidates: how many versions, with this one, were registered for this comparison and not yet compared, since
            somebody may have picked the luckiest.
        reproduced: verdict of the last attempt to make the version again; None where there was none.
        uri: MLflow's address.
        root: the project's folder.
        trust: whose signatures count.

    Raises:
        HeadframeError: what the gates look at cannot be had.
        Refused: it is not what was registered.
    """
    from headframe.config.build import build  # noqa: PLC0415 - with the next one imports torch and mlflow
    from headframe.gates.context import open_case  # noqa: PLC0415

    with open_case(
        version,
        champion,
        promotion,
        tries=tries,
        candidates=candidates,
        reproduced=reproduced,
        uri=uri,
        root=root,
        trust=trust,
    ) as case:
        results = []
        for name, component in promotion.gates.items():
            gate: Gate = build(component)
            results.append(gate.judge(case).model_copy(update={"gate": name}))
        signed = case.reign.signed
        return GateReport(
            model=version.model,
            version=version.number,
            bundle=case.said("bundle"),
            champion=None if champion is None else champion.number,
            champion_bundle=None if signed is None else str(signed.claim["bundle"]),
            policy=promotion.policy,
            settings={name: each.model_dump(mode="json") for name, each in promotion.gates.items()},
            rows=case.rows,
            rows_digest=case.rows_digest,
            digests={name: case.said(name) for name in DIGESTS},
            tries=tries,
            candidates=candidates,
            results=tuple(results),
        )
