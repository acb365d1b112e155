"""What every trained model promises, whatever its task, method, features and network or estimator are.

Each function takes a training and raises an AssertionError that names the promise which is broken.
"""

import json
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from choices import methods_of
from scipy import sparse
from tiny import TinyProject, Trained, manifest

from headframe.config.build import build
from headframe.config.natural import natural_baselines
from headframe.config.plan.data import ROW_ID
from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.model import ModelConfig
from headframe.config.plan.plan import Plan
from headframe.datasets.column_types.base import column_type
from headframe.digests import canonical
from headframe.errors import DataError
from headframe.evaluation.baselines import natural_predictions
from headframe.evaluation.findings import confirm_in_table
from headframe.evaluation.intervals import Resampling, block_length, metric_intervals
from headframe.evaluation.paired import PairedComparison
from headframe.evaluation.slices import slice_metrics
from headframe.examples.batches import Inputs, TensorExamples
from headframe.examples.encode import encode
from headframe.examples.prepare import PreparedData, prepare
from headframe.features.base import Encoded
from headframe.findings.base import FindingKind
from headframe.gates.base import Gate
from headframe.models.ensembles import Mean
from headframe.prediction.answers import compare_answers
from headframe.prediction.layout import FINDINGS
from headframe.prediction.predictor import NetworkModel
from headframe.prediction.schema import to_table
from headframe.registry.versions import ModelVersion
from headframe.serving.batch import write_predicted_rows
from headframe.serving.smoke_request import send_request
from headframe.tasks.base import Task, with_truth
from headframe.training.single import is_network

ROUNDING = 1e-5
"""By how much a prediction may depend on how many others are computed with it."""
RESAMPLES = 200
COPIES = 4
FEW = 64
"""Examples of a batch."""


def _equal(expected: pa.Table, found: pa.Table, tolerance: float, promise: str) -> None:
    difference = compare_answers(expected, found)
    assert difference.within(tolerance), f"{promise}: predictions differ {difference}"


def of_a_trained_model(trained: Trained, folder: Path) -> None:
    """Check all that does not depend on the task."""
    predicts_as_its_schema_says(trained)
    restores(trained)
    rows_do_not_see_each_other(trained)
    serves_what_it_predicts(trained, folder)
    refuses_what_is_no_number(trained)
    finds_the_same_in_any_order(trained)


def predicts_as_its_schema_says(trained: Trained) -> None:
    """The file of predictions holds id, split, truth and prediction columns, in the types that the task states."""
    task, table = trained.task, trained.predictions
    expected = ["row_id", "split", *task.truth_columns, *task.prediction_schema.names]
    assert table.column_names == expected, (
        f"predictions.parquet has other columns: {table.column_names}, not {expected}"
    )
    own = pq.read_schema(trained.run.folder / "probe_predictions.parquet")
    assert own == task.prediction_schema, f"the probe's predictions have another schema: {own}"
    for name in task.prediction_schema.names:
        assert table.schema.field(name).type == task.prediction_schema.field(name).type, f"{name} has another type"
    assert set(table["split"].to_pylist()) == {"validation", "test"}


def restores(trained: Trained) -> None:
    """What was saved and loaded has the same state, and predicts the same bits."""
    for predictor, bundle in trained.single_predictors():
        saved = manifest(bundle)
        learned = predictor.model.method if isinstance(predictor.model, NetworkModel) else predictor.model
        states = {
            "task": (predictor.task.state(), saved["task"]["state"]),
            "features": (predictor.encoder.state(), saved["features"]),
            "method or estimator": (learned.state(), saved["fitted"]),
        }
        for what, (restored, stored) in states.items():
            assert canonical(restored) == canonical(stored), f"a restored {what} has another state"
    probe = trained.predictor.predictions(trained.probe)
    _equal(trained.probe_predictions, probe, 0.0, "a restored model is not the one that was saved")


