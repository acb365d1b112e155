"""Which epoch is the best and when to stop, against plain rules; how the steps of an epoch are cut into chunks."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from headframe.config.plan.trainer import EarlyStoppingConfig
from headframe.errors import DataError, HeadframeError
from headframe.training import module
from headframe.training.module import MAX_STEPS, StepChunks
from headframe.training.state import Epoch, EpochMonitor, TrainingState


def epochs(values: list[float | None], key: str = "val_loss") -> list[Epoch]:
    plain: dict[str, Any] = {"train_loss": 1.0, "val_loss": 1.0, "primary_metric": 0.5, "learning_rate": 0.1}
    return [{"epoch": number, **plain, key: value} for number, value in enumerate(values, start=1)]  # type: ignore[typeddict-item]


def monitor(kind: Any = "loss", *, higher: bool = True, patience: int = 2, delta: float = 0.0) -> EpochMonitor:
    return EpochMonitor(kind, higher, "accuracy", EarlyStoppingConfig(patience=patience, min_delta=delta))


@pytest.mark.parametrize(
    ("values", "best", "stop"),
    [
        ([3.0], 0, False),
        ([3.0, 2.0, 1.0], 2, False),
        ([1.0, 1.0], 0, False),
        ([1.0, 1.0, 1.0], 0, True),
        ([1.0, 2.0, 3.0], 0, True),
        ([1.0, 2.0, 0.9, 0.95], 2, False),
        ([1.0, 2.0, 0.9, 0.95, 0.9], 2, True),
    ],
)
def test_the_first_of_the_lowest_losses_is_the_best_and_patience_counts_from_it(
    values: list[float | None], best: int, stop: bool
) -> None:
    assert monitor().best(epochs(values)) == best
    assert monitor().should_stop(epochs(values)) is stop
    assert EpochMonitor("loss", True, "accuracy", None).should_stop(epochs(values)) is False
    negated = [None if value is None else -value for value in values]
    for higher, metrics in ((False, values), (True, negated)):
        found = monitor("primary_metric", higher=higher)
        assert found.best(epochs(metrics, "primary_metric")) == best
        assert found.should_stop(epochs(metrics, "primary_metric")) is stop


def test_an_improvement_smaller_than_asked_for_is_none() -> None:
    falling: list[float | None] = [1.0, 0.9, 0.8, 0.7]
    assert monitor(delta=0.09).should_stop(epochs(falling)) is False
    assert monitor(delta=0.1000001).should_stop(epochs(falling)) is False, "0.8 is enough below 1.0"
    assert monitor(delta=0.4).should_stop(epochs(falling)) is True
    assert monitor(delta=0.5, patience=1).should_stop(epochs([1.0, 0.5])) is True, "exactly as much is not more"


def test_an_epoch_without_the_metric_is_never_the_best() -> None:
    assert monitor("primary_metric").best(epochs([None, 0.1, None], "primary_metric")) == 1
    with pytest.raises(DataError, match=r"do not define accuracy, which is monitored; set trainer\.monitor=loss"):
        monitor("primary_metric").check(epochs([None], "primary_metric")[0])
    monitor("loss").check(epochs([None], "primary_metric")[0])


@pytest.mark.parametrize("name", ["train_loss", "val_loss"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_refused_with_advice(name: str, value: float) -> None:
    with pytest.raises(HeadframeError, match=f"training diverged: {name} is {value} in epoch 1; lower optimizer"):
        monitor().check(epochs([value], name)[0])


def chunks(step: int, per_epoch: int, checkpoint: int, seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Cut an epoch into chunks that take these times; the last time stands for all that follow."""
    now, taken = 0.0, iter(seconds)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    found = []
    for each in StepChunks(TrainingState(step=step), steps_per_epoch=per_epoch, checkpoint_steps=checkpoint):
        found.append((each.start, each.stop))
        now += next(taken, seconds[-1])
    monkeypatch.undo()
    return found


def test_chunks_double_while_they_are_fast_and_end_with_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chunks(0, 10, 1000, [0.01], monkeypatch) == [(0, 1), (1, 3), (3, 7), (7, 10)]
    assert chunks(13, 10, 1000, [0.01], monkeypatch) == [(13, 14), (14, 16), (16, 20)], "within the second epoch"
    assert chunks(10, 10, 1000, [0.01], monkeypatch)[0] == (10, 11)
    sizes = [stop - start for start, stop in chunks(0, 1000, 10_000, [0.01], monkeypatch)]
    assert sizes[:9] == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    assert max(sizes) == MAX_STEPS == 64


def test_chunks_halve_where_they_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    found = chunks(0, 100, 1000, [0.01, 0.01, 0.01, 0.1, 0.2, 0.2, 0.2, 0.01], monkeypatch)
    assert [stop - start for start, stop in found][:9] == [1, 2, 4, 8, 4, 2, 1, 1, 2]


def test_no_chunk_crosses_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    found = chunks(0, 20, 6, [0.01], monkeypatch)
    assert found == [(0, 1), (1, 3), (3, 6), (6, 12), (12, 18), (18, 20)]
    assert chunks(5, 20, 6, [0.01], monkeypatch)[0] == (5, 6)
    assert chunks(6, 20, 6, [0.01], monkeypatch)[0] == (6, 7)
