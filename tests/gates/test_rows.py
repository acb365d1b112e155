"""The test rows of a version as gates see them, and what another model predicts for them."""

from collections.abc import Callable
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
from shared import scores_of

from headframe.config.plan.data import ROW_ID
from headframe.config.plan.promotion import PromotionConfig
from headframe.datasets.table import Table
from headframe.digests import file_digest
from headframe.errors import Refused
from headframe.evaluation.slices import row_positions
from headframe.gates.context import open_context
from headframe.gates.judge import judge_version
from headframe.gates.recompute import differing_figures
from headframe.gates.report import GateReport
from headframe.gates.request import GateRequest
from headframe.gates.rows import VersionRows
from headframe.prediction.bundle import load_predictor
from headframe.records import PLANNED, BaselineComparison, Registered, ValidationTest
from headframe.registry.package import write_package
from headframe.registry.versions import model_files, resolve
from headframe.tasks.baselines.base import BaselineData
from headframe.tasks.baselines.constant import Prior


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
    digit = scores_of(predictor, tested).argmax(axis=1)
    assert value == np.mean(digit == tested.column("digit").to_numpy())


BETTER = {"_target_": "headframe.gates.better.Better"}
BASELINES = {"_target_": "headframe.gates.baselines.Baselines", "resamples": 200}
VALIDATION = {"_target_": "headframe.gates.validation.ShownOnValidation", "resamples": 200}
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


def _registered_with(made: Made, root: Path, change: Callable[[pa.Table], pa.Table], **evaluated: Any) -> Made:
    """Register a model as if it had predicted otherwise."""
    moved = fixtures.moved(made, root)
    file = root / moved.trained.folder / "predictions.parquet"
    pq.write_table(change(pq.read_table(file)), file)
    trained = moved.trained.model_copy(update={"predictions": file_digest(file)})
    measured = fixtures.evaluate(moved.plan, trained, root).model_copy(update=evaluated)
    registered = replace(moved, trained=trained, evaluated=measured)
    registered.register_unchecked()
    return registered


def _swapped(rows: pa.Table) -> pa.Table:
    """Every message is taken for what it was not."""
    names = ["prediction", "score_ham", "score_spam"]
    swapped = [pc.if_else(pc.equal(rows["prediction"], "ham"), "spam", "ham"), rows["score_spam"], rows["score_ham"]]
    for column, values in zip(names, swapped, strict=True):
        rows = rows.set_column(rows.column_names.index(column), column, values)
    return rows


def _always_three(rows: pa.Table) -> pa.Table:
    """Every digit is taken for a three."""
    place = rows.column_names.index("prediction")
    return rows.set_column(place, "prediction", pa.array([3] * rows.num_rows, rows.schema.field(place).type))


def _mostly_right(rows: pa.Table) -> pa.Table:
    """Of 30 messages 29 are recognised, as often as by tf-idf."""
    wrong = pa.array(np.arange(rows.num_rows) % 30 == 0)
    other = pc.if_else(pc.equal(rows["target"], "ham"), "spam", "ham")
    place = rows.column_names.index("prediction")
    return rows.set_column(place, "prediction", pc.if_else(wrong, other, rows["target"]))


def _targets(made: Made, split: str) -> np.ndarray:
    rows = pq.read_table(made.root / made.trained.folder / "predictions.parquet")
    return rows.filter(pc.equal(rows["split"], split))["target"].to_numpy()


def test_the_first_version_that_loses_to_a_baseline_is_refused(world: World, tmp_path: Path):
    made = _registered_with(world.made["sms_spam"], tmp_path, _swapped)
    report = _judge(made, 1, floor=BASELINES)
    [found] = report.results
    assert (report.passed, found.verdict, found.topic) == (False, "worse", "baseline")
    prior = float(np.mean(_targets(made, "test") == "ham"))
    assert f"is worse than prior ({prior:.4f}, p " in found.reason
    assert found.numbers["prior: p_worse"] < 0.05