def rows_do_not_see_each_other(trained: Trained) -> None:
    """An example alone, in a batch and in a batch of another order has the same prediction."""
    predictor, rows = trained.predictor, trained.history
    together = predictor.predictions(rows)
    framing = predictor.framing
    rows, positions = framing.requested(predictor.checked(rows))
    for place in (0, len(positions) // 2):
        alone = predictor.predictions(framing.context(rows, int(positions[place]))).slice(0, 1)
        _equal(together.slice(place, 1), alone, ROUNDING, "an example alone is predicted otherwise than among others")
    backwards = [predictor.predictions(rows, positions[::-1].copy())]
    if not framing.ahead:
        backwards.append(predictor.predictions(_backwards(rows)))
        nothing = predictor.predictions(rows.slice(0, 0))
        assert (nothing.num_rows, nothing.schema) == (0, predictor.prediction_schema), "no rows have other predictions"
    for each in backwards:
        _equal(_backwards(together), each, ROUNDING, "shuffled examples are predicted otherwise")


def _backwards(table: pa.Table) -> pa.Table:
    return table.take(pa.array(np.arange(table.num_rows)[::-1]))


def serves_what_it_predicts(trained: Trained, folder: Path) -> None:
    """A request and a file get the predictions of the rows that are in them."""
    predictor = trained.predictor
    rows = trained.history.slice(0, 3) if predictor.framing.alone else trained.history
    expected = predictor.predict(rows)
    status, body = send_request(predictor, ModelVersion("m", 1), rows)
    assert status == 200, f"a request is refused: {body}"
    answers = json.loads(body)["predictions"]
    columns = {name: [row.get(name) for row in answers] for name in expected.column_names}
    _equal(expected, to_table(columns, expected.schema), 0.0, "a request is answered otherwise")
    source, target = folder / "rows.parquet", folder / "predicted.parquet"
    pq.write_table(rows, source)
    write_predicted_rows(predictor, str(source), target, trained.root)
    _equal(expected, pq.read_table(target).select(expected.column_names), 0.0, "a file is predicted otherwise")


def refuses_what_is_no_number(trained: Trained) -> None:
    """A cell that is NaN or infinite is refused in one sentence, unless NaN is the absence of a value there."""
    predictor = trained.predictor
    for name in predictor.schema.names:
        promise = predictor.constraints.contract[name]
        for value in (math.nan, math.inf, -math.inf):
            changed = _with_cell(trained.history, name, value)
            if changed is None:
                continue
            try:
                predictor.predictions(changed)
            except DataError as error:
                _require_sentence(error)
            else:
                missing = math.isnan(value) and promise.nullable
                assert missing, f"{value} in column {name} is predicted for"
    targets = trained.table.read(trained.task.target_columns(trained.plan.dataset.inputs, trained.plan.dataset.target))
    for name in targets.column_names:
        changed = _with_cell(targets, name, math.nan)
        if changed is not None:
            try:
                trained.task.targets(changed)
            except DataError as error:
                _require_sentence(error)
            else:
                raise AssertionError(f"a target {name} that is NaN is learned from")


def _require_sentence(error: DataError) -> None:
    assert str(error), "a refusal gives no reason"
    assert "\n" not in str(error), f"a refusal takes more than a sentence: {error}"


def _with_cell(rows: pa.Table, name: str, value: float) -> pa.Table | None:
    """Return rows with a number in the first cell of a column; None where it holds no floating point numbers."""
    column = rows[name].combine_chunks()
    kind = column.type
    if isinstance(kind, pa.FixedShapeTensorType):
        if not pa.types.is_floating(kind.value_type):
            return None
        array = column.to_numpy_ndarray().copy()
        array.flat[0] = value
        changed = pa.FixedShapeTensorArray.from_numpy_ndarray(array)
    else:
        inner = kind.value_type if pa.types.is_list(kind) else kind
        if not pa.types.is_floating(inner):
            return None
        cells = column.to_pylist()
        cells[0] = [value, *(cells[0] or [])[1:]] if pa.types.is_list(kind) else value
        changed = pa.array(cells, kind)
    return rows.set_column(rows.column_names.index(name), name, changed)


# ---------------------------------------------------------------- of tasks


def measures_rows_in_any_order(task: Task, predictions: pa.Table) -> None:
    """Metrics of the same rows in another order are the same."""
    forward, backward = task.measure(predictions), task.measure(_backwards(predictions))
    assert _near(forward, backward), f"a metric depends on the order of rows: {forward}, backwards {backward}"
    assert all(map(math.isfinite, forward.values()))
    assert task.primary_metric in forward, f"the primary metric {task.primary_metric} is not measured"


def hits_as_often_as_it_measures(task: Task, predictions: pa.Table) -> None:
    """The hit rate, where a task has one, is the share of the rows that are hits, by which models are compared."""
    if task.hit_rate is not None:
        measured, share = task.measure(predictions)[task.hit_rate], task.hits(predictions).mean()
        assert math.isclose(measured, share), f"its hit rate is another than the share of its hits: {measured}, {share}"


def counts_draws(task: Task, predictions: pa.Table) -> None:
    """A metric of draw counts is that of a table in which each row stands as often as it was drawn.

    It holds for the metrics that may decide between models, unless their resamples begin with what all rows have in
    common, which is `slow`.
    """
    deciding = {task.primary_metric, *get_args(get_type_hints(type(task).__init__).get("primary_metric"))}
    counts = np.random.default_rng(4).integers(0, 3, predictions.num_rows)
    for drawn in (counts, np.full_like(counts, COPIES)):
        table = predictions.take(pa.array(np.repeat(np.arange(len(drawn)), drawn)))
        statistics = {
            name: statistic
            for name, statistic in task.statistics(predictions).items()
            if name == task.primary_metric or (name in deciding and not statistic.slow)
        }
        weights = drawn[:, np.newaxis].astype(np.float64)
        found = {name: float(statistic.evaluate(weights)[0]) for name, statistic in statistics.items()}
        expected = task.measure(table, statistics)
        # The area under a curve is not defined on a table that lacks a class, but is on draws that lack it.
        found = {name: value for name, value in found.items() if name in expected}
        assert task.primary_metric in expected
        assert _near(expected, found), f"a metric of draws is another than of the rows drawn: {found}, not {expected}"


def has_an_interval_that_holds_it(task: Task, predictions: pa.Table) -> None:
    """The interval of the primary metric holds its value, and is narrower of more rows."""
    name, widths = task.primary_metric, []
    for copies in (1, COPIES):
        rows = pa.concat_tables([predictions] * copies)
        interval = metric_intervals(task, rows, _resampling(task, rows))[name]
        if interval.low is None or interval.high is None:
            return
        rounding = 1e-9 * max(1.0, abs(interval.value))
        assert interval.low - rounding <= interval.value <= interval.high + rounding, (
            f"{interval} does not hold its value"
        )
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0] or widths[0] == 0, f"an interval of {COPIES} times the rows is as wide: {widths}"


