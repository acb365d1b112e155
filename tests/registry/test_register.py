"""A version is registered after its proof, once, whatever happens in between."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fixtures import Made, World, changed_plan, in_child, moved, package_of, retrained, trust, twin
from mlflow import MlflowClient
from pydantic import BaseModel

from headframe import __version__
from headframe.config.plan.plan import VersionPlan
from headframe.config.plan.promotion import TeamConfig
from headframe.digests import digest, file_digest, write_record
from headframe.errors import DataError, HeadframeError, Refused
from headframe.evaluation.metrics import EvaluationMetrics
from headframe.prediction.schema import to_frame
from headframe.registry.register import is_registered
from headframe.registry.registrar import Registrar
from headframe.registry.request import RegistrationRequest
from headframe.registry.versions import is_intact, load_model, resolve
from headframe.tracking import lineage
from headframe.tracking.address import artifact_location


@pytest.fixture(scope="module")
def run(world: World) -> Any:
    registered = world.registered["digits"]
    return MlflowClient(world.uri, world.uri).get_run(registered.run_id)


def _artifacts(world: World, run: Any) -> set[str]:
    top = Path(run.info.artifact_uri.removeprefix("file://"))
    return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


def test_a_run_keeps_all_that_is_needed_to_tell_where_it_came_from(world: World, run: Any):
    made = world.made["digits"]
    assert run.info.status == "FINISHED"
    assert _artifacts(world, run) == {
        "plan.json", "provenance.json", "code/code.diff", "code/installed.txt", "data/validated.json",
        "training/predictions.parquet", "training/result.json", "training/history.json", "evaluation/card.md",
        "evaluation/report.html", "evaluation/job.json",
        "evaluation/metrics.json", "evaluation/slices.json", "evaluation/plots/confusion.png",
    }  # fmt: skip
    tags = run.data.tags
    assert tags["headframe.plan"] == made.plan.version.fingerprint
    assert tags["headframe.bundle"] == made.trained.bundle
    assert int(tags["hardware.cores"]) == os.cpu_count()
    assert "no git repository" in tags["headframe.code.note"]
    assert tags["headframe.code.changed"] == "unknown"
    assert tags["headframe.release"] == __version__
    assert tags["headframe.lock"] == "installed"
    assert 10 <= len(run.data.params) <= 15
    assert run.data.params["dataset"] == "digits"


def test_the_plan_in_the_run_is_the_plan(world: World, run: Any):

    file = Path(run.info.artifact_uri.removeprefix("file://")) / "plan.json"
    assert VersionPlan.model_validate_json(file.read_bytes()) == world.made["digits"].plan.version


def test_the_run_names_its_data_by_digest(world: World, run: Any):
    [given] = run.inputs.dataset_inputs
    split = world.made["digits"].data.split
    assert split.table.digest.startswith(given.dataset.digest)
    assert json.loads(given.dataset.profile)["digest"] == split.table.digest
    assert json.loads(given.dataset.profile)["test"] == split.test


def test_metrics_have_steps_and_interval_ends(world: World, run: Any):
    client = MlflowClient(world.uri, world.uri)
    history = client.get_metric_history(run.info.run_id, "history/train_loss")
    assert [(each.step, each.value) for each in history] == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    accuracy = world.made["digits"].evaluated.metrics["accuracy"]
    for name, value in (("", accuracy.value), ("_low", accuracy.low), ("_high", accuracy.high)):
        assert run.data.metrics[f"test/accuracy{name}"] == value


def test_what_a_training_took_is_logged_as_far_as_it_is_known(world: World):
    logged = {}
    for name, registered in world.registered.items():
        data = MlflowClient(world.uri, world.uri).get_run(registered.run_id).data
        costs = {key: value for key, value in data.metrics.items() if key.startswith("cost/")}
        logged[name] = (costs, data.tags.get("headframe.cost.note", ""))
    took = {"cost/wall_seconds": 3.5, "cost/cpu_seconds": 5.25, "cost/peak_memory_mib": 321.0}
    assert logged["digits"] == logged["sms_spam"] == (took, "")
    assert logged["adult"] == ({}, "")
    assert logged["etth1"] == (took, "resumed: what was spent before the interruption is not counted")


@pytest.mark.parametrize("name", ["digits", "adult", "sms_spam", "etth1"])
def test_what_mlflow_loads_predicts_as_the_model_in_memory_did(world: World, name: str, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", world.uri)
    made, registered = world.made[name], world.registered[name]
    assert registered.parity == 0.0
    loaded = mlflow.pyfunc.load_model(registered.model_uri)
    frame = to_frame(made.probe)
    expected = made.predictor.predict(made.probe).to_pandas()
    pd.testing.assert_frame_equal(loaded.predict(frame), expected)
    columns = pq.read_table(made.root / made.trained.folder / "probe_predictions.parquet")
    pd.testing.assert_frame_equal(loaded.predict(frame, params={"output": "columns"}), to_frame(columns))


@pytest.mark.parametrize("name", ["digits", "adult", "sms_spam", "etth1"])
def test_a_packaged_model_says_what_it_takes_and_needs(world: World, name: str):
    made = world.made[name]
    client = MlflowClient(world.uri, world.uri)
    folder = Path(client.get_model_version_download_uri(name, "1").removeprefix("file://"))
    model = mlflow.models.Model.load(str(folder))
    assert model.signature.inputs.input_names() == made.predictor.schema.names
    assert len(model.load_input_example(str(folder))) >= 2
    needs = (folder / "requirements.txt").read_text(encoding="utf-8").split()
    assert all("==" in each for each in needs)
    assert {"torch", "numpy", "headframe", "mlflow"} <= {each.partition("==")[0] for each in needs}
    assert model.metadata["columns"] == {each.name: str(each.type) for each in made.predictor.schema}


def test_nothing_in_a_package_is_a_pickle(world: World):
    for name in world.made:
        client = MlflowClient(world.uri, world.uri)
        folder = Path(client.get_model_version_download_uri(name, "1").removeprefix("file://"))
        for path in folder.rglob("*"):
            assert path.suffix not in (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".bin")
            assert not path.is_file() or path.read_bytes()[:2] not in (b"\x80\x04", b"\x80\x05", b"\x80\x02")


def test_registering_again_gives_the_same_record_and_doubles_nothing(digits: Made):
    first = digits.register()
    before = _census(digits)
    assert digits.register() == first
    assert _census(digits) == before
    assert is_registered(first, TeamConfig(), digits.places)
    assert not is_registered(first.model_copy(update={"version": 2}), TeamConfig(), digits.places)


@pytest.mark.parametrize(
    "changed",
    [
        {"evaluation": {"slices": ("digit",)}},
        {"baseline": None},
        {"name": "digits_again"},
        {"dataset": {"title": "Other words", "licence": "of the same", "citation": "rows", "homepage": "here"}},
        {"dataset": {"max_rejected": 7}},
        {"tracking": {"experiment": "elsewhere"}},
    ],
    ids=["slice", "baseline", "name", "words", "limit", "experiment"],
)
def test_the_same_weights_on_the_same_rows_stay_one_version(
    digits: Made, changed: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    first = digits.register()
    before = _census(digits)
    plan = changed_plan(digits.plan, **changed)
    file = digits.root / digits.evaluated.folder / "metrics.json"
    measured = EvaluationMetrics.model_validate_json(file.read_bytes())
    write_record(file, measured.model_copy(update={"confidence": 0.9}))
    evaluated = digits.evaluated.model_copy(update={"digest": file_digest(file)})
    with caplog.at_level("INFO", "headframe"):
        again = replace(digits, plan=plan, evaluated=evaluated).register()
    assert again == first
    assert _census(digits) == before, "no run, model or version is doubled"
    is_told = "is this model already, with the same weights and predictions; what else the plan changed" in caplog.text
    assert is_told == (plan.version != digits.plan.version)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("trained", "epochs", 4), ("trained", "parameters", 7), ("trained", "predictions", "0" * 64),
        ("trained", "bundle", "0" * 64), ("evaluated", "rows", 3), ("evaluated", "digest", "0" * 64),
        ("evaluated", "metrics", {"accuracy": {"value": 0.195, "low": 0.1, "high": 0.3}}),
        ("data", "split", {"train": 1150}), ("data", "split", {"digest": "0" * 64}),
        ("data", "validated", {"expectations": 2}),
    ],
)  # fmt: skip
def test_a_record_that_is_not_that_of_its_files_is_not_signed(digits: Made, part: str, name: str, value: Any):
    record = getattr(digits, part)
    old = getattr(record, name)
    value = old.model_copy(update=value) if isinstance(old, BaseModel) else value
    with pytest.raises(DataError, match=r"is recorded, so nothing is registered: it was changed since it was written"):
        replace(digits, **{part: record.model_copy(update={name: value})}).register()
    assert MlflowClient(digits.uri, digits.uri).search_registered_models() == []


def test_one_result_under_two_names_is_two_models(digits: Made):
    digits.register()
    second = replace(digits, plan=changed_plan(digits.plan, promotion={"model": "digits-2"})).register()
    assert (second.model, second.version) == ("digits-2", 1)


def test_a_setting_that_decided_nothing_makes_a_version_that_says_so(digits: Made, caplog: pytest.LogCaptureFixture):
    digits.register()
    with caplog.at_level("INFO", "headframe"):
        assert twin(digits).register().version == 2
    assert "models:/digits/2 predicts exactly as version 1 does; it is a version of its own because" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", "headframe"):
        assert retrained(digits, seed=18).register().version == 3
    assert "predicts exactly" not in caplog.text


@pytest.mark.parametrize("damage", ["byte", "gone"])
def test_a_version_whose_files_were_changed_is_no_longer_registered_until_they_are_written_again(
    digits: Made, damage: str, caplog: pytest.LogCaptureFixture
):
    first = digits.register()
    assert is_intact("digits", 1, digits.uri, trust()) is True
    client = MlflowClient(digits.uri, digits.uri)
    folder = Path(client.get_model_version_download_uri("digits", "1").removeprefix("file://"))
    file = next(path for path in sorted(folder.rglob("*")) if path.suffix == ".safetensors")
    if damage == "gone":
        shutil.rmtree(folder)
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert is_intact("digits", 1, digits.uri, trust()) is False
    assert not is_registered(first, TeamConfig(), digits.places)
    assert digits.register() == first
    assert "; its files are written again" in caplog.text
    assert is_registered(first, TeamConfig(), digits.places)
    assert len(client.search_model_versions()) == 1


def test_a_version_that_is_written_again_in_a_copy_of_the_project_has_the_same_bytes(digits: Made, tmp_path: Path):
    database = digits.root / ".headframe" / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:  # as where it was not made from a template
        connection.execute("UPDATE experiments SET artifact_location = ?", (f"{artifact_location(database)}/0",))
    assert in_child(digits.register) == 0  # as another process, since MLflow remembers where it wrote a model
    package, elsewhere = package_of("digits", digits.uri), tmp_path / "else" / "where"
    shutil.copytree(digits.root, elsewhere)
    copied = replace(digits, root=elsewhere, uri=f"sqlite:///{elsewhere / '.headframe' / 'mlflow.db'}")
    damaged = elsewhere / package.relative_to(digits.root) / "MLmodel"
    damaged.write_bytes(damaged.read_bytes() + b"\n")
    assert copied.register().version == 1
    before, after = ({file.relative_to(root): file.read_bytes() for file in root.rglob("*") if file.is_file()}
                     for root in (package, damaged.parent))  # fmt: skip
    assert after == before
    assert not [name for name, content in after.items() if str(tmp_path).encode() in content]


def test_of_a_version_that_is_not_there_nothing_is_known(digits: Made):
    assert is_intact("digits", 7, digits.uri, trust()) is None


def test_an_uncommitted_change_is_kept_byte_for_byte(digits: Made):
    def git(*words: str) -> None:
        who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *who, *words], cwd=digits.root, check=True, capture_output=True)

    file = digits.root / "model.py"
    file.write_bytes(b"# gr\xfcn\n")  # Latin-1
    (digits.root / ".gitignore").write_text("/data\n/.headframe\n")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    file.write_bytes(b"# gr\xfcn und blau\n")
    record = digits.register()
    diff = MlflowClient(digits.uri, digits.uri).download_artifacts(record.run_id, "code/code.diff")
    git("checkout", "--quiet", "model.py")
    git("apply", diff)
    assert file.read_bytes() == b"# gr\xfcn und blau\n"


def shifted(columns: pa.Table, by: float) -> pa.Table:
    """The same predictions with all scores moved."""
    return pa.table(
        {name: pc.add(columns[name], by) if "score" in name else columns[name] for name in columns.column_names}
    )


def test_a_package_that_predicts_otherwise_is_not_registered(digits: Made):
    file = digits.root / digits.trained.folder / "probe_predictions.parquet"
    pq.write_table(shifted(pq.read_table(file), 1e-3), file)
    with pytest.raises(HeadframeError, match=r"differs from the trained one by 0\.001 at most, on 32 rows"):
        digits.register()
    client = MlflowClient(digits.uri, digits.uri)
    assert client.search_model_versions() == []
    [found] = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert found.info.status == "FAILED"


def test_a_repaired_model_is_registered_in_the_run_that_had_failed(digits: Made):
    file = digits.root / digits.trained.folder / "probe_predictions.parquet"
    good = pq.read_table(file)
    pq.write_table(shifted(good, 1.0), file)
    with pytest.raises(HeadframeError, match="nothing was registered"):
        digits.register()
    pq.write_table(good, file)
    assert digits.register().version == 1
    assert _census(digits)["runs"] == 1


def test_a_change_of_one_byte_in_the_registry_is_noticed(digits: Made):
    registered = digits.register()
    version = resolve(f"digits/{registered.version}", digits.uri)
    client = MlflowClient(digits.uri, digits.uri)
    folder = Path(client.get_model_version_download_uri("digits", "1").removeprefix("file://"))
    [weights] = folder.rglob("weights.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(Refused, match=r"digits/1 is refused: data/bundle/weights.safetensors was changed"):
        load_model(version, digits.uri, trust())


def test_a_registry_that_cannot_be_written_is_said_and_leaves_nothing(digits: Made):
    database = digits.root / ".headframe" / "mlflow.db"
    database.unlink()
    database.mkdir()
    with pytest.raises(HeadframeError, match=r"mlflow.db cannot be opened for writing"):
        digits.register()
    assert list(database.iterdir()) == []


def _census(made: Made) -> dict[str, Any]:
    """Count everything that a repetition could double."""
    client = MlflowClient(made.uri, made.uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    found = client.search_runs(experiments)
    return {
        "runs": len(found),
        "status": sorted(each.info.status for each in found),
        "models": [json.loads(m.tags["mlflow.modelVersions"]) for m in client.search_logged_models(experiments)],
        "outputs": [len(each.outputs.model_outputs) for each in found],
        "inputs": [len(each.inputs.dataset_inputs) for each in found],
        "versions": sorted((each.name, int(each.version)) for each in client.search_model_versions()),
        "metrics": {
            name: [(each.step, each.value) for each in client.get_metric_history(found[0].info.run_id, name)]
            for name in sorted(found[0].data.metrics)
        },
        "params": found[0].data.params,
    }


WRITES = (
    "create_run", "update_run", "create_experiment", "log_text", "log_batch", "log_inputs", "log_outputs",
    "log_artifact", "log_artifacts", "create_logged_model", "log_model_artifacts", "finalize_logged_model",
    "create_registered_model", "create_model_version", "set_logged_model_tags", "set_terminated",
)  # fmt: skip


def _dying_after(number: int) -> Callable[[], None]:
    """Let the process end without any farewell after its n-th write."""
    done = 0

    def wrap(original: Any) -> Any:
        def counted(*given: Any, **named: Any) -> Any:
            nonlocal done
            result = original(*given, **named)
            done += 1
            if done == number:
                os._exit(9)
            return result

        return counted

    def install() -> None:
        for name in WRITES:
            setattr(MlflowClient, name, wrap(getattr(MlflowClient, name)))

    return install


def _killed_and_repeated(made: Made, number: int) -> int:
    install = _dying_after(number)

    def work() -> None:
        install()
        made.register()

    code = in_child(work)
    made.register()
    return code


@pytest.fixture(scope="module")
def undisturbed(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = moved(world.made["digits"], tmp_path_factory.mktemp("undisturbed"))
    made.register()
    return _census(made)


@pytest.mark.parametrize("number", [2, 21, 24])
def test_a_kill_between_two_writes_leaves_no_trace_after_a_repetition(digits: Made, undisturbed, number: int):
    assert _killed_and_repeated(digits, number) == 9
    assert _census(digits) == undisturbed


@pytest.mark.slow
def test_a_kill_between_any_two_writes_leaves_no_trace_after_a_repetition(world: World, undisturbed, tmp_path: Path):
    number = 1
    while True:
        made = moved(world.made["digits"], tmp_path / str(number))
        code = _killed_and_repeated(made, number)
        assert _census(made) == undisturbed, f"after a kill behind write {number}"
        if code == 0:
            break
        number += 1
    assert number > 20


def test_a_kill_in_the_midst_of_an_upload_leaves_no_trace_after_a_repetition(digits: Made, undisturbed):
    def half(client: MlflowClient, model_id: str, local_dir: str) -> None:
        first = sorted(path for path in Path(local_dir).rglob("*") if path.is_file())[0]
        target = Path(client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
        target.mkdir(parents=True)
        (target / first.name).write_bytes(first.read_bytes()[:10])
        os._exit(9)

    def work() -> None:
        MlflowClient.log_model_artifacts = half
        digits.register()

    assert in_child(work) == 9
    digits.register()
    assert _census(digits) == undisturbed


def test_two_processes_that_register_the_same_at_once_make_one_version(digits: Made, undisturbed):
    _both(digits.register, digits.register)
    assert _census(digits) == undisturbed


def test_two_processes_that_register_different_models_at_once_make_two_versions(digits: Made):
    other = retrained(digits, seed=18)
    _both(digits.register, other.register)
    census = _census(digits)
    assert census["versions"] == [("digits", 1), ("digits", 2)]
    assert census["status"] == ["FINISHED", "FINISHED"]


def _both(*works: Callable[[], Any]) -> None:
    children = []
    for work in works:
        child = os.fork()
        if child == 0:
            os._exit(in_child(work))
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * len(works)


def test_what_another_machine_registered_at_the_same_moment_stays_alone(digits: Made, monkeypatch):
    first = digits.register()
    client = MlflowClient(digits.uri, digits.uri)
    finds = iter([None])  # this machine looked before the other one had registered
    really = Registrar._find
    monkeypatch.setattr(Registrar, "_find", lambda self, c: next(finds) if finds.__length_hint__() else really(self, c))
    assert digits.register().version == first.version
    assert [int(each.version) for each in client.search_model_versions("name = 'digits'")] == [1]


def test_a_key_does_not_depend_on_where_the_project_or_the_registry_lies(world: World, digits: Made):
    def key(made: Made) -> str:
        plan = made.plan
        names = (plan.promotion.model, plan.tracking.experiment)
        request = (plan.version, *names, made.data, made.trained, made.evaluated, made.root, plan.tracking.code)
        return RegistrationRequest(*request).key

    assert key(digits) == key(world.made["digits"])
    other = retrained(digits, seed=18)
    assert key(other) != key(digits)


def test_the_lock_file_of_the_project_is_named_where_there_is_one(tmp_path: Path):
    assert lineage.lock_digest(tmp_path) == ("installed", digest(lineage.installed_versions()))
    (tmp_path / "constraints.txt").write_text("numpy==2.4.6\n", encoding="utf-8")
    sha256 = hashlib.sha256(b"numpy==2.4.6\n").hexdigest()
    assert lineage.lock_digest(tmp_path) == ("constraints.txt", sha256)
    assert lineage.installed_versions()["mlflow"].startswith("3.17")


def test_the_predictions_in_the_run_are_those_of_the_training(world: World, run: Any):
    file = Path(run.info.artifact_uri.removeprefix("file://")) / "training" / "predictions.parquet"
    made = world.made["digits"]
    assert pq.read_table(file).equals(pq.read_table(made.root / made.trained.folder / "predictions.parquet"))
