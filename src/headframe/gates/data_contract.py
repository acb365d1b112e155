"""The data contract was checked on this very table, and holds: it is checked again."""

from dataclasses import dataclass

from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult, Numbers
from headframe.validation.checks import check
from headframe.validation.expectations import expectations


@dataclass(frozen=True)
class DataContract(Gate):
    """Require a validation report of the version's table: every constraint of the plan's contract checked and met.

    The report is what people read; what decides is the table, on which every constraint is checked again.
    """

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version."""
        try:
            report = context.records.validation
        except (Unavailable, Refused):
            raise
        except HeadframeError as error:
            return GateResult.refuse("unproven", str(error))
        table = context.records.signed_digest("table")
        contract = context.records.plan.dataset.contract
        required = {(expectation.column, expectation.constraint) for expectation in expectations(contract)}
        checked = {(result.column, result.constraint) for result in report.results}
        broken = [result for result in report.results if not result.passed]
        numbers: Numbers = {
            "constraints": len(required),
            "checked": len(report.results),
            "broken": len(broken),
            "rows": report.rows,
            "table": report.digest,
        }
        if report.digest != table:
            reason = f"the validation report is about table {report.digest[:12]}, but the version is of {table[:12]}"
            return GateResult.refuse("unproven", reason, numbers)
        unchecked = sorted(f"{column or 'the table'} {constraint}" for column, constraint in required - checked)
        if unchecked:
            reason = f"{len(unchecked)} constraints were not checked, first: {unchecked[0]}"
            return GateResult.refuse("unproven", reason, numbers)
        if broken:
            first = f"{broken[0].column or 'the table'} {broken[0].constraint}"
            reason = f"{len(broken)} of {len(report.results)} constraints are broken, first: {first}"
            return GateResult.refuse("broken", reason, numbers)
        again = check(context.rows.table, contract)
        missed = [result for result in again if not result.passed]
        if missed:
            first = f"{missed[0].column or 'the table'} {missed[0].constraint}"
            reason = f"the report says that all constraints are met, but the table breaks {len(missed)}, first: {first}"
            return GateResult.refuse("broken", reason, numbers)
        reason = f"all {len(report.results)} constraints are met by the {report.rows:,} rows of table {table[:12]}"
        return GateResult.accept("met", reason, numbers)
