"""Natural baselines predict what the field's own references predict, from training rows alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fixtures
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline

from headframe.config.natural import natural_baselines
from headframe.config.plan.data import SplitConfig
from headframe.config.project import Project
from headframe.datasets.splits import assign
from headframe.datasets.table import Table
from headframe.errors import ConfigurationError
from headframe.evaluation.baselines import absent_baselines, natural_predictions
from headframe.prediction.layout import copies_left_out
from headframe.tasks.base import Task
from headframe.tasks.baselines.base import BaselineData
from headframe.tasks.baselines.constant import Prior, TargetMean
from headframe.tasks.baselines.naive import LastValue, SeasonalLastValue, season_length
from headframe.tasks.baselines.tfidf import TfIdf
from headframe.tasks.classification import Classification
from headframe.tasks.forecasting import Forecasting
from headframe.tasks.regression import Regression

BY_HASH = SplitConfig.model_validate(
    {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.2, "test": 0.2}
)
REPOSITORY = Project(Path(__file__).resolve().parents[2])


def data_of(task: Task, columns: dict[str, Any], targets: tuple[str, ...], positions: list[int]) -> BaselineData:
    """Rows whose first half is for training, in memory."""
    rows = pa.table(columns)
    data = BaselineData(task, None, None, np.array(positions))  # type: ignore[arg-type]
    learned = np.arange(rows.num_rows) < rows.num_rows // 2
    data.__dict__.update(training=learned, targets=rows.select(list(targets)), steps=np.arange(rows.num_rows))
    task.fit(rows.select(list(targets)).filter(pa.array(learned)))
    return data


def test_the_prior_is_that_of_training_rows():
    labels = ["b"] * 30 + ["a"] * 20 + ["a"] * 50
    data = data_of(Classification(), {"y": labels}, ("y",), list(range(50, 100)))
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((50, 1)), labels[:50])
    np.testing.assert_allclose(Prior().scores(data), dummy.predict_proba(np.zeros((50, 1))))


def test_the_mean_is_that_of_training_rows():
    values = np.random.default_rng(3).normal(5, 2, 100)
    task = Regression()
    data = data_of(task, {"y": values}, ("y",), list(range(50, 100)))
    dummy = DummyRegressor().fit(np.zeros((50, 1)), values[:50])
    np.testing.assert_allclose(TargetMean().scores(data)[:, 0], dummy.predict(np.zeros((50, 1))), rtol=1e-6)


def replace_data(data: BaselineData, table: Any) -> BaselineData:
    """The same rows with a table to read text from."""
    dataset = SimpleNamespace(inputs=("text",), repeats=False, split=BY_HASH)
    found = BaselineData(data.task, dataset, table, data.positions)  # type: ignore[arg-type]
    found.__dict__.update(training=data.training, targets=data.targets)
    return found


def seasonal(rows: int, period: int, noise: float = 0.2) -> np.ndarray:
    moments = np.arange(rows)
    return np.sin(moments * 2 * np.pi / period) + noise * np.random.default_rng(period).normal(size=rows)


@pytest.mark.parametrize("horizon", [3, 12, 20])
def test_naive_forecasts_repeat_what_was(horizon: int):
    series = {"v": seasonal(240, 12), "w": seasonal(240, 12) * 3 + 8}
    positions = list(range(130, 240 - horizon, 7))
    data = data_of(Forecasting(horizon), series, ("v", "w"), positions)
    last, season = LastValue().scores(data), SeasonalLastValue().scores(data)
    for example, first in enumerate(positions):
        for step in range(horizon):
            for place, values in enumerate(series.values()):
                before = first + step
                while before >= first:
                    before -= 12
                assert last[example, step, place] == pytest.approx(values[first - 1], abs=1e-5)
                assert season[example, step, place] == pytest.approx(values[before], abs=1e-5)


def test_where_one_window_has_no_season_before_it_there_is_no_seasonal_forecast():
    series = {"v": seasonal(240, 12)}
    assert SeasonalLastValue().scores(data_of(Forecasting(3), series, ("v",), [11, 200])) is None
    assert SeasonalLastValue().scores(data_of(Forecasting(3), series, ("v",), [12, 200])) is not None


@pytest.mark.parametrize("horizon", [3, 20])
def test_naive_forecasts_do_not_cross_gaps(horizon: int):
    steps = np.delete(np.arange(260), [*range(100, 107), *range(141, 158), 190])
    by_step = dict(zip(steps.tolist(), seasonal(260, 12)[steps].tolist(), strict=True))
    positions = [
        row for row in range(130, len(steps) - horizon) if steps[row + horizon] - steps[row - 1] == horizon + 1
    ]
    data = data_of(Forecasting(horizon), {"v": list(by_step.values())}, ("v",), positions)
    data.__dict__.update(steps=steps)
    last, season = LastValue().scores(data), SeasonalLastValue().scores(data)
    for example, row in enumerate(positions):
        first = int(steps[row])
        for step in range(horizon):
            before = first + step
            while before >= first or before not in by_step:
                before -= 12
            assert last[example, step, 0] == pytest.approx(by_step[first - 1], abs=1e-5)
            assert season[example, step, 0] == pytest.approx(by_step[before], abs=1e-5)


@pytest.mark.parametrize("period", [4, 7, 12, 24, 52])
def test_a_season_is_found(period: int):
    trend = np.arange(10 * period) / period
    values, steps = (seasonal(10 * period, period) + trend)[:, np.newaxis], np.arange(10 * period)
    assert season_length(values, steps) == period
    kept = np.random.default_rng(period).random(len(steps)) > 0.2  # rows that a gap took are not neighbours
    assert season_length(values[kept], steps[kept]) == period


def test_a_season_is_seen_three_times_or_is_none():
    values = seasonal(18, 6, noise=0)[:, np.newaxis]
    assert season_length(values, np.arange(18)) == 6
    assert season_length(values[:-1], np.arange(17)) is None
    assert season_length(values[:0], np.arange(0)) is None


def test_where_there_is_no_season_none_is_made_up():
    draw = np.random.default_rng(5)
    noise = draw.normal(size=(400, 2))
    for values in (noise, np.cumsum(noise, axis=0), np.arange(400.0)[:, np.newaxis], np.ones((400, 1)), noise[:5]):
        assert season_length(values, np.arange(len(values))) is None
    assert season_length(seasonal(100, 12)[:, np.newaxis], np.arange(100) ** 2) is None  # mostly gaps


@pytest.mark.parametrize(
    ("texts", "applies"),
    [
        ([f"{'good' if row % 2 else 'bad'} number {row}" for row in range(40)], True),
        (["red", "blue"] * 20, False),  # a category
        ([" " * row for row in range(40)], False),  # nothing to count
        ([None] * 40, False),
        ([f"{'good' if row % 2 else 'bad'} {row}" if row % 3 else None for row in range(40)], True),
    ],
    ids=["text", "category", "blanks", "empty", "gaps"],
)
def test_the_baseline_for_text_applies_where_there_is_text(texts: list[str | None], applies: bool):
    rows = pa.table({"text": pa.array(texts, pa.string()), "y": ["yes" if row % 2 else "no" for row in range(40)]})
    for task in (Classification(), Regression()):
        target = "y" if task.predicts_probabilities else "n"
        columns = {"text": rows["text"], "y": rows["y"], "n": np.arange(40) % 2}
        data = data_of(task, columns, (target,), list(range(20, 40)))
        table = SimpleNamespace(schema=rows.schema, read=rows.select)
        scores = TfIdf().scores(replace_data(data, table))
        assert (scores is not None) == applies
        if scores is not None:
            assert scores.shape == (20, *task.outputs)
            assert np.isfinite(scores).all()


def test_the_baseline_for_text_learns_from_no_copy_of_a_row_that_it_predicts(monkeypatch: pytest.MonkeyPatch):
    """The second half asks for the words of the first, in other letters and order, and with other blanks."""
    words = [f"{'good' if row % 2 else 'bad'} number {row}" for row in range(40)]
    asked = [f"  Number   {row} {'GOOD' if row % 2 else 'BAD'}" for row in range(0, 40, 2)]
    rows = pa.table({"text": [*words, *asked, *[f"bad other {row}" for row in range(20)]], "y": ["a", "b"] * 40})
    data = data_of(Classification(), {"text": rows["text"], "y": rows["y"]}, ("y",), list(range(40, 80)))
    table = SimpleNamespace(schema=rows.schema, read=rows.select)
    learned: list[int] = []
    fit = LogisticRegression.fit

    def counted(model: LogisticRegression, known: Any, target: Any) -> Any:
        learned.append(known.shape[0])
        return fit(model, known, target)

    monkeypatch.setattr(LogisticRegression, "fit", counted)
    shown = replace_data(data, table)
    assert TfIdf().scores(shown) is None, "all that is left is of one class"
    shown.dataset.repeats = True  # type: ignore[misc]
    assert TfIdf().scores(shown) is not None
    shown.dataset.repeats = False  # type: ignore[misc]
    some = replace_data(data, table)
    some.positions[:] = 79
    some.__dict__["training"] = np.arange(80) < 60
    assert TfIdf().scores(some) is not None
    assert learned == [40, 60]


def test_baselines_learn_from_the_rows_that_the_model_has_learned_from(world: fixtures.World):
    """Rows are counted as in the bundle: without those that are unused."""
    made = world.made["sms_spam"]
    table = Table.open(made.root / "data" / "sms_spam")
    splits = np.asarray(assign(made.plan.dataset, table))
    used = [at for at, split in enumerate(splits) if split != "unused"]
    left_out = [place for place, at in enumerate(used) if splits[at] == "train"][::3]
    labels = table.read(["label"])["label"].to_pylist()
    kept = [label for at, label in enumerate(labels) if splits[at] == "train" and at not in {used[i] for i in left_out}]
    data = BaselineData(made.predictor.task, made.plan.dataset, table, np.arange(3), left_out)
    assert Prior().scores(data)[0, 0] == pytest.approx(kept.count("ham") / len(kept))
    assert copies_left_out(made.root / made.trained.folder / "bundle") != []


@pytest.mark.parametrize(
    ("name", "expected"),
    [("digits", {"prior"}), ("adult", {"prior"}), ("sms_spam", {"prior", "tfidf"}), ("etth1", {"last_value"})],
)
def test_natural_baselines_predict_the_rows_of_the_model(world: fixtures.World, name: str, expected: set[str]):
    made = world.made[name]
    file = made.root / made.trained.folder / "predictions.parquet"
    predictions = pq.read_table(file, filters=[("split", "=", "test")])
    table = Table.open(made.root / "data" / name)
    task = made.predictor.task
    natural = natural_baselines(made.plan.task, made.root / "src")
    found = natural_predictions(natural, task, made.plan.dataset, table, predictions, left_out=())
    assert expected <= set(found) <= expected | {"seasonal_last_value"}
    missed = name == "etth1" and "seasonal_last_value" not in found
    assert ["There is no seasonal last value" in each for each in absent_baselines(natural, found)] == [True] * missed
    for rows in found.values():
        assert rows.schema.equals(predictions.schema)
        assert rows.select(["row_id", "split", "target"]).equals(predictions.select(["row_id", "split", "target"]))
        assert task.primary_metric in task.measure(rows)
    if name == "sms_spam":
        scored = {key: accuracy_score(rows["target"], rows["prediction"]) for key, rows in found.items()}
        assert scored["tfidf"] >= scored["prior"]
        learned = np.asarray(assign(made.plan.dataset, table) == "train")
        assert learned.any()


def test_the_mean_is_exact_and_that_of_many_small_numbers():
    values = np.random.default_rng(4).normal(0, 1, 4001)
    data = data_of(Regression(), {"y": values}, ("y",), [4000])
    encoded = data.task.encode(pa.table({"y": values[:2000]})).astype(np.float64)
    assert TargetMean().scores(data)[0, 0] == data.task.scores(encoded.mean(axis=0)[np.newaxis])[0, 0]


def test_no_window_has_no_forecast_but_its_shape():
    data = data_of(Forecasting(3), {"v": seasonal(240, 12)}, ("v",), [])
    data.__dict__.update(positions=np.zeros(0, dtype=np.int64))
    assert LastValue().scores(data).shape == SeasonalLastValue().scores(data).shape == (0, 3, 1)


def test_a_forecast_without_a_column_of_time_is_refused():
    data = BaselineData(Forecasting(3), SimpleNamespace(time=None), None, np.arange(1))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"dataset\.time names no column"):
        LastValue().scores(data)


def test_a_season_is_found_at_the_edges_of_what_is_looked_for():
    swinging = np.stack([np.zeros(40), (-1.0) ** np.arange(40)], axis=1)
    assert season_length(swinging, np.arange(40)) == 2, "a constant beside it hides no season"
    assert season_length(1e-3 * swinging, np.arange(40)) == 2, "whatever the unit"
    assert season_length(np.tile([0.0, 5.0, 1.0], 3)[:, np.newaxis], np.arange(9)) == 3
    moments = np.append(4 * np.arange(59), 239)  # one row in four steps, and no fewer
    values = np.sin(moments * 2 * np.pi / 40)[:, np.newaxis]
    assert season_length(values, moments) == 40
    assert season_length(values, np.append(moments[:-1], 240)) is None
    assert season_length(seasonal(120, 12, noise=2)[:, np.newaxis], np.arange(120)) is None, "mostly noise"


def test_a_forecast_goes_back_to_the_very_first_row_where_a_gap_took_the_later_one():
    steps = np.delete(np.arange(240), 12)
    values = seasonal(240, 12)[steps]
    data = data_of(Forecasting(1), {"v": values}, ("v",), [23])
    data.__dict__.update(steps=steps)
    assert SeasonalLastValue().scores(data)[0, 0, 0] == pytest.approx(values[0], abs=1e-5)


@pytest.mark.parametrize("task", [Classification(), Regression()], ids=["classes", "numbers"])
def test_the_baseline_for_text_is_the_pipeline_of_scikit_learn(task: Task):
    draw = np.random.default_rng(6)
    words = np.array(["oak", "ash", "elm", "fir", "yew", "bay"])
    texts = [" ".join(draw.choice(words, 5)) + f" {row}" for row in range(120)]
    values = [text.count("oak") + 0.1 * text.count("fir") for text in texts]
    columns = {"text": texts, "y": [str(min(int(value), 2)) for value in values], "n": values}
    data = data_of(task, columns, ("y" if task.predicts_probabilities else "n",), list(range(60, 120)))
    table = pa.table(columns)
    scores = TfIdf().scores(replace_data(data, SimpleNamespace(schema=table.schema, read=table.select)))
    counts = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True)
    if task.predicts_probabilities:
        model = make_pipeline(counts, LogisticRegression(C=10.0, solver="newton-cg", tol=1e-2))
        expected = model.fit(texts[:60], columns["y"][:60]).predict_proba(texts[60:])
        np.testing.assert_allclose(scores, expected, rtol=1e-9)
    else:
        expected = make_pipeline(counts, Ridge()).fit(texts[:60], values[:60]).predict(texts[60:])
        np.testing.assert_allclose(scores[:, 0], expected, rtol=1e-4)
