"""Judge a version by the gates of a policy."""

from headframe.gates.base import Gate
from headframe.gates.report import GateReport, SpentLevel
from headframe.gates.request import GateRequest

DIGESTS = ("plan", "table", "split", "predictions")


def judge_version(request: GateRequest) -> GateReport:
    """Judge a version by every gate of the policy, up to one whose result is final.

    Equal files give an equal report, except for the figures of `budget`, which are of this machine at this moment
    and therefore rounded.

    Raises:
        HeadframeError: a file that the gates need cannot be fetched.
        Refused: it is not what was registered; or the version passes, but its signed split or metrics are not those
            that are computed again.
    """
    from headframe.config.build import build  # noqa: PLC0415 - imports torch and mlflow
    from headframe.gates.context import open_context  # noqa: PLC0415 - imports torch and mlflow
    from headframe.gates.recompute import require_recomputed  # noqa: PLC0415 - imports torch and mlflow

    with open_context(request) as context:
        results = []
        for name, component in request.promotion.gates.items():
            gate: Gate = build(component)
            facts = {"gate": name, "topic": gate.topic}
            results.append(gate.judge(context).model_copy(update=facts))
            if results[-1].is_final:
                break
        consulted = not results[-1].is_final
        if all(result.passed for result in results):
            require_recomputed(context)
        p = next((result.p for result in results if result.p is not None), None)
        digest, champion = context.records.signed_digest, context.records.champion.signed
        return GateReport(
            model=request.version.model,
            version=request.version.number,
            bundle=digest("bundle"),
            champion=None if request.champion is None else request.champion.number,
            champion_bundle=None if champion is None else str(champion.payload["bundle"]),
            policy=request.promotion.policy,
            settings={name: each.model_dump(mode="json") for name, each in request.promotion.gates.items()},
            error_control=request.promotion.error_control.model_dump(mode="json"),
            rows=context.rows.count if consulted else 0,
            rows_digest=context.rows.digest if consulted else "",
            digests={name: digest(name) for name in DIGESTS},
            tested=None if p is None else SpentLevel(p=p, level=request.level, candidates=request.candidates),
            tries=request.tries,
            candidates=request.candidates,
            results=tuple(results),
        )
