"""What a version's author signed of its split and its figures, computed again from its table and its predictions."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headframe.config.natural import natural_baselines
from headframe.datasets.splits import SPLITS
from headframe.digests import load_json
from headframe.errors import Refused
from headframe.evaluation.evaluation import measure
from headframe.evaluation.findings import confirm_in_table
from headframe.evaluation.layout import METRICS, SLICES
from headframe.evaluation.report import SlicesByColumn
from headframe.evaluation.slices import append_contents
from headframe.gates.context import GateContext, open_context
from headframe.gates.report import nearly_equal
from headframe.gates.request import GateRequest
from headframe.prediction.layout import FINDINGS, copies_left_out
from headframe.records import PLANNED
from headframe.registry.compare_signed import require_signed_bytes
from headframe.registry.layout import bundle_in
from headframe.tracking import layout


def require_recomputed(context: GateContext) -> None:
    """Check that the split and the metrics that were signed are those of the version's table and predictions.

    Raises:
        Refused: one is not.
    """
    records, rows, uri = context.records, context.rows, context.request.version.uri
    codes = np.searchsorted(sorted(SPLITS), rows.splits).astype(np.uint8)
    found, signed = hashlib.sha256(codes.tobytes()).hexdigest(), records.signed_digest("split")
    if found != signed:
        raise Refused(
            f"the table of {uri}, split as its plan says, gives split {found[:12]}, but {signed[:12]} was signed; "
            "train and register it again"
        )
    evaluated = records.provenance.evaluated
    measured = records.task.measure(rows.predictions)
    for name, interval in evaluated.metrics.items():
        if name not in measured or not nearly_equal(measured[name], interval.value):
            raise Refused(
                f"{name} of {uri} was signed as {interval.value:.4f}, but its predictions measure to "
                f"{measured.get(name, math.nan):.4f} on the same {rows.count:,} test rows; train and register it again"
            )


def differing_figures(request: GateRequest) -> list[str]:
    """Measure a version again: intervals, natural baselines, slices, findings; return a message for each difference.

    The plan's own baseline is left out, since its predictions are not registered.

    Raises:
        HeadframeError: a file is missing.
        Refused: it is not the one that was signed, or as `require_recomputed`.
    """
    with open_context(request) as context:
        require_recomputed(context)
        records, rows, plan = context.records, context.rows, context.records.plan
        files: dict[str, Any] = {}
        again: dict[str, Any] = {}
        for name, signed in ((METRICS, "evaluated"), (SLICES, "slices")):
            file = f"{layout.EVALUATION}/{name}"
            content = records.file(file).read_bytes()
            files[name] = load_json(require_signed_bytes(content, signed, file, request.version, records.signed))
        stored = rows.stored
        if not records.task.horizon:
            stored = append_contents(stored, rows.table, plan.dataset.repeated_columns, plan.dataset.group)
        kind, bundle = records.task.findings(plan.dataset.example_columns), bundle_in(records.model)
        if kind is not None:
            file = f"{layout.EVALUATION}/{FINDINGS}"
            content = require_signed_bytes(
                records.file(file).read_bytes(), "findings", file, request.version, records.signed
            )
            files[FINDINGS] = pq.read_table(pa.BufferReader(content)).to_pylist()
            again[FINDINGS] = confirm_in_table(kind, bundle, plan.dataset, rows.table).to_pylist()
        natural = natural_baselines(plan.task, request.root / "src")
        left_out = copies_left_out(bundle)
        measured, slices = measure(plan, records.task, rows.table, stored, {}, natural, left_out)
    files[METRICS]["baselines"].pop(PLANNED, None)
    again |= {METRICS: measured.model_dump(mode="json"), SLICES: SlicesByColumn.dump_python(slices, mode="json")}
    compared = again[METRICS]["baselines"]  # a baseline that was added to the code since is no figure of the version
    again[METRICS]["baselines"] = {name: compared.get(name) for name in files[METRICS]["baselines"]}
    return [
        f"{layout.EVALUATION}/{name} of {request.version.uri}: {difference}"
        for name in files
        for difference in list(_differences(files[name], again[name]))[:1]
    ]


def _differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Yield where two JSON values differ by more than rounding."""
    if isinstance(before, Mapping) and isinstance(after, Mapping) and before.keys() == after.keys():
        for key, value in before.items():
            yield from _differences(value, after[key], f"{where}.{key}".lstrip("."))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(one, other, f"{where}[{number}]")
    elif before != after and not nearly_equal(before, after):
        yield f"{where} is {before}, but computed again it is {after}"