def _resampling(task: Task, rows: pa.Table) -> Resampling:
    block = block_length(task.horizon, rows.num_rows) if task.horizon else 1
    return Resampling(0.95, RESAMPLES, 1, block)


def _near(one: dict[str, float], other: dict[str, float]) -> bool:
    return one.keys() == other.keys() and all(
        math.isclose(one[name], other[name], rel_tol=1e-7, abs_tol=1e-9) for name in one
    )


def is_perfect_where_it_is_right(task: Task, truth: pa.Table, ideal: pa.Table) -> None:
    """What is always right has the best value of the primary metric: 1 or 100 per cent, or an error of 0."""
    assert ideal.schema == task.prediction_schema, f"ideal predictions have another schema: {ideal.schema}"
    found = task.measure(with_truth(truth, ideal))[task.primary_metric]
    best = (1.0, 100.0) if task.higher_is_better else (0.0,)
    assert any(math.isclose(found, each, abs_tol=1e-9) for each in best), (
        f"{task.primary_metric} of ideal predictions is {found}, not {' or '.join(map(str, best))}"
    )


def is_poor_where_it_guesses(task: Task, tested: pa.Table, ideal: pa.Table, baselines: Iterable[pa.Table]) -> None:
    """Ideal predictions that are given to other rows are worse than half-way from a natural baseline to what is ideal.

    Args:
        task: fitted.
        tested: a predictions table.
        ideal: prediction columns of its rows.
        baselines: predictions tables of the same rows.
    """
    order = pa.array(np.random.default_rng(5).permutation(ideal.num_rows))
    own, metric = ideal.column_names, task.primary_metric
    best, guessed, *natural = (
        task.measure(table, [metric])[metric] * (1 if task.higher_is_better else -1)
        for table in (
            *(
                pa.table({name: (given if name in own else tested)[name] for name in tested.column_names})
                for given in (ideal, ideal.take(order))
            ),
            *baselines,
        )
    )
    assert all(best > each for each in natural), f"ideal predictions, {best}, are no better than a baseline, {natural}"
    # Of a metric that compares all rows with all rows, such as a distance of distributions, every order is right.
    unpaired = math.isclose(best, guessed, rel_tol=1e-6, abs_tol=1e-6)
    near = all(guessed <= (each + best) / 2 for each in natural)
    assert unpaired or near, f"guesses, {guessed}, are nearer to what is ideal, {best}, than to a baseline, {natural}"


