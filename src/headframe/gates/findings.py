"""What a version found holds on rows that it was not found in."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from headframe.config.ranges import Count, Share
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.evaluation.findings import confirm_in_table, confirmed_share
from headframe.findings.base import FindingKind
from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult, Numbers
from headframe.registry.layout import bundle_in


@dataclass(frozen=True)
class ConfirmedFindings(Gate):
    """Refuse a version whose findings held-out rows confirm too seldom, or that lacks confirmed ones of the champion's.

    The findings of both are measured again on the validation and test rows of the version's table; what either was
    registered with is not believed.

    Attributes:
        fewest: how many findings must be confirmed.
        share: share of the findings that must be confirmed.
        loss: share of the champion's findings which these rows confirm that the version may lack. The shares of both
            are not compared, since a version that finds more has a smaller one.
    """

    topic: ClassVar[str] = "findings"
    fewest: Count = 1
    share: Share = 0.05
    loss: Share = 0.1

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version.

        Raises:
            DataError: its findings cannot be measured on its table.
        """
        kind = context.rows.reference_task.findings(context.records.plan.dataset.example_columns)
        if kind is None:
            return GateResult.accept(
                "no findings", f"models for {context.records.task.kind} find nothing, they predict"
            )
        found = self._confirm(context, kind, context.records.model)
        confirmed, share = sum(found["confirmed"].to_pylist()), confirmed_share(found)
        numbers: Numbers = {"findings": found.num_rows, "confirmed": confirmed, "share": share}
        shown = f"held-out rows confirm {confirmed:,} of {found.num_rows:,} findings ({share:.1%})"
        if confirmed < self.fewest or share < self.share:
            needed = f"at least {self.fewest:,} and {self.share:.1%} are required"
            return GateResult.refuse("not confirmed", f"{shown}, but {needed}", numbers)
        if context.request.champion is None:
            return GateResult.accept("confirmed", f"{shown}, and there was no champion before", numbers)
        try:
            folder, signed = context.records.open(context.request.champion)
            other = self._confirm(context, kind, folder)
        except (Refused, Unavailable):
            raise
        except HeadframeError as error:
            return GateResult.accept("confirmed", f"{shown}; the champion's cannot be measured ({error})", numbers)
        known, lacking = {*found["id"].to_pylist()}, 0
        for name, holds in zip(other["id"].to_pylist(), other["confirmed"].to_pylist(), strict=True):
            lacking += holds and name not in known
        theirs = sum(other["confirmed"].to_pylist())
        split = [signed.payload.get(name) == context.records.signed_digest(name) for name in ("table", "split")]
        numbers |= {"champion_findings": other.num_rows, "champion_confirmed": theirs, "lacking": lacking}
        numbers["champion_may_have_seen_rows"] = "no" if all(split) else "yes"
        seen = "" if all(split) else " (which may have seen some of these rows)"
        compared = f"{shown}, and {theirs:,} of the champion's {other.num_rows:,}{seen}, of which it lacks {lacking:,}"
        if lacking > self.loss * theirs:
            return GateResult.refuse("worse", f"{compared}; {self.loss:.0%} are allowed", numbers)
        return GateResult.accept("confirmed", compared, numbers)

    @staticmethod
    def _confirm(context: GateContext, kind: FindingKind, model: Path) -> pa.Table:
        return confirm_in_table(kind, bundle_in(model), context.records.plan.dataset, context.rows.table)
