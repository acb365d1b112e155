"""No test row is among the rows that the model learned from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.build import build
from headframe.datasets import cells
from headframe.datasets.splits import PARTS
from headframe.gates.context import Case
from headframe.gates.report import GateResult


@dataclass(frozen=True)
class Leakage:
    """Divide the table again and look for test contents among training and validation rows.

    The split must come out as it was registered, and what was measured must be its test rows: all of them, where rows
    are examples; of a forecast, windows that begin in them. Rows of a series may repeat, so there every test row must
    come later than all others that were used.
    """

    def judge(self, case: Case) -> GateResult:
        """Judge a version."""
        parts = case.parts
        numbers: dict[str, float | int | str | None] = {part: int((parts == part).sum()) for part in PARTS}

        def refuse(reason: str) -> GateResult:
            return GateResult(gate="leakage", passed=False, verdict="leaks", reason=reason, numbers=numbers)

        codes = np.searchsorted(sorted(PARTS), parts).astype(np.uint8)
        came, wanted = hashlib.sha256(codes.tobytes()).hexdigest(), case.said("split")
        if came != wanted:
            return refuse(f"the table is divided into {came[:12]}, but the version was measured on split {wanted[:12]}")
        ids = case.table.read(["row_id"])["row_id"].filter(pa.array(parts == "test")).combine_chunks()
        measured = case.predictions["row_id"].combine_chunks()
        strange = measured.filter(pc.invert(pc.is_in(measured, value_set=ids)))
        if len(strange):
            return refuse(f"{len(strange)} measured rows are no test rows, first {strange[0].as_py()}")
        if not case.task.horizon and len(measured) != len(ids):
            return refuse(f"{len(measured):,} rows were measured, but the split has {len(ids):,} test rows")
        if build(case.plan.dataset.split).apart:
            return self._contents(case, parts, numbers)
        return self._order(case, parts, numbers)

    def _contents(self, case: Case, parts: np.ndarray, numbers: dict[str, float | int | str | None]) -> GateResult:
        contents = cells.numbers(case.table.read(["content"])["content"])
        known = np.unique(contents[np.isin(parts, ["train", "validation"])])
        tested = contents[parts == "test"]
        shared = np.isin(tested, known)
        numbers["shared"] = int(shared.sum())
        if shared.any():
            reason = (
                f"{shared.sum():,} of {len(tested):,} test rows have contents that were learned from, first "
                f"{tested[shared][0]:016x}"
            )
            return GateResult(gate="leakage", passed=False, verdict="leaks", reason=reason, numbers=numbers)
        reason = f"none of the contents of {len(tested):,} test rows is among {len(known):,} that were learned from"
        return GateResult(gate="leakage", passed=True, verdict="apart", reason=reason, numbers=numbers)

    def _order(self, case: Case, parts: np.ndarray, numbers: dict[str, float | int | str | None]) -> GateResult:
        time = case.plan.dataset.time
        moments = np.arange(len(parts)) if time is None else np.asarray(cells.whole(case.table.read([time])[time]))
        learned, tested = moments[np.isin(parts, ["train", "validation"])], moments[parts == "test"]
        late = int((learned >= tested.min()).sum())
        numbers["not_earlier"] = late
        if late:
            reason = f"{late:,} rows that were learned from are not earlier than the first test row, {tested.min()}"
            return GateResult(gate="leakage", passed=False, verdict="leaks", reason=reason, numbers=numbers)
        reason = f"all {len(tested):,} test rows are later than the {len(learned):,} that were learned from"
        return GateResult(gate="leakage", passed=True, verdict="apart", reason=reason, numbers=numbers)
