import io
import warnings

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_curve

from headframe.pages.plot_style import drawable, png
from headframe.tasks import plots
from headframe.tasks.base import Task
from headframe.tasks.classification import Classification
from headframe.tasks.forecasting import Forecasting
from headframe.tasks.regression import Regression

random = np.random.default_rng(2)


def classification(labels: list) -> tuple[Task, pa.Table]:
    task = Classification()
    task.fit(pa.table({"y": labels}))
    classes = len(set(labels))
    target = random.integers(0, classes, 300)
    outputs = random.normal(size=(300, classes)) + 2 * np.eye(classes)[target]
    return task, task.predictions(task.scores(outputs), target)


def forecasting(names: list[str]) -> tuple[Task, pa.Table]:
    task = Forecasting(24)
    task.fit(pa.table({name: random.normal(size=200).cumsum() for name in names}))
    target = random.normal(size=(30, 24, len(names))).cumsum(axis=1)
    return task, task.predictions(task.scores(target + random.normal(size=target.shape)), target)


def regression(name: str) -> tuple[Task, pa.Table]:
    task = Regression()
    values = random.normal(size=(300, 1))
    task.fit(pa.table({name: values[:, 0]}))
    return task, task.predictions(
        values + 0.2 * random.normal(size=values.shape), task.encode(pa.table({name: values[:, 0]}))
    )


CASES = {
    "two": (lambda: classification(["ham", "spam"]), {"confusion", "calibration", "curves"}),
    "dollars": (lambda: classification(["<=50K $x$", ">50K $"]), {"confusion", "calibration", "curves"}),
    "ten": (lambda: classification(list(range(10))), {"confusion", "calibration", "curves"}),
    "many": (lambda: classification(list(range(30))), {"confusion", "calibration", "curves"}),
    "too many": (lambda: classification(list(range(150))), {"confusion", "calibration", "curves"}),
    "chinese": (lambda: classification(["工学", "文学", "😀"]), {"confusion", "calibration", "curves"}),
    "forecast": (lambda: forecasting(["HUFL", "OT"]), {"forecasts", "errors"}),
    "chinese forecast": (lambda: forecasting(["油温"]), {"forecasts", "errors"}),
    "wide forecast": (lambda: forecasting([f"x{place}" for place in range(9)]), {"forecasts", "errors"}),
    "regression": (lambda: regression("price"), {"predicted_true", "residuals"}),
    "chinese regression": (lambda: regression("价格"), {"predicted_true", "residuals"}),
}


@pytest.mark.parametrize("name", CASES)
def test_pictures_are_drawn_without_a_missing_letter(name: str) -> None:
    make, expected = CASES[name]
    task, predictions = make()
    figures = task.plots(predictions)
    assert figures.keys() == expected
    for figure in figures.values():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert png(figure).startswith(b"\x89PNG")


def test_pictures_are_the_same_twice_and_leave_no_global_state() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    task, predictions = classification(["a", "b"])
    first, again, reference = (task.plots(predictions)["curves"] for _ in range(3))
    assert png(first) == png(again)
    stream = io.BytesIO()
    reference.savefig(stream, format="png", metadata={"Software": None})
    assert png(first) == stream.getvalue()
    assert dict(mpl.rcParams) == before


def test_what_the_font_lacks_gets_a_short_name_and_a_legend() -> None:
    assert classification(["工学", "文学"])[0].legend() == {"c0": "工学", "c1": "文学"}
    assert forecasting(["油温"])[0].legend() == {"v0": "油温"}
    assert regression("价格")[0].legend() == {"target": "价格"}
    assert classification(["é", "<=50K"])[0].legend() == {}
    assert not drawable("a\n")


def test_one_class_in_the_rows_draws_no_curves() -> None:
    task, predictions = classification(["a", "b"])
    ones = predictions.filter(pa.compute.equal(predictions["target"], "a"))
    assert task.plots(ones).keys() == {"confusion", "calibration"}


def lines(figure) -> dict[str, np.ndarray]:
    """The lines of a picture's first panel by their label, (points, 2)."""
    return {line.get_label(): line.get_xydata() for line in figure.axes[0].get_lines()}


def test_a_forecast_begins_where_its_history_ends() -> None:
    series = random.normal(size=(60, 2)).cumsum(axis=0)
    target = np.stack([series[start : start + 8] for start in range(53)])
    drawn = lines(plots.forecasts(target, target + 1, ["a", "b"]))
    np.testing.assert_array_equal(drawn["true"], np.stack([np.arange(-7, 9), series[:16, 0]], axis=1))
    np.testing.assert_array_equal(drawn["forecast"][:, 0], np.arange(1, 9))


def test_windows_that_do_not_follow_each_other_have_no_history() -> None:
    target = random.normal(size=(53, 8, 1))
    assert lines(plots.forecasts(target, target, ["a"]))["true"][0, 0] == 1


def test_the_band_of_a_forecast_holds_errors_of_validation_and_of_no_test_row() -> None:
    task, predictions = forecasting(["HUFL"])
    earlier, predicted = random.normal(size=(40, 24, 1)), np.zeros((40, 24, 1))
    validation = task.predictions(task.scores(predicted), (predicted + earlier).astype(np.float32))
    axes = task.plots(predictions, validation)["forecasts"].axes[0]
    ends = axes.collections[0].get_paths()[0].vertices
    middle = {line.get_label(): line.get_ydata() for line in axes.get_lines()}["forecast"]
    low, high = np.quantile(earlier, (0.1, 0.9), axis=0)[..., 0] * task.deviation_
    assert ends[:, 1].min() == pytest.approx((middle + low).min(), rel=1e-4)
    assert ends[:, 1].max() == pytest.approx((middle + high).max(), rel=1e-4)
    assert not task.plots(predictions)["forecasts"].axes[0].collections


def test_a_curve_is_that_of_its_class_even_of_one_row() -> None:
    task = classification(["a", "b", "c"])[0]
    target = np.array([0] * 20 + [1] * 20 + [2])
    scores = task.scores(random.normal(size=(41, 3)) + np.eye(3)[target])
    drawn = lines(task.plots(task.predictions(scores, target))["curves"])
    for number, name in enumerate("abc"):
        expected = roc_curve(target == number, scores[:, number], drop_intermediate=False)[:2]
        np.testing.assert_array_equal(drawn[name].T, expected)
