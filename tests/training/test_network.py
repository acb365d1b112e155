"""What training computes, compared with a loop written by hand."""

import hashlib
import math

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from headframe.config.build import build
from headframe.config.plan.data import ROW_ID
from headframe.datasets.table import Table
from headframe.examples.encode import encode
from headframe.examples.prepare import prepare
from headframe.examples.seeds import order, seed_of, with_replacement
from headframe.training.state import Epoch, EpochMonitor


def prepared(training_project, plan):
    return prepare(plan.dataset, plan.task, Table.open(training_project.root / "data" / plan.dataset.name))


def test_the_program_reaches_the_weights_of_a_plain_loop(training_project):
    plan = training_project.plan("trainer.keep=last", "trainer.gradient_clip=1.0")
    run = training_project.train_once(plan)
    given = prepared(training_project, plan)
    examples = encode(given, plan.learner)
    inputs, target = torch.from_numpy(examples.inputs), torch.from_numpy(examples.target["target"])
    rows = np.flatnonzero(given.splits == "train")
    torch.set_num_threads(1)
    torch.manual_seed(seed_of(plan.seed, "weights"))
    network = build(plan.model, examples.encoder.spec(), given.task.outputs)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, betas=(0.9, 0.999), weight_decay=0.01, fused=True)
    steps = math.ceil(len(rows) / 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.01, total_steps=3 * steps, pct_start=0.3, div_factor=25, final_div_factor=1e4
    )
    shift = build(plan.features.augment["shift"])
    noise = torch.Generator()
    step, losses = 0, []
    for epoch in range(3):
        shuffled = rows[
            np.random.Generator(np.random.Philox(key=[17, 1], counter=[0, 0, 0, epoch])).permutation(len(rows))
        ]
        total = 0.0
        for chosen in np.array_split(shuffled, steps):
            torch.manual_seed(seed_of(17, "noise", step, 0))
            noise.manual_seed(seed_of(17, "augmentation", step, 0))
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(shift.change(inputs[chosen], noise)), target[chosen])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
            step += 1
        losses.append(total / len(rows))
    trained = load_file(run.folder / "bundle/weights.safetensors")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, trained[name]), name
    assert np.allclose([epoch["train_loss"] for epoch in run.read("history.json")], losses, rtol=1e-12)


def test_predictions_are_those_of_the_kept_epoch(training_project):
    """A rate that rises far too high spoils the later epochs, so that best and last differ."""
    bad = ["optimizer.lr=1.0", "scheduler.start=0.001", "scheduler.warm_up=0.9", "trainer.max_epochs=5"]
    for keep in ("best", "last"):
        plan = training_project.plan(*bad, f"trainer.keep={keep}")
        run = training_project.train_once(plan)
        losses = [epoch["val_loss"] for epoch in run.read("history.json")]
        assert losses.index(min(losses)) != len(losses) - 1
        expected = min(losses) if keep == "best" else losses[-1]
        table = pq.read_table(run.folder / "predictions.parquet").to_pylist()
        found = [-math.log(row[f"score_{row['target']}"]) for row in table if row["split"] == "validation"]
        assert math.isclose(sum(found) / len(found), expected, rel_tol=1e-5)


def test_predictions_hold_validation_and_test_rows_in_table_order(training_project):
    plan = training_project.plan()
    table = Table.open(training_project.root / "data/digits")
    given = prepared(training_project, plan)
    kept = pq.read_table(training_project.train_once(plan).folder / "predictions.parquet")
    ids = given.rows.column(ROW_ID).to_pylist()
    expected = [(name, part) for name, part in zip(ids, given.splits, strict=True) if part != "train"]
    assert list(zip(kept["row_id"].to_pylist(), kept["split"].to_pylist(), strict=True)) == expected
    labels = dict(zip(*table.read([ROW_ID, "digit"]).to_pydict().values(), strict=True))
    assert kept["target"].to_pylist() == [labels[name] for name, _ in expected]


def test_a_loaded_bundle_gives_the_predictions_of_the_probe(training_project):
    from headframe.prediction.bundle import load_predictor

    run = training_project.train_once(training_project.plan())
    torch.set_num_threads(1)
    found = load_predictor(run.folder / "bundle").predictions(pq.read_table(run.folder / "probe.parquet"))
    assert found.equals(pq.read_table(run.folder / "probe_predictions.parquet"))