def merges(task: Task, predictions: pa.Table) -> None:
    """Equal predictions are merged to themselves, where a task merges any."""
    if task.mergeable:
        own = predictions.select(task.prediction_schema.names)
        _equal(own, task.merge([own, own], Mean()), 1e-9, "equal predictions are merged to others")


def is_measured_in_full(trained: Trained) -> None:
    """Metrics, intervals, slices, paired tests, merging, the best and the poorest predictions."""
    task, tested, plan, table = trained.task, trained.tested, trained.plan, trained.table
    measures_rows_in_any_order(task, tested)
    hits_as_often_as_it_measures(task, tested)
    counts_draws(task, tested)
    has_an_interval_that_holds_it(task, tested)
    merges(task, tested)
    how = _resampling(task, tested)
    sliced = [name for name, each in plan.dataset.contract.columns.items() if column_type(each).groups]
    if sliced and not task.horizon:
        found = slice_metrics(task, tested, table.read([ROW_ID, sliced[0]]), sliced[:1], how)
        assert sum(each.rows for each in found[sliced[0]]) == tested.num_rows, "slices do not hold every row once"
    natural = natural_predictions(
        natural_baselines(plan.task, trained.root / "src"), task, plan.dataset, table, tested, left_out=()
    )
    assert natural, f"no natural baseline of task {task.kind} applies"
    comparison = PairedComparison(resamples=RESAMPLES)
    for baseline in natural.values():
        comparison.verdict(comparison.compare(task, tested, baseline, how, 0.05), 0.05)
    truth, ideal = ideal_predictions(trained)
    if ideal is not None:
        is_perfect_where_it_is_right(task, truth, ideal)
        is_poor_where_it_guesses(task, tested, ideal, natural.values())


def ideal_predictions(trained: Trained) -> tuple[pa.Table, pa.Table | None]:
    """Return truth and ideal predictions of the test examples."""
    prepared = prepare(trained.plan.dataset, trained.plan.task, trained.table)
    framing = trained.predictor.framing
    targets = prepared.targets(prepared.positions("test", framing), framing)
    ideal = trained.task.ideal(targets)
    assert ideal is not None or not trained.task.truth_columns, "a task with truth states no ideal predictions"
    return trained.task.truth(targets), ideal


# ---------------------------------------------------------------- of features


def encodes_each_row_by_itself(trained: Trained) -> None:
    """A row alone is encoded to the same bits as among others, also by an encoder that was restored."""
    for predictor, _ in trained.single_predictors():
        rows = trained.table.read(predictor.schema.names).slice(0, 8)
        together = each_input(predictor.encoder.encode(rows))
        alone = each_input(predictor.encoder.encode(rows.slice(5, 1)))
        for name, values in together.items():
            one, other = (values[5:6], alone[name])
            one, other = ((each.toarray() if sparse.issparse(each) else each) for each in (one, other))
            assert np.array_equal(one, other), f"{type(predictor.encoder).__name__} encodes a row by what is beside it"


def each_input(encoded: Encoded) -> dict[str, Any]:
    """Return encoded rows by the name of the input."""
    return encoded if isinstance(encoded, dict) else {"": encoded}


def augments_by_its_generator(learner: LearnerConfig, prepared: PreparedData) -> None:
    """An augmentation draws from the generator that it is given alone, and leaves what it is given as it is."""
    augmentations = learner.features.augment
    examples = TensorExamples(encode(prepared, learner), torch.device("cpu")) if augmentations else None
    for name, component in augmentations.items():
        change, found = build(component), []
        for seed in (1, 2):
            batch = examples.take(torch.arange(8))
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - the generator that nothing may draw from
            random.seed(seed)
            changed = change(batch, torch.Generator().manual_seed(7))
            found.append({**tensors(changed.inputs), **changed.targets})
            given = {**tensors(batch.inputs), **batch.targets}
            untouched = examples.take(torch.arange(8))
            expected = {**tensors(untouched.inputs), **untouched.targets}
            assert all(given[each].equal(expected[each]) for each in expected), f"{name} changes what it is given"
            assert found[-1].keys() == given.keys(), f"{name} gives other inputs or targets: {[*found[-1]]}"
        assert all(found[0][each].equal(found[1][each]) for each in found[0]), f"{name} draws from a global generator"


def tensors(inputs: Inputs) -> dict[str, torch.Tensor]:
    """Return inputs by their names."""
    return inputs if isinstance(inputs, dict) else {"": inputs}


# ---------------------------------------------------------------- of methods


