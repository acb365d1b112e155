"""Time and memory that a packaged model takes: measured in an isolated process, which holds nothing else."""

import time
from pathlib import Path

WARM_UP = 5  # requests before time counts


def measure_resources(model: str, rows: str, positions: list[int], requests: int, threads: int) -> dict[str, float]:
    """Measure the predictions of single rows, then of many at once; call it with `call_isolated`.

    Args:
        model: the folder that holds `MLmodel`.
        rows: a Parquet file.
        positions: of the examples to predict, as `Framing` has them.
        requests: of a single row.
        threads: that predictions are computed with.

    Returns:
        Values by the names of `Budget`'s limits; milliseconds, rows per second, MiB.
    """
    import numpy as np  # noqa: PLC0415 - the model's memory begins here
    import pyarrow.parquet as pq  # noqa: PLC0415 - the model's memory begins here

    from headframe.prediction.threads import limit_threads  # noqa: PLC0415 - the model's memory begins here
    from headframe.registry.loader import load_package  # noqa: PLC0415 - the model's memory begins here
    from headframe.training.cost import ResourceUsage  # noqa: PLC0415 - the model's memory begins here

    limit_threads(threads)
    predictor = load_package(Path(model))
    table = pq.read_table(rows)
    inputs = [predictor.framing.context(table, position).combine_chunks() for position in positions]
    taken = []
    for number in range(WARM_UP + requests):
        request = inputs[number % len(inputs)]
        begun = time.perf_counter()
        predictor.predict(request)
        taken.append(1000 * (time.perf_counter() - begun))
    begun = time.perf_counter()
    predictor.predictions(table, np.array(positions, dtype=np.int64))
    seconds = time.perf_counter() - begun
    median, late = np.percentile(taken[WARM_UP:], [50, 95]).tolist()
    return {
        "latency_p50_ms": median,
        "latency_p95_ms": late,
        "rows_per_second": len(positions) / seconds,
        "memory_mib": ResourceUsage().read().peak_memory_mib,
    }
