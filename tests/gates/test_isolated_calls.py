"""What runs in a process of its own, called here with a model that remembers what it was asked."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headframe.errors import DataError
from headframe.examples.framing import RowFraming, WindowFraming
from headframe.gates import measure_budget
from headframe.gates.measure_budget import WARM_UP, measure_resources
from headframe.gates.predict import write_predictions


class Model:
    """Predicts the numbers of rows; looks back and ahead as it is told."""

    def __init__(self, lookback: int, horizon: int = 0) -> None:
        self.horizon = horizon
        self.framing = WindowFraming(lookback, horizon, None) if lookback else RowFraming()
        self.asked: list[list[int]] = []
        self.whole: list[Any] = []

    def predict(self, rows: pa.Table) -> None:
        self.asked.append(rows["n"].to_pylist())

    prediction_schema = pa.schema([("score", pa.float64())])

    def batches(self, table: pa.Table, positions: np.ndarray) -> Iterator[pa.Table]:
        self.whole.append((table["n"].to_pylist(), positions.tolist()))
        rows, places = self.framing.requested(table, positions)
        read = self.framing.reads(rows)(places)
        scores = np.array(rows["n"], dtype=np.float64)[read.reshape(len(read), -1)[:, 0]]
        yield pa.table({"score": scores[:2]})
        yield pa.table({"score": scores[2:]})

    def predictions(self, table: pa.Table, positions: np.ndarray) -> pa.Table:
        return pa.concat_tables(self.batches(table, positions))


@pytest.fixture
def rows(tmp_path: Path) -> str:
    pq.write_table(pa.table({"n": range(10), "y": range(10)}), tmp_path / "rows")
    return str(tmp_path / "rows")


def loaded(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have the model loaded in place of a package; returns the threads that are asked for."""
    threads: list[int] = []
    monkeypatch.setattr("headframe.registry.loader.load_package", lambda folder: model)
    monkeypatch.setattr("headframe.prediction.threads.limit_threads", threads.append)

    def limited(number: int) -> Any:
        threads.append(number)
        return nullcontext()

    monkeypatch.setattr("headframe.prediction.threads.limited_threads", limited)
    return threads


@pytest.mark.parametrize(("lookback", "first"), [(0, [4]), (3, [1, 2, 3])])
def test_single_rows_are_timed_after_a_warm_up_and_then_all_at_once(
    lookback: int, first: list[int], rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(lookback)
    threads = loaded(model, monkeypatch)
    # The clock of a call: nothing for the first ones, then 1, 2, 3, 4 ms; 2 s for all rows.
    ends = [*[0.0] * WARM_UP, 0.001, 0.002, 0.003, 0.004, 2.0]
    ticks = [tick for end in ends for tick in (0.0, end)]
    monkeypatch.setattr(measure_budget, "time", SimpleNamespace(perf_counter=iter(ticks).__next__))
    found = measure_resources("model", rows, [4, 6, 9], requests=4, threads=3)
    monkeypatch.undo()
    assert threads == [3]
    assert found["latency_p50_ms"] == pytest.approx(2.5)
    assert found["latency_p95_ms"] == pytest.approx(3.85)
    assert found["rows_per_second"] == pytest.approx(3 / 2)
    assert found["memory_mib"] > 1
    assert len(model.asked) == WARM_UP + 4
    assert model.asked[0] == first
    assert model.asked[1] == [each + 2 for each in first]
    assert model.asked[3] == first, "one after the other, and again"
    assert model.whole == [(list(range(10)), [4, 6, 9])]


def written(model: Model, chosen: list[int], rows: str, horizon: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = Path(rows).parent
    np.save(folder / "positions.npy", np.array(chosen))
    threads = loaded(model, monkeypatch)
    write_predictions(
        model="model", rows=rows, positions=str(folder / "positions.npy"), predictions=str(folder / "out"),
        horizon=horizon, threads=5,
    )  # fmt: skip
    assert threads == [5]
    return pq.read_table(folder / "out").to_pydict()


def test_rows_are_predicted_in_the_order_that_is_asked_for(rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(0)
    assert written(model, [7, 2], rows, 0, monkeypatch) == {"score": [7.0, 2.0]}
    assert model.whole == [(list(range(10)), [7, 2])]


def test_windows_begin_a_lookback_earlier_and_end_a_horizon_later(rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = written(Model(3, 2), [3, 8], rows, 2, monkeypatch)
    assert found == {"score": [0.0, 5.0]}


@pytest.mark.parametrize(
    ("model", "horizon", "words"),
    [
        (Model(3, 2), 4, "it predicts 2 rows ahead, not 4"),
        (Model(0, 0), 4, "it predicts no rows ahead, not 4"),
        (Model(3, 2), 0, "it predicts 2 rows ahead, not none"),
        (Model(4, 2), 2, "rows 4 to 9 are to be predicted from 4 rows before each, but 10 rows came; those that can"),
    ],
)
def test_a_model_that_looks_elsewhere_is_refused(
    model: Model, horizon: int, words: str, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=words):
        written(model, [3, 8], rows, horizon, monkeypatch)
