"""What supervised learning lowers, against formulas."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from headframe.methods.supervised import Supervised
from headframe.tasks.classification import Classification
from headframe.tasks.dense import TARGET
from headframe.tasks.forecasting import Forecasting
from headframe.tasks.regression import Regression


def fitted(labels: list[int], **settings: str) -> Classification:
    task = Classification(**settings)  # type: ignore[arg-type]
    task.fit(pa.table({"y": labels}))
    return task


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_the_loss_of_classes_is_the_formula(weights: str, smoothing: float) -> None:
    labels = [0, 0, 0, 1, 2, 2]
    method = Supervised(nn.Identity(), fitted(labels, class_weights=weights), label_smoothing=smoothing)
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    each = compute_class_weight("balanced", classes=np.arange(3), y=labels) if weights == "balanced" else np.ones(3)
    logarithms = torch.log_softmax(logits.double(), dim=1).numpy()
    truth = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    expected = -(truth * each * logarithms).sum() / each[labels].sum()
    assert method.loss(logits, torch.tensor(labels)).item() == pytest.approx(expected, rel=1e-5)


def test_a_restored_task_weighs_its_classes_as_before() -> None:
    labels = [0] * 6 + [1] * 2 + [2]
    task, restored = fitted(labels, class_weights="balanced"), Classification(class_weights="balanced")
    restored.restore(task.state())
    outputs, target = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    before, after, plain = (Supervised(nn.Identity(), each) for each in (task, restored, fitted(labels)))
    assert torch.equal(after.loss(outputs, target), before.loss(outputs, target))
    assert not torch.allclose(plain.loss(outputs, target), before.loss(outputs, target))


@pytest.mark.parametrize(("loss", "expected"), [("auto", 2.0), ("squared", 2.0), ("absolute", 1.0), ("huber", 0.75)])
@pytest.mark.parametrize("task", [Regression(), Forecasting(1)])
def test_the_loss_of_numbers_is_the_one_that_was_asked_for(loss: str, expected: float, task: Regression) -> None:
    method = Supervised(nn.Identity(), task, loss=loss)  # type: ignore[arg-type]
    outputs, target = torch.tensor([[3.0], [0.0]]), torch.tensor([[1.0], [0.0]])
    assert method.loss(outputs, target).item() == expected


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        ("squared", lambda error: (error**2).mean()),
        ("absolute", lambda error: error.abs().mean()),
        ("huber", lambda error: torch.where(error.abs() <= 1, error**2 / 2, error.abs() - 0.5).mean()),
    ],
)
def test_losses_of_numbers_are_their_formulas(loss: str, formula: object) -> None:
    outputs, target = torch.randn(9, 4, 3) * 2, torch.randn(9, 4, 3)
    expected = formula(outputs - target)  # type: ignore[operator]
    method = Supervised(nn.Identity(), Forecasting(4), loss=loss)  # type: ignore[arg-type]
    torch.testing.assert_close(method.loss(outputs, target), expected)


@pytest.mark.parametrize(("smoothing", "allowed"), [(0.0, True), (0.999, True), (1.0, False), (-0.001, False)])
def test_label_smoothing_leaves_some_certainty(smoothing: float, allowed: bool) -> None:
    task = fitted([0, 1])
    if allowed:
        Supervised(nn.Identity(), task, label_smoothing=smoothing)
        return
    with pytest.raises(ValueError, match=r"label_smoothing lies in \[0, 1\), not"):
        Supervised(nn.Identity(), task, label_smoothing=smoothing)


def test_the_loss_of_validation_is_that_of_all_rows_and_not_a_mean_of_batches() -> None:
    from headframe.examples.batches import Batch

    task = fitted([0, 0, 0, 1], class_weights="balanced")
    method = Supervised(nn.Identity(), task)
    outputs, target = torch.randn(7, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 1, 0, 0, 0, 1])
    batches = [Batch(outputs[rows], {TARGET: target[rows]}) for rows in (slice(0, 4), slice(4, 7))]
    loss, predictions = method.validate(batches)
    assert loss == method.loss(outputs, target).item()
    assert predictions == task.columns(task.scores(outputs.numpy()))
    batches[1].inputs[0, 0] = float("nan")
    assert method.validate(batches)[1] is None


def test_weights_of_classes_go_to_the_device_of_the_outputs() -> None:
    method = Supervised(nn.Identity(), fitted([0, 0, 1], class_weights="balanced"))
    outputs, target = torch.zeros(2, 2, device="meta"), torch.zeros(2, dtype=torch.int64, device="meta")
    assert method.loss(outputs, target).device.type == "meta"
