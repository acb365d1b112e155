"""Estimators and ensembles: the same program, the same files."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from headframe.config.members import member_learners
from headframe.config.plan.plan import Plan
from headframe.datasets.table import Table
from headframe.examples.encode import encode
from headframe.examples.prepare import prepare
from headframe.models.ensembles import Stacking
from headframe.prediction.bundle import load_predictor
from headframe.training import ensembles
from headframe.training.ensembles import members_of


def rows_of(training_project, plan):
    prepared = prepare(plan.dataset, plan.task, Table.open(training_project.root / "data/digits"))
    examples = encode(prepared, plan.learner)
    flat = examples.inputs.reshape(len(examples.inputs), -1)
    return flat, examples.target["target"], prepared.splits, prepared.task


def scores_in(run, part="test"):
    table = pq.read_table(run.folder / "predictions.parquet").filter(
        np.equal(pq.read_table(run.folder / "predictions.parquet")["split"].to_pylist(), part)
    )
    return np.column_stack([table[f"score_{digit}"].to_numpy() for digit in range(10)])


def ensemble(training_project, members, target="Mean", **settings):
    """Make an ensemble of models of `conf/model`."""
    plan = training_project.simple("model=mlp", "model.hidden=[8]", "seed=7")
    model = {
        "_target_": f"headframe.models.ensembles.{target}",
        "members": {name: {"model": training_project.simple(*given).model} for name, given in members.items()},
        **settings,
    }
    return Plan.model_validate({**plan.model_dump(by_alias=True), "model": json.loads(json.dumps(model, default=dump))})


def dump(component):
    return component.model_dump(by_alias=True)


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_an_estimator_learns_what_scikit_learn_learns(training_project, weights):
    plan = training_project.simple("model=logistic", f"task.class_weights={weights}")
    run = training_project.train_once(plan)
    flat, target, splits, _ = rows_of(training_project, plan)
    by_hand = LogisticRegression(C=1.0, max_iter=1000, class_weight=None if weights == "none" else "balanced")
    # As many threads as the program has: in float32 the order of sums moves the place where the optimiser stops.
    with threadpool_limits(plan.trainer.threads):
        by_hand.fit(flat[splits == "train"], target[splits == "train"])
    assert np.allclose(scores_in(run), by_hand.predict_proba(flat[splits == "test"]), atol=1e-6)
    assert run.read("history.json") == []
    assert run.read("result.json")["parameters"] == 0


def test_an_estimator_draws_from_the_seed_of_the_plan(training_project):
    plan = training_project.simple("model=random_forest_classifier", "model.n_estimators=5", "seed=7")
    run, again = training_project.train_once(plan), training_project.train(plan, "forest-again")
    assert run.files() == again.files()
    flat, target, splits, _ = rows_of(training_project, plan)
    settings = {name: value for name, value in plan.model.arguments.items() if name != "random_state"}
    by_hand = RandomForestClassifier(**settings, random_state=7)
    by_hand.fit(flat[splits == "train"], target[splits == "train"])
    assert np.allclose(scores_in(run), by_hand.predict_proba(flat[splits == "test"]), atol=1e-12)


def test_an_estimator_s_warning_is_a_line_of_the_training(training_project):
    run = training_project.train(training_project.simple("model=logistic", "model.max_iter=1"), "warned")
    assert run.code == 0
    [line] = [each for each in run.stderr.splitlines() if "warns" in each]
    assert line.startswith("LogisticRegression warns: lbfgs failed to converge after 1 iteration")


def test_members_of_members_have_their_path_as_name_and_place(training_project):
    inner = ensemble(training_project, {"lines": ["model=linear"], "net": ["model=mlp"]})
    outer = ensemble(training_project, {"alone": ["model=linear"], "other": ["model=logistic"]})
    tree = outer.model_dump(mode="json", by_alias=True)
    tree["model"]["members"]["both"] = {"model": inner.model_dump(mode="json", by_alias=True)["model"]}
    job = training_project.job(Plan.model_validate(tree))
    found = list(members_of(job, training_project.root, Path("out")))
    assert {each.name: each.folder.as_posix() for each in found} == {
        "alone": "out/members/alone",
        "other": "out/members/other",
        "both/lines": "out/members/both/members/lines",
        "both/net": "out/members/both/members/net",
    }
    assert len({each.identity for each in found}) == 3, "equal learners are trained alike, wherever they are"


@pytest.mark.parametrize(
    ("threads", "at_once"), [((1, 1), 8), ((1, 4), 2), ((3,), 2), ((8, 1), 1), ((16,), 1), ((), 8)]
)
def test_as_many_members_train_at_once_as_have_cores(training_project, monkeypatch, threads, at_once):
    monkeypatch.setattr(ensembles, "cores", lambda: 8)
    jobs = [
        training_project.job(training_project.simple("model=logistic", f"trainer.threads={each}")) for each in threads
    ]
    waiting = [next(members_of(job, training_project.root, Path("out"))) for job in jobs]
    assert ensembles._processes_at_once(waiting) == at_once


def test_a_member_trains_to_the_weights_it_reaches_alone(training_project):
    plan = ensemble(training_project, {"net": ["model=mlp", "model.hidden=[8]"], "lines": ["model=linear"]})
    run = training_project.train_once(plan)
    alone = training_project.train_once(training_project.simple("model=mlp", "model.hidden=[8]", "seed=7"))
    member = {name: raw for name, raw in run.files().items() if name.startswith("members/net/")}
    assert {name.removeprefix("members/net/"): raw for name, raw in member.items()} == alone.files()
    # The bundle of the ensemble holds the member as it is.
    assert run.files()["bundle/members/net/weights.safetensors"] == alone.files()["bundle/weights.safetensors"]
    assert run.read("result.json")["members"] == ["net", "lines"]
    both = [pq.read_table(run.folder / "members" / name / "predictions.parquet") for name in ("net", "lines")]
    mean = np.mean([[table[f"score_{digit}"].to_numpy() for digit in range(10)] for table in both], axis=0)
    whole = pq.read_table(run.folder / "predictions.parquet")
    assert np.allclose([whole[f"score_{digit}"].to_numpy() for digit in range(10)], mean, atol=1e-7)
    probe = pq.read_table(run.folder / "probe.parquet")
    found = load_predictor(run.folder / "bundle").predictions(probe)
    assert found.equals(pq.read_table(run.folder / "probe_predictions.parquet"))


def test_a_combiner_is_fitted_to_validation_rows_and_to_no_other(training_project):
    members = {"lines": ["model=logistic"], "tree": ["model=random_forest_classifier", "model.n_estimators=3"]}
    plan = ensemble(training_project, members, target="Stacking")
    run = training_project.train_once(plan, "serial")
    tables = [pq.read_table(run.folder / "members" / name / "predictions.parquet") for name in members]
    scores = np.stack([np.column_stack([each[f"score_{digit}"] for digit in range(10)]) for each in tables])
    decides = np.equal(tables[0]["split"].to_pylist(), "validation")
    by_hand = Stacking()
    by_hand.fit(scores[:, decides], tables[0]["target"].to_numpy()[decides], probabilities=True)
    whole = pq.read_table(run.folder / "predictions.parquet")
    found = np.column_stack([whole[f"score_{digit}"] for digit in range(10)])
    np.testing.assert_allclose(found, by_hand.combine(scores), atol=1e-7)
    assert not np.allclose(found, scores.mean(axis=0), atol=1e-3), "else nothing was fitted"


def test_an_ensemble_killed_in_a_member_keeps_the_finished_ones(training_project):
    plan = ensemble(training_project, {"net": ["model=mlp", "model.hidden=[8]"], "lines": ["model=linear"]})
    undisturbed = training_project.train_once(plan)
    killed = training_project.train(plan, "killed-ensemble", "member net")
    assert killed.code == -9, killed.stderr
    assert not (killed.folder / "result.json").exists()
    finished = (killed.folder / "members/lines/result.json").exists()
    (killed.folder / ".history.json.half").write_text("of an attempt that was killed")
    resumed = training_project.train(plan, "killed-ensemble", "serial")  # in one process, to the same bytes
    assert resumed.code == 0, resumed.stderr
    if finished:  # else it may have ended since, before it noticed that its parent is gone
        assert "lines: finished earlier" in resumed.stderr
    assert resumed.files() == undisturbed.files()


def test_copies_of_a_bagged_member_see_other_rows(training_project):
    members = {"tree": ["model=random_forest_classifier", "model.n_estimators=2"]}
    plan = ensemble(training_project, members, copies=2, bootstrap=True)
    run = training_project.train_once(plan, "serial")
    files = run.files()
    assert run.read("result.json")["members"] == ["tree-0", "tree-1"]
    assert files["members/tree-0/bundle/estimator.skops"] != files["members/tree-1/bundle/estimator.skops"]
    first, second = (encode_of(training_project, learner) for learner in member_learners(plan.learner).values())
    every = rows_of(training_project, plan)[2]
    for drawn in (first, second):
        assert len(drawn) == (every == "train").sum()
        assert 0.6 < len(set(drawn)) / len(drawn) < 0.66
        assert (every[drawn] == "train").all()
    assert set(first) != set(second)


def encode_of(training_project, learner):
    plan = training_project.simple()
    prepared = prepare(plan.dataset, plan.task, Table.open(training_project.root / "data/digits"))
    return encode(prepared, learner).train


def test_a_failing_member_stops_the_rest_and_its_sentence_comes_through(training_project):
    plan = ensemble(training_project, {"net": ["model=mlp"], "far": ["model=mlp"]})
    tree = plan.model_dump(mode="json", by_alias=True)
    tree["model"]["members"]["far"]["optimizer"] = {**tree["optimizer"], "lr": 1e30}
    tree["model"]["members"]["net"]["trainer"] = {"max_epochs": 100_000}
    run = training_project.train(Plan.model_validate(tree), "failing", "fork")
    assert run.code == 1
    sentence = run.stderr.splitlines()[-1]
    assert sentence.startswith("error: member far: training diverged: train_loss is ")
    assert "lower optimizer.lr" in sentence


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        ("dies", "member lines was ended by SIGKILL, as a system without free memory does; run again to continue"),
        ("exits", "member lines ended with code 3; if it gave a reason, that is above; run again to continue"),
        (
            "errs",
            "member lines: it fails with ZeroDivisionError: division by zero (.*); its traceback is in its output",
        ),
    ],
)
def test_a_member_that_ends_without_a_result_is_named_with_what_ended_it(training_project, end, sentence):
    plan = ensemble(training_project, {"net": ["model=linear"], "lines": ["model=linear"]})
    run = training_project.train(plan, f"ends-{end}", f"{end} lines")
    assert run.code == 1
    assert re.fullmatch(f"error: {sentence}", run.stderr.splitlines()[-1])
    assert ("Traceback" in run.stderr) == ("traceback" in sentence)