def learns_with_every_weight(trained: Trained) -> None:
    """Each tensor of a network that can learn has a gradient in some move of a method that trains it."""
    plan, task = trained.plan, trained.task
    if not isinstance(plan.model, ModelConfig) or not is_network(plan.model):
        return
    examples = encode(prepare(plan.dataset, plan.task, trained.table), plan.learner)
    torch.manual_seed(0)
    network = build(plan.model, examples.encoder.spec(), task.outputs)
    batch = TensorExamples(examples, torch.device("cpu")).take(torch.from_numpy(examples.train[:FEW]))
    learning = set()
    for component in methods_of(plan.task.kind, plan.model.parts):
        method = build(component, network, task)
        with torch.inference_mode():
            method.prepare([batch])
        for move in method.moves():
            network.zero_grad()
            sum(method.losses(move, batch).values()).backward()
            learning |= {name for name, each in network.named_parameters() if each.grad is not None and each.grad.any()}
    still = sorted({name for name, each in network.named_parameters() if each.requires_grad} - learning)
    assert not still, f"{plan.model.class_name} has weights that nothing trains: {still}"


def goes_on_where_it_was_killed(project: TinyProject, plan: Plan, kills: int) -> None:
    """A training that is killed at random steps, each time before the next attempt, ends with undisturbed bytes.

    In every other attempt, the first among them, its examples lie in files, as those of a table larger than memory do.
    """
    undisturbed = project.trained(plan)
    prepared = prepare(plan.dataset, plan.task, undisturbed.table)
    settings = plan.trainer
    steps = settings.max_epochs * -(-len(encode(prepared, plan.learner).train) // settings.batch_size)
    chosen = random.Random(plan.method.target).sample(range(settings.checkpoint_steps + 1, steps + 1), kills)
    kills = [f"{'' if number % 2 else 'mapped '}step {step}" for number, step in enumerate(sorted(chosen))]
    ends_the_same_after(project, plan, kills)


def ends_the_same_after(project: TinyProject, plan: Plan, kills: Sequence[str]) -> None:
    """A training that is killed at some moments, each time before the next attempt, ends with undisturbed bytes."""
    undisturbed = project.trained(plan)
    resumed = project.killed_and_resumed(plan, kills)
    files, expected = resumed.files(), undisturbed.run.files()
    differing = sorted(name for name in files.keys() | expected.keys() if files.get(name) != expected.get(name))
    assert not differing, f"a killed training ends with other bytes in {differing}"


# ---------------------------------------------------------------- of gates


class _Untouched:
    """Stands where a gate looks."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)


def looks_at_what_it_judges(gate: Gate) -> None:
    """A gate asks for something of the version before it says whether it passes."""
    try:
        gate.judge(_Untouched())  # type: ignore[arg-type]
    except LookupError:
        return
    raise AssertionError(f"{type(gate).__name__} judges a version that it has not looked at")


# ---------------------------------------------------------------- of findings


def finds_the_same_in_any_order(trained: Trained) -> None:
    """Ids and figures of findings depend on what they say and on which rows there are, not on any order."""
    plan = trained.plan
    kind = trained.task.findings(plan.dataset.example_columns)
    if kind is None:
        return
    stored = pq.read_table(trained.bundle / FINDINGS)
    rows = trained.table.read(list(plan.dataset.example_columns))
    assert stored.num_rows, "nothing was found"
    has_findings_of_their_own(kind, stored["body"].combine_chunks(), rows)
    assert kind.identify(stored["body"].combine_chunks()).equals(stored["id"].combine_chunks())
    confirmed = [confirm_in_table(kind, trained.bundle, plan.dataset, trained.table) for _ in range(2)]
    assert confirmed[0].equals(confirmed[1]), "the same rows confirm other findings when they are asked again"


def has_findings_of_their_own(kind: FindingKind, bodies: pa.Array, rows: pa.Table) -> None:
    """See `finds_the_same_in_any_order`."""
    order = pa.array(np.arange(len(bodies))[::-1])
    ids, backwards = kind.identify(bodies), kind.identify(bodies.take(order))
    assert ids.take(order).equals(backwards), "ids of findings depend on the order of findings"
    assert len(set(ids.to_pylist())) == len(ids), "two findings have one id"
    found, again = kind.measure(bodies, rows), kind.measure(bodies.take(order), _backwards(rows))
    for name, figures in {**found.figures, "p": found.p_values}.items():
        other = again.p_values if name == "p" else again.figures[name]
        assert np.allclose(figures, other[..., ::-1], equal_nan=True), f"{name} of findings depends on an order"