@pytest.mark.parametrize(
    ("name", "change", "how"),
    [("sms_spam", _swapped, "is worse than"), ("digits", _always_three, "is not shown to be better than")],
)
def test_a_first_version_that_validation_rows_show_no_better_than_a_baseline_consults_no_test_rows(
    name: str, change: Callable[[pa.Table], pa.Table], how: str, world: World, tmp_path: Path
):
    made = _registered_with(world.made[name], tmp_path, change)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VersionRows, "stored", property(_validation_alone))
        report = _judge(made, 1, validation=VALIDATION, minimum=MINIMUM, better=BETTER, baselines=BASELINES)
    [found] = report.results
    assert (found.passed, found.is_final) == (False, True)
    assert (report.rows, report.rows_digest, report.tested) == (0, "", None)
    targets = _targets(made, "validation")
    assert found.numbers["rows"] == len(targets)
    right = np.mean(targets == 3) if name == "digits" else found.numbers["value"]
    assert found.reason.startswith(f"accuracy {right:.4f} {how} prior ({found.numbers['prior: accuracy']:.4f}, p ")
    test = "McNemar's exact test" + ("" if name == "digits" else " with Holm's correction")
    assert f"validation rows, by {test}, 0.1 allowed" in found.reason
    assert found.reason.endswith("so no test row was consulted and nothing spent")


def _validation_alone(rows: VersionRows) -> pa.Table:
    assert rows.split == "validation"
    return STORED(rows)


STORED = VersionRows.stored.func


@pytest.mark.parametrize("name", ["digits", "sms_spam"])
def test_a_first_version_that_beats_a_baseline_and_loses_to_none_goes_on_to_the_test_rows(
    name: str, world: World, tmp_path: Path
):
    """Who recognises messages as well as the baseline tf-idf does is better than the prior."""
    made = world.made[name] if name == "digits" else _registered_with(world.made[name], tmp_path, _mostly_right)
    report = _judge(made, 1, validation=VALIDATION, minimum=MINIMUM)
    assert [each.gate for each in report.results] == ["validation", "minimum"]
    found = report.results[0]
    assert (found.passed, found.verdict) == (True, "better")
    assert found.numbers.get("tfidf: p", 1.0) > 0.1
    assert "is better than prior (" in found.reason
    assert found.reason.endswith("so test rows decide")
    assert report.rows > 0


def _request(made: Made, **gates: dict[str, Any]) -> GateRequest:
    policy = PromotionConfig.model_validate({"model": "digits", "policy": "some", "gates": gates})
    return GateRequest(
        resolve("digits/1", made.uri), None, policy, uri=made.uri, root=made.root, trust=trust()
    )  # fmt: skip


def test_a_split_and_metrics_that_were_signed_are_computed_again(world: World, tmp_path: Path):
    made = world.made["digits"]
    right = made.evaluated.metrics
    wrong = {**right, "accuracy": right["accuracy"].model_copy(update={"value": 0.195})}
    forged = _registered_with(made, tmp_path / "metrics", lambda rows: rows, metrics=wrong)
    pattern = (
        r"accuracy of models:/digits/1 was signed as 0\.1950, but its predictions measure to 0\.[0-9]+ on the same"
    )
    with pytest.raises(Refused, match=pattern):
        _judge(forged, 1, floor=MINIMUM)
    moved = fixtures.moved(made, tmp_path / "split")
    split = moved.data.split.model_copy(update={"digest": "0" * 64})
    forged = replace(moved, data=moved.data.model_copy(update={"split": split}))
    forged.register_unchecked()
    with pytest.raises(Refused, match=r"split as its plan says, gives split [0-9a-f]{12}, but 000000000000 was signed"):
        _judge(forged, 1, floor=MINIMUM)


def test_intervals_and_slices_that_were_signed_are_computed_again(world: World, tmp_path: Path):
    made_up = differing_figures(_request(world.made["digits"], floor=MINIMUM))
    assert made_up[0].startswith("evaluation/metrics.json of models:/digits/1: resamples is {}, but computed again")
    moved = fixtures.moved(world.made["digits"], tmp_path)
    honest = replace(moved, evaluated=fixtures.measure_truly(moved.plan, moved.evaluated, moved.trained, moved.root))
    honest.register()
    assert differing_figures(_request(honest, floor=MINIMUM)) == []


