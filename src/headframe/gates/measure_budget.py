"""What a packaged model takes to answer: a program of its own, so that nothing else is in its memory.

`python -m headframe.gates.measure_budget QUESTION.json ANSWER.json` is that process.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

WARM = 5  # answers before time counts


def main(question: Path, answer: Path) -> None:
    """Ask a package about single rows, then about many at once, and write what that took."""
    import numpy as np  # noqa: PLC0415 - the model's memory begins here
    import pyarrow.parquet as pq  # noqa: PLC0415
    import torch  # noqa: PLC0415

    from headframe.registry.loader import open_package  # noqa: PLC0415
    from headframe.training.cost import ResourceUsage  # noqa: PLC0415

    asked = json.loads(question.read_bytes())
    torch.set_num_threads(asked["threads"])
    predictor = open_package(Path(asked["model"]))
    rows = pq.read_table(asked["rows"])
    starts = np.array(asked["places"], dtype=np.int64) - predictor.lookback
    length = predictor.lookback or 1
    requests = [rows.slice(int(start), length).combine_chunks() for start in starts]
    taken = []
    for number in range(WARM + asked["requests"]):
        request = requests[number % len(requests)]
        begun = time.perf_counter()
        predictor.predict(request)
        taken.append(1000 * (time.perf_counter() - begun))
    begun = time.perf_counter()
    if predictor.lookback:
        predictor.scores(rows, starts)
    else:
        predictor.predict(rows)
    seconds = time.perf_counter() - begun
    median, late = np.percentile(taken[WARM:], [50, 95]).tolist()
    found = {
        "latency_p50_ms": median,
        "latency_p95_ms": late,
        "rows_per_second": len(starts) / seconds,
        "memory_mib": ResourceUsage().read().peak_memory_mib,
    }
    answer.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
