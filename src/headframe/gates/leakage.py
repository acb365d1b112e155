"""No test row is among the rows that the model learned from."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headframe.config.build import build
from headframe.config.plan.data import CONTENT, ROW_ID
from headframe.datasets import hashing
from headframe.datasets.groups import first_shared
from headframe.datasets.splits import SPLITS
from headframe.errors import HeadframeError, Refused, Unavailable, shown
from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.report import GateResult, Numbers


@dataclass(frozen=True)
class Leakage(Gate):
    """Split the table again and look for contents and groups of test rows among training and validation rows.

    The split must come out as it was registered, and what was measured must be its test rows: all of them, where rows
    are examples; of a forecast, windows that begin in them. Rows of a series may repeat, so there every test row must
    come later than all others that were used.

    Rows with different cells may also be one for the model's features, as texts that differ in blanks are. Unless the
    data set says that its rows repeat, a model may have learned from no such copy of a test row.
    """

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version."""
        splits, table = context.rows.splits, context.rows.table
        numbers: Numbers = {split: int((splits == split).sum()) for split in SPLITS}
        codes = np.searchsorted(sorted(SPLITS), splits).astype(np.uint8)
        found, expected = hashlib.sha256(codes.tobytes()).hexdigest(), context.records.signed_digest("split")
        if found != expected:
            reason = f"the table splits into {found[:12]}, but the version was measured on split {expected[:12]}"
            return GateResult.refuse("leaks", reason, numbers)
        ids = table.read([ROW_ID])[ROW_ID].filter(pa.array(splits == "test")).combine_chunks()
        measured = context.rows.predictions["row_id"].combine_chunks()
        foreign = measured.filter(pc.invert(pc.is_in(measured, value_set=ids)))
        if len(foreign):
            reason = f"{len(foreign)} measured rows are no test rows, first {foreign[0].as_py()}"
            return GateResult.refuse("leaks", reason, numbers)
        if not context.records.task.horizon and len(measured) != len(ids):
            reason = f"{len(measured):,} rows were measured, but the split has {len(ids):,} test rows"
            return GateResult.refuse("leaks", reason, numbers)
        if build(context.records.plan.dataset.split).disjoint:
            return self._contents(context, numbers)
        return self._order(context, numbers)

    def _contents(self, context: GateContext, numbers: Numbers) -> GateResult:
        splits = context.rows.splits
        contents = hashing.content_numbers(context.rows.table.read([CONTENT])[CONTENT])
        learned = np.unique(contents[np.isin(splits, ["train", "validation"])])
        tested = contents[splits == "test"]
        shared = np.isin(tested, learned)
        numbers["shared"] = int(shared.sum())
        if shared.any():
            reason = (
                f"{shared.sum():,} of {len(tested):,} test rows have contents that were learned from, first "
                f"{tested[shared][0]:016x}"
            )
            return GateResult.refuse("leaks", reason, numbers)
        for column in context.records.plan.dataset.group:
            values = context.rows.table.read([column])[column]
            of_group, first = first_shared(values, np.isin(splits, ["train", "validation"]), splits == "test")
            numbers[f"shared_{column}"] = int(of_group.sum())
            if of_group.any():
                reason = (
                    f"{of_group.sum():,} of {len(tested):,} test rows have a {column} that was learned from, first "
                    f"{shown(first)}"
                )
                return GateResult.refuse("leaks", reason, numbers)
        if context.records.plan.dataset.repeats:
            reason = f"none of the contents of {len(tested):,} test rows is among {len(learned):,} learned from"
            return GateResult.accept("no leakage", reason, numbers)
        return self._features(context, numbers)

    def _features(self, context: GateContext, numbers: Numbers) -> GateResult:
        try:
            found = context.rows.learned_copies(context.records.model)
        except (Unavailable, Refused):
            raise
        except HeadframeError as error:
            return GateResult.refuse("unknown", f"the package does not encode the rows: {error}", numbers)
        numbers["copies"] = max(copies for copies, _ in found.values())
        numbers["left_out"] = max(left_out for _, left_out in found.values())
        tested = f"{numbers['test']:,} test rows"
        for name, (copies, _) in found.items():
            if copies:
                of = f"the features of member {name}" if name else "its features"
                reason = f"{copies:,} rows that were learned from are, for {of}, copies of some of the {tested}"
                return GateResult.refuse("leaks", reason, numbers)
        reason = f"none of the {tested} is, as a raw row or for the model's features, a copy of a row learned from"
        return GateResult.accept("no leakage", reason, numbers)

    def _order(self, context: GateContext, numbers: Numbers) -> GateResult:
        splits, table, time = context.rows.splits, context.rows.table, context.records.plan.dataset.time
        times = np.arange(len(splits)) if time is None else np.asarray(hashing.one_chunk(table.read([time])[time]))
        learned, tested = times[np.isin(splits, ["train", "validation"])], times[splits == "test"]
        late = int((learned >= tested.min()).sum())
        numbers["not_earlier"] = late
        if late:
            reason = f"{late:,} rows that were learned from are not earlier than the first test row, {tested.min()}"
            return GateResult.refuse("leaks", reason, numbers)
        reason = f"all {len(tested):,} test rows are later than the {len(learned):,} that were learned from"
        return GateResult.accept("no leakage", reason, numbers)
