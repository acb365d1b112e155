"""The data contract was checked on this very table, and kept."""

from __future__ import annotations

from dataclasses import dataclass

from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.gates.context import Case
from headframe.gates.report import GateResult
from headframe.validation.contracts import terms


@dataclass(frozen=True)
class Contract:
    """Ask for the validation report of the version's table: every promise of the plan's contract checked and kept."""

    def judge(self, case: Case) -> GateResult:
        """Judge a version."""
        try:
            report = case.validation
        except (Unavailable, Refused):
            raise
        except HeadframeError as error:
            return GateResult(gate="contract", passed=False, verdict="unproven", reason=str(error))
        wanted = case.said("table")
        promised = {(term.column, term.words) for term in terms(case.plan.dataset.contract)}
        checked = {(finding.column, finding.promise) for finding in report.findings}
        broken = [finding for finding in report.findings if not finding.kept]
        numbers: dict[str, float | int | str | None] = {
            "promises": len(promised),
            "checked": len(report.findings),
            "broken": len(broken),
            "rows": report.rows,
            "table": report.digest,
        }

        def refuse(word: str, reason: str) -> GateResult:
            return GateResult(gate="contract", passed=False, verdict=word, reason=reason, numbers=numbers)

        if report.digest != wanted:
            reason = f"the validation report is about table {report.digest[:12]}, but the version is of {wanted[:12]}"
            return refuse("unproven", reason)
        unchecked = sorted(f"{column or 'the table'} {words}" for column, words in promised - checked)
        if unchecked:
            return refuse("unproven", f"{len(unchecked)} promises were not checked, first: {unchecked[0]}")
        if broken:
            first = broken[0]
            what = f"{first.column or 'the table'} {first.promise}"
            return refuse("broken", f"{len(broken)} of {len(report.findings)} promises are broken, first: {what}")
        reason = f"all {len(report.findings)} promises are kept by the {report.rows:,} rows of table {wanted[:12]}"
        return GateResult(gate="contract", passed=True, verdict="kept", reason=reason, numbers=numbers)
