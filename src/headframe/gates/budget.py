"""Time, memory and disk that the packaged model takes."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headframe.config.ranges import Count, Positive
from headframe.gates.base import Gate
from headframe.gates.context import GateContext
from headframe.gates.measure_budget import measure_resources
from headframe.gates.report import GateResult, Numbers
from headframe.processes import call_isolated

LARGEST_BATCH = 1024  # test rows that are predicted
UNITS = {
    "latency_p50_ms": "ms for one row at the median",
    "latency_p95_ms": "ms for one row at the 95th percentile",
    "memory_mib": "MiB of memory at most",
    "size_mib": "MiB on disk",
    "rows_per_second": "rows a second",
}


@dataclass(frozen=True)
class Budget(Gate):
    """Require that the packaged model predicts fast enough and is small enough, measured in an isolated process.

    The figures are those of this machine at this moment, so they are rounded to three digits; leave room. Memory is
    that of the whole process, which holds Python and the libraries that the model needs besides itself.

    Attributes:
        latency_p50_ms: longest median time of a prediction for one row.
        latency_p95_ms: longest 95th percentile of it.
        rows_per_second: least throughput of many rows at once.
        memory_mib: most resident memory.
        size_mib: most disk space of the package.
        requests: predictions for one row that are timed.
    """

    latency_p50_ms: Positive | None = None
    latency_p95_ms: Positive | None = None
    rows_per_second: Positive | None = None
    memory_mib: Positive | None = None
    size_mib: Positive | None = None
    requests: Count = 100

    def judge(self, context: GateContext) -> GateResult:
        """Judge a version; a figure without a bound is only reported.

        Raises:
            HeadframeError: the package does not predict.
        """
        files = (path for path in context.records.model.rglob("*") if path.is_file())
        measured = {**self._measure(context), "size_mib": sum(path.stat().st_size for path in files) / 2**20}
        figures = {name: float(f"{value:.3g}") for name, value in measured.items()}
        numbers: Numbers = dict(figures)
        exceeded = []
        for name, unit in UNITS.items():
            bound = getattr(self, name)
            numbers[f"{name}_bound"] = bound
            least = name == "rows_per_second"
            if bound is not None and not (figures[name] >= bound if least else figures[name] <= bound):
                exceeded.append(
                    f"{figures[name]:g} {unit} where {'at least' if least else 'at most'} {bound:g} are required"
                )
        if exceeded:
            return GateResult.refuse("exceeded", f"the packaged model needs {'; '.join(exceeded)}", numbers)
        reason = (
            f"the packaged model needs {figures['latency_p50_ms']:g} ms for one row, {figures['memory_mib']:g} MiB of "
            f"memory and {figures['size_mib']:g} MiB on disk"
        )
        bounded = any(getattr(self, name) is not None for name in UNITS)
        return GateResult.accept("within bounds" if bounded else "no bound", reason, numbers)

    def _measure(self, context: GateContext) -> dict[str, float]:
        positions, rows = context.rows.positions[:LARGEST_BATCH], context.rows.prepared.rows
        if context.records.task.horizon:
            rows = rows.slice(0, int(positions.max()))  # a window ends before the rows that it predicts
        else:
            rows, positions = rows.take(pa.array(positions)), np.arange(len(positions))
        with tempfile.TemporaryDirectory() as scratch:
            pq.write_table(rows, Path(scratch) / "rows", compression="none")
            measured: dict[str, float] = call_isolated(
                measure_resources,
                {
                    "model": str(context.records.model),
                    "rows": str(Path(scratch) / "rows"),
                    "positions": positions.tolist(),
                    "requests": self.requests,
                    "threads": context.records.plan.trainer.threads,
                },
                subject=f"the package of {context.request.version.uri}",
            )
        return measured