def test_a_version_that_is_the_baseline_itself_is_no_better(world: World, tmp_path: Path):
    """Its log loss is the prior's on every resample, so that a bootstrap alone would say that it cannot tell."""
    made = fixtures.moved(world.made["digits"], tmp_path)
    task = made.plan.task.model_copy(update={"primary_metric": "log_loss"})
    made = replace(made, plan=made.plan.model_copy(update={"task": task}))
    table = Table.open(made.root / "data" / "digits")

    def of_the_prior(rows: pa.Table) -> pa.Table:
        positions = row_positions(rows, table.read([ROW_ID])).to_numpy()
        scores = Prior().scores(BaselineData(made.predictor.task, made.plan.dataset, table, positions))
        decoded = made.predictor.task.decode(scores)
        for name in decoded.column_names:
            rows = rows.set_column(rows.column_names.index(name), name, decoded[name])
        return rows

    file = tmp_path / made.trained.folder / "predictions.parquet"
    pq.write_table(of_the_prior(pq.read_table(file)), file)
    trained = made.trained.model_copy(update={"predictions": file_digest(file)})
    replace(made, trained=trained).register_unchecked()
    [found] = _judge(made, 1, validation=VALIDATION).results
    assert (found.passed, found.verdict) == (False, "not better")
    assert "is not shown to be better than" in found.reason
    assert ", p 1) on the same" in found.reason


def test_a_forecast_of_few_validation_windows_is_decided_by_test_rows(world: World):
    """50 windows of 4 rows are about 12 independent ones, and a test takes 20."""
    [found] = _judge(world.made["etth1"], 1, validation=VALIDATION).results
    assert (found.passed, found.verdict) == (True, "not decided")
    assert "too few of them are independent" in found.reason


@pytest.mark.parametrize(("p_better", "p_worse", "verdict"), [(0.9, 0.02, "worse"), (0.9, 0.3, "better")])
def test_the_plans_baseline_counts_on_validation_rows_as_its_author_signed(
    p_better: float, p_worse: float, verdict: str, world: World, tmp_path: Path
):
    """Holm multiplies the smaller of two p-values by two."""
    signed = BaselineComparison(
        title="Forest", metrics={}, difference={}, verdict="no significant difference", p_better=1.0, p_worse=1.0,
        validation=ValidationTest(value=0.99, p_better=p_better, p_worse=p_worse),
    )  # fmt: skip
    made = _registered_with(world.made["digits"], tmp_path, lambda rows: rows, baselines={PLANNED: signed})
    found = _judge(made, 1, validation=VALIDATION, minimum=MINIMUM).results[0]
    assert (found.verdict, found.numbers["Forest: accuracy"]) == (verdict, 0.99)
    assert found.numbers["Forest: p_worse"] == min(1.0, 2 * p_worse)
    if verdict == "worse":
        assert "is worse than Forest (0.9900, p 0.04) on the same" in found.reason


def test_a_forecast_with_another_look_back_is_measured_on_the_same_windows(world: World, tmp_path: Path):
    made = world.made["etth1"]
    moved = fixtures.moved(made, tmp_path)
    longer = {"gives": "series", "encoder": {"_target_": "headframe.features.windows.Windows", "lookback": 48}}
    plan = fixtures.plan_for("etth1", features=longer)
    other = replace(moved, plan=plan, trained=train(plan, moved.data, tmp_path, "longer"))
    assert (other.predictor.framing.reach, made.predictor.framing.reach) == (48, 24)
    model, bundle = tmp_path / "model", tmp_path / other.trained.folder / "bundle"
    names = {"name": "other", "run_id": "0" * 32, "model_id": "m-" + "0" * 32}
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
        guess = scores_of(other.predictor, rows.slice(start - 48, 48))[0]
        errors.append(((guess - values[start : start + 4]) / deviation) ** 2)
    assert mean.shape == (7,)
    assert value == pytest.approx(np.mean(errors), rel=1e-5)
