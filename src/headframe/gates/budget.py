"""Time, memory and disk that the packaged model takes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headframe.config.ranges import Count, Positive
from headframe.gates.context import Case
from headframe.gates.measure_budget import measure
from headframe.gates.report import GateResult
from headframe.processes import call_isolated

AT_ONCE = 1024  # test rows that are asked about
UNITS = {
    "latency_p50_ms": "ms for one row at the median",
    "latency_p95_ms": "ms for one row at the 95th percentile",
    "memory_mib": "MiB of memory at most",
    "size_mib": "MiB on disk",
    "rows_per_second": "rows a second",
}


@dataclass(frozen=True)
class Budget:
    """Ask that the packaged model answers fast enough and is small enough, measured in a process of its own.

    The figures are those of this machine in this moment, so they are rounded to three digits; leave room. Memory is
    that of the whole process, which holds Python and the libraries that the model needs beside it.

    Attributes:
        latency_p50_ms: longest median time of an answer about one row.
        latency_p95_ms: longest 95th percentile of it.
        rows_per_second: least throughput of many rows at once.
        memory_mib: most resident memory.
        size_mib: most disk space of the package.
        requests: answers about one row that are timed.
    """

    latency_p50_ms: Positive | None = None
    latency_p95_ms: Positive | None = None
    rows_per_second: Positive | None = None
    memory_mib: Positive | None = None
    size_mib: Positive | None = None
    requests: Count = 100

    def judge(self, case: Case) -> GateResult:
        """Judge a version; what has no bound is only written down.

        Raises:
            HeadframeError: the package does not answer.
        """
        size = sum(path.stat().st_size for path in case.model.rglob("*") if path.is_file()) / 2**20
        found = {name: float(f"{value:.3g}") for name, value in {**self._measure(case), "size_mib": size}.items()}
        numbers: dict[str, float | int | str | None] = dict(found)
        over = []
        for name, unit in UNITS.items():
            bound = getattr(self, name)
            numbers[f"{name}_bound"] = bound
            least = name == "rows_per_second"
            if bound is not None and not (found[name] >= bound if least else found[name] <= bound):
                over.append(
                    f"{found[name]:g} {unit} where {'at least' if least else 'at most'} {bound:g} are asked for"
                )
        if over:
            reason = f"the packaged model needs {'; '.join(over)}"
            return GateResult(gate="budget", passed=False, verdict="exceeded", reason=reason, numbers=numbers)
        told = f"{found['latency_p50_ms']:g} ms for one row, {found['memory_mib']:g} MiB of memory"
        reason = f"the packaged model needs {told} and {found['size_mib']:g} MiB on disk"
        word = "kept" if any(getattr(self, name) is not None for name in UNITS) else "nothing asked"
        return GateResult(gate="budget", passed=True, verdict=word, reason=reason, numbers=numbers)

    def _measure(self, case: Case) -> dict[str, float]:
        places = case.places[:AT_ONCE]
        rows = case.prepared.rows
        if case.task.horizon:
            rows = rows.slice(0, int(places.max()))  # a window ends before the rows that it predicts
        else:
            rows, places = rows.take(pa.array(places)), np.arange(len(places))
        with tempfile.TemporaryDirectory() as scratch:
            pq.write_table(rows, Path(scratch) / "rows", compression="none")
            measured: dict[str, float] = call_isolated(
                measure,
                {
                    "model": str(case.model),
                    "rows": str(Path(scratch) / "rows"),
                    "places": places.tolist(),
                    "requests": self.requests,
                    "threads": case.plan.trainer.threads,
                },
                subject=f"the package of {case.version.uri}",
            )
        return measured