def test_windows_belong_to_the_part_that_holds_what_they_predict(training_project):
    from types import SimpleNamespace

    import pyarrow as pa

    from headframe.examples.framing import WindowFraming
    from headframe.examples.prepare import PreparedData

    parts = np.array(["train"] * 10 + ["validation"] * 4 + ["test"] * 5)
    rows = pa.table({ROW_ID: [f"r{row}" for row in range(19)], "x": np.arange(19.0)})
    task = SimpleNamespace(
        horizon=2,
        padding={},
        target_columns=lambda *_: ["x"],
        targets=lambda target: {"x": target.column("x").to_numpy().reshape(-1, 1)},
    )
    framing = WindowFraming(3, 2, None)
    dataset = SimpleNamespace(target=None, inputs=("x",), target_columns=("x",))
    given = PreparedData(dataset, rows, parts, task, None)
    assert given.positions("train", framing).tolist() == [3, 4, 5, 6, 7, 8]
    assert given.positions("validation", framing).tolist() == [10, 11, 12]
    assert given.positions("test", framing).tolist() == [14, 15, 16, 17]
    assert given.row_ids(np.array([10])).to_pylist() == ["r10"]
    assert given.targets(np.array([10, 14]), framing)["x"][..., 0].tolist() == [[10.0, 11.0], [14.0, 15.0]]
    assert given.probe(framing).column("x").to_pylist() == [11.0, 12.0, 13.0]


def test_batches_of_windows_are_the_windows(training_project):
    import pyarrow as pa

    from headframe.examples.batches import TensorExamples
    from headframe.examples.encode import Examples
    from headframe.examples.framing import WindowFraming

    rows = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    framing = WindowFraming(4, 2, None)
    reads, target = framing.reads(pa.table({})), {"target": rows * 2}
    examples = Examples(None, rows, target, framing, reads, np.arange(15), np.arange(15), np.arange(0))
    inputs, targets = TensorExamples(examples, torch.device("cpu")).take(torch.tensor([18, 4, 11]))
    for place, first in enumerate([14, 0, 7]):
        assert np.array_equal(inputs[place], rows[first : first + 4])
        assert np.array_equal(targets["target"][place], 2 * rows[first + 4 : first + 6])
    assert np.array_equal(examples.inputs_of(np.array([18, 4, 11])), inputs)
    assert np.array_equal(examples.targets(np.array([18, 4, 11]))["target"], targets["target"])


def test_an_epoch_deals_every_example_once_into_batches_of_nearly_one_size():
    from headframe.examples.batches import Batches

    numbers = torch.arange(100, 201)  # 101 examples: plain batches of 20 would end in one of a single example
    batches = Batches(numbers, batch_size=20, seed=4, device=torch.device("cpu"))
    assert batches.steps_per_epoch == 6
    epochs = [[batches.at(step) for step in range(first, first + 6)] for first in (0, 6)]
    for epoch in epochs:
        assert sorted(torch.cat(epoch).tolist()) == numbers.tolist()
        assert {len(batch) for batch in epoch} == {16, 17}
    assert batches.sizes().tolist() == [len(batch) for batch in epochs[0]]
    assert torch.cat(epochs[0]).tolist() == numbers[order(4, 0, 101)].tolist()
    assert torch.cat(epochs[0]).tolist() != torch.cat(epochs[1]).tolist()
    assert torch.equal(batches.at(3), epochs[0][3])  # in whatever order


def test_draws_depend_on_seed_purpose_and_counter_alone():
    digest = hashlib.blake2b(b"17/noise/4/0", digest_size=8).digest()
    assert seed_of(17, "noise", 4, 0) == int.from_bytes(digest, "little") >> 1
    assert len({seed_of(seed, what, step) for seed in (1, 2) for what in ("a", "b") for step in range(50)}) == 200
    drawn = with_replacement(3, 10_000)
    assert drawn.tolist() == with_replacement(3, 10_000).tolist()
    assert abs(len(set(drawn.tolist())) / 10_000 - (1 - 1 / math.e)) < 0.02


def history(losses, leads=None):
    leads = leads or [None] * len(losses)
    return [
        Epoch(epoch=place, train_loss=1.0, val_loss=loss, primary_metric=value, learning_rate=0.1)
        for place, (loss, value) in enumerate(zip(losses, leads, strict=True), start=1)
    ]


def test_early_stopping_counts_epochs_without_enough_improvement():
    from headframe.config.plan.trainer import EarlyStoppingConfig

    def monitored(patience, min_delta=0.0, monitor="loss", *, higher=True):
        return EpochMonitor(monitor, higher, "accuracy", EarlyStoppingConfig(patience=patience, min_delta=min_delta))

    assert not monitored(2).should_stop(history([3, 2, 2.5]))
    assert monitored(2).should_stop(history([3, 2, 2.5, 2.1]))
    assert not monitored(2).should_stop(history([3, 2, 2.5, 1.9]))
    assert monitored(2, min_delta=0.5).should_stop(history([3, 2, 1.9, 1.8]))
    assert monitored(1, monitor="primary_metric").should_stop(history([3, 2], [0.9, 0.8]))
    assert not monitored(1, monitor="primary_metric", higher=False).should_stop(history([3, 2], [0.9, 0.8]))
    assert monitored(1, monitor="primary_metric").best(history([3, 2, 1], [0.8, 0.9, 0.9])) == 1
    assert not EpochMonitor("loss", True, "accuracy", None).should_stop(history([1, 2, 3, 4]))
