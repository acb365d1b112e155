"""The test rows of a version as gates see them, and what another model predicts for them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fixtures
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fixtures import Made, World, train, trust

from headframe.config.plan.promotion import PromotionConfig
from headframe.datasets.table import Table
from headframe.digests import file_digest
from headframe.gates.context import open_context
from headframe.gates.judge import judge_version
from headframe.gates.report import GateReport
from headframe.gates.request import GateRequest
from headframe.prediction.bundle import load_predictor
from headframe.records import Registered
from headframe.registry.package import write_package
from headframe.registry.versions import model_files, resolve


def _predict(made: Made, registered: Registered, model: Path) -> pa.Table:
    """Predict the test rows of a version by another model, as a gate does."""
    version = resolve(f"{registered.model}/{registered.version}", made.uri)
    request = GateRequest(version, None, made.plan.promotion, uri=made.uri, root=made.root, trust=trust())
    with open_context(request) as context:
        return context.rows.predict(model)


def _measure(made: Made, registered: Registered, model: Path) -> float:
    return made.predictor.task.measure(_predict(made, registered, model))[made.evaluated.primary_metric]


def test_another_model_is_measured_on_the_test_rows_of_a_version(world: World):
    made = world.made["digits"]
    predictor = load_predictor(made.root / made.trained.folder / "bundle")
    with model_files(resolve("digits/1", world.uri), world.uri, trust()) as model:
        value = _measure(made, world.registered["digits"], model)
    rows = Table.open(made.root / "data" / "digits").read()
    tested = rows.filter(pa.array(fixtures.assign(made.plan.dataset, Table.open(made.root / "data/digits")) == "test"))
    digit = predictor.scores(tested).argmax(axis=1)
    assert value == np.mean(digit == tested.column("digit").to_numpy())


BETTER = {"_target_": "headframe.gates.better.Better"}
BASELINES = {"_target_": "headframe.gates.baselines.Baselines", "resamples": 200}
MINIMUM = {"_target_": "headframe.gates.minimum.Minimum"}


def _judge(made: Made, number: int, **gates: dict[str, Any]) -> GateReport:
    version = resolve(f"{made.plan.promotion.model}/{number}", made.uri)
    policy = PromotionConfig.model_validate({"model": version.model, "policy": "some", "gates": gates})
    return judge_version(GateRequest(version, None, policy, uri=made.uri, root=made.root, trust=trust()))


def test_what_a_gate_is_about_does_not_depend_on_its_name(world: World):
    report = _judge(world.made["digits"], 1, superiority=BETTER, floor=MINIMUM)
    assert [(each.gate, each.topic) for each in report.results] == [("superiority", "champion"), ("floor", "")]
    assert report.reason == report.results[0].reason
    assert "there was no champion before" in report.reason


@pytest.mark.parametrize("name", ["digits", "adult", "sms_spam", "etth1"])
def test_a_version_is_tested_against_each_natural_baseline_of_its_task(world: World, name: str):
    made = world.made[name]
    report = _judge(made, 1, floor=BASELINES)
    [found] = report.results
    titles = [key.removesuffix(": p") for key in found.numbers if key.endswith(": p")]
    assert titles[0] == {"etth1": "last value"}.get(name, "prior")
    assert ("tfidf" in titles) == (name == "sms_spam")
    values = [found.numbers[f"{title}: {made.predictor.task.primary_metric}"] for title in titles]
    assert all(isinstance(each, float) for each in values)
    assert found.verdict in ("better", "no significant difference", "worse")
    assert found.passed == (found.verdict != "worse")
    if found.verdict == "no significant difference":
        assert "is not significantly different from" in report.reason


def test_the_first_version_that_loses_to_a_baseline_is_refused(world: World, tmp_path: Path):
    made = fixtures.moved(world.made["sms_spam"], tmp_path)
    file = tmp_path / made.trained.folder / "predictions.parquet"
    rows = pq.read_table(file)
    names = ["prediction", "score_ham", "score_spam"]
    swapped = [pc.if_else(pc.equal(rows["prediction"], "ham"), "spam", "ham"), rows["score_spam"], rows["score_ham"]]
    for column, values in zip(names, swapped, strict=True):
        rows = rows.set_column(rows.column_names.index(column), column, values)
    pq.write_table(rows, file)
    replace(made, trained=made.trained.model_copy(update={"predictions": file_digest(file)})).register()
    report = _judge(made, 1, floor=BASELINES)
    [found] = report.results
    assert (report.passed, found.verdict, found.topic) == (False, "worse", "baseline")
    tested = rows.filter(pc.equal(rows["split"], "test"))["target"].to_numpy()
    prior = float(np.mean(tested == "ham"))
    assert f"is worse than prior ({prior:.4f}, p " in found.reason
    assert found.numbers["prior: p_worse"] < 0.05


def test_a_forecast_with_another_look_back_is_measured_on_the_same_windows(world: World, tmp_path: Path):
    made = world.made["etth1"]
    moved = fixtures.moved(made, tmp_path)
    longer = {"gives": "series", "encoder": {"_target_": "headframe.features.windows.Windows", "lookback": 48}}
    plan = fixtures.plan_for("etth1", features=longer)
    other = replace(moved, plan=plan, trained=train(plan, moved.data, tmp_path, "longer"))
    assert (other.predictor.lookback, made.predictor.lookback) == (48, 24)
    model, bundle = tmp_path / "model", tmp_path / other.trained.folder / "bundle"
    names = {"location": str(model), "run_id": "0" * 32, "model_id": "m-" + "0" * 32}
    write_package(model, bundle, other.probe, **names, created=datetime.now(UTC))
    value = _measure(made, world.registered["etth1"], model)
    # By hand: the same 50 windows, each standardised by the means and deviations of the training rows.
    rows = Table.open(made.root / "data" / "etth1").read()
    names = list(made.plan.dataset.inputs)
    values = np.stack([rows.column(name).to_numpy() for name in names], axis=1)
    mean, deviation = values[:8640].mean(axis=0), values[:8640].std(axis=0)
    first = 8640 + 2880
    errors = []
    for start in range(first, first + 50):
        guess = other.predictor.scores(rows.slice(start - 48, 48))[0]
        errors.append(((guess - values[start : start + 4]) / deviation) ** 2)
    assert mean.shape == (7,)
    assert value == pytest.approx(np.mean(errors), rel=1e-5)
