"""Bundles of every kind: what is saved predicts as what was in memory, and nothing else is loaded."""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from shared import scores_of
from sklearn.datasets import load_digits
from torch import nn

from headframe.config.build import build
from headframe.config.plan.data import ColumnContract, ReaderConfig
from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.task import TaskConfig
from headframe.config.plan.trainer import TrainerConfig
from headframe.digests import folder_digest
from headframe.errors import ConfigurationError, DataError, HeadframeError
from headframe.examples.framing import framing_of
from headframe.miners.base import estimator_model
from headframe.models.ensembles import Mean
from headframe.prediction.bundle import ModelManifest, load_predictor, save_ensemble, save_model
from headframe.prediction.layout import encoder_states
from headframe.prediction.predictor import EnsemblePredictor, NetworkModel, Predictor, SinglePredictor, make_predictor
from headframe.tasks.classification import Classification
from headframe.tasks.dense import TARGET
from headframe.tasks.forecasting import Forecasting

IMAGE = {"gives": "image", "encoder": {"_target_": "headframe.features.images.Images"}}
TEXT = {
    "gives": "tokens",
    "encoder": {"_target_": "headframe.features.tokens.Tokens", "unit": "word", "length": 6},
}
SPARSE = {
    "gives": "sparse",
    "encoder": {"_target_": "headframe.features.tfidf.Tfidf", "analyzer": "char", "ngrams": [1, 2]},
}
TABULAR = {"gives": "tabular", "encoder": {"_target_": "headframe.features.tabular.Tabular"}}
CLASSES = {"_target_": "headframe.tasks.classification.Classification", "kind": "classification"}
VALUES = {"_target_": "headframe.tasks.regression.Regression", "kind": "regression"}
FORECAST = {"_target_": "headframe.tasks.forecasting.Forecasting", "kind": "forecasting", "horizon": 3}
CNN = {"_target_": "headframe.models.cnn.ConvNet", "widths": [[4], [8]], "dropout": 0.5}


def windows(lookback: int) -> dict[str, Any]:
    return {"gives": "series", "encoder": {"_target_": "headframe.features.windows.Windows", "lookback": lookback}}


def learner(model: dict[str, Any], features: dict[str, Any], task: str) -> LearnerConfig:
    own = model if "members" in model else {"tasks": [task], "takes": [features["gives"]], **model}
    return LearnerConfig.model_validate(
        {
            "seed": 3,
            "model": own,
            "features": features,
            "method": {"_target_": "headframe.methods.supervised.Supervised"},
            "optimizer": {"_target_": "torch.optim.adamw.AdamW"},
            "scheduler": {"_target_": "headframe.training.schedules.Constant"},
            "trainer": TrainerConfig(max_epochs=1, batch_size=8),
        }
    )


READER = ReaderConfig(target="headframe.datasets.readers.delimited.Delimited", missing=[])  # empty text is text


def unbounded(rows: pa.Table) -> dict[str, ColumnContract]:
    return {name: ColumnContract(dtype="string") for name in rows.column_names}


@dataclass
class Case:
    """A model in memory, what saves it, and rows to predict."""

    rows: pa.Table
    predictor: Predictor
    save: Callable[[Path], None]
    manifest: ModelManifest


def case(
    rows: pa.Table, target: pa.Table, model: dict[str, Any], features: dict[str, Any], task: dict[str, Any]
) -> Case:
    """Fit everything on `rows`; a network keeps its first weights, which is all that saving needs."""
    chosen = learner(model, features, task["kind"])
    component = TaskConfig.model_validate(task)
    encoder, built = build(chosen.features.encoder), build(component)
    encoder.fit(rows, tuple(rows.column_names))
    built.fit(target)
    free = unbounded(rows)
    framing = framing_of(chosen.features, encoder, built.horizon, None)
    manifest = ModelManifest("toy", rows.schema, READER, free, chosen, component)
    if model["_target_"].startswith("sklearn"):
        trained = estimator_model(build(chosen.model), built)
        inputs, targets = encoder.encode(rows), built.encode(target)
        if encoder.lookback:
            starts = range(rows.num_rows - encoder.lookback - built.horizon + 1)
            inputs = np.stack([inputs[start : start + encoder.lookback] for start in starts])
            targets = np.stack([targets[start + encoder.lookback :][: built.horizon] for start in starts])
        trained.fit(inputs, {TARGET: targets})
        predictor = make_predictor(rows.schema, build(READER), built, encoder, trained, contract=free, framing=framing)
        return Case(rows, predictor, lambda folder: save_model(folder, manifest, encoder, built, trained), manifest)
    torch.manual_seed(3)
    network: nn.Module = build(chosen.model, encoder.spec(), built.outputs)
    network.train()
    method = build(chosen.method, network, built)
    predictor = make_predictor(rows.schema, build(READER), built, encoder, method, contract=free, framing=framing)
    return Case(rows, predictor, lambda folder: save_model(folder, manifest, encoder, built, method), manifest)


def digits(model: dict[str, Any], rows: int = 200) -> Case:
    images, labels = load_digits(return_X_y=True)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(images[:rows].reshape(-1, 8, 8, 1).astype(np.uint8))
    return case(pa.table({"image": tensors}), pa.table({"digit": labels[:rows]}), model, IMAGE, CLASSES)


def series(model: dict[str, Any], lookback: int = 8) -> Case:
    random = np.random.default_rng(0)
    rows = pa.table({name: random.normal(size=60).cumsum() for name in ("load", "油温")})
    return case(rows, rows, model, windows(lookback), FORECAST)


def sentences(model: dict[str, Any], features: dict[str, Any]) -> Case:
    texts = ["free 😀 prize", "see you", "", "深度学习", "win a prize now", "ok, tomorrow then"] * 4
    spam = pa.table({"spam": [True, False, False, False, True, False] * 4})
    return case(pa.table({"text": texts}), spam, model, features, CLASSES)


def mixed(model: dict[str, Any], task: dict[str, Any]) -> Case:
    random = np.random.default_rng(0)
    x = random.normal(size=80)
    rows = pa.table({"x": [None, *x[1:]], "colour": random.choice(["红", "blue", "é"], 80)})
    target = x > 0 if task is CLASSES else 100 * x + 7
    return case(rows, pa.table({"y": target}), model, TABULAR, task)


CASES: dict[str, Callable[[], Case]] = {
    "cnn": lambda: digits(CNN),
    "forecast": lambda: series({"_target_": "headframe.models.forecast.ChannelLinear"}),
    "text": lambda: sentences({"_target_": "headframe.models.recurrent.RecurrentNet", "hidden": 5}, TEXT),
    "mlp": lambda: mixed({"_target_": "headframe.models.mlp.MLP", "hidden": [6]}, VALUES),
    "logistic": lambda: sentences({"_target_": "sklearn.linear_model.LogisticRegression"}, SPARSE),
    "ridge": lambda: mixed({"_target_": "sklearn.linear_model.Ridge"}, VALUES),
    "ridge forecast": lambda: series({"_target_": "sklearn.linear_model.Ridge"}),
    "forest": lambda: digits(
        {"_target_": "sklearn.ensemble.RandomForestClassifier", "n_estimators": 3, "random_state": 3}
    ),
    "forest of values": lambda: mixed(
        {"_target_": "sklearn.ensemble.RandomForestRegressor", "n_estimators": 3, "random_state": 3}, VALUES
    ),
    "boosting": lambda: mixed(
        {"_target_": "sklearn.ensemble.HistGradientBoostingClassifier", "max_iter": 3, "random_state": 3}, CLASSES
    ),
    "boosting of values": lambda: mixed(
        {"_target_": "sklearn.ensemble.HistGradientBoostingRegressor", "max_iter": 3, "random_state": 3}, VALUES
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bundle_predicts_bitwise_as_the_model_in_memory(name: str, tmp_path: Path) -> None:
    made = CASES[name]()
    made.save(tmp_path / "bundle")
    before = torch.get_rng_state()
    loaded = load_predictor(tmp_path / "bundle")
    assert torch.equal(torch.get_rng_state(), before), "loading moved the random numbers"
    expected = scores_of(made.predictor, made.rows)
    np.testing.assert_array_equal(scores_of(loaded, made.rows), expected)
    np.testing.assert_array_equal(scores_of(loaded, made.rows), expected)
    assert loaded.predict(made.rows) == made.predictor.predict(made.rows)
    assert loaded.schema == made.rows.schema
    assert (loaded.framing.reach, loaded.horizon) == (made.predictor.framing.reach, made.predictor.horizon)


@pytest.mark.parametrize("name", CASES)
def test_equal_training_gives_equal_bytes_and_none_of_them_pickle(name: str, tmp_path: Path) -> None:
    for place in ("one", "two"):
        CASES[name]().save(tmp_path / place / "bundle")
    assert folder_digest(tmp_path / "one") == folder_digest(tmp_path / "two")
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            assert not any(raw.startswith(bytes([0x80, version])) for version in range(1, 6)), path
            assert b"pickle" not in raw, path
            assert str(tmp_path).encode() not in raw, path
            assert path.suffix in {".json", ".safetensors", ".skops"}


@pytest.mark.parametrize("name", ["cnn", "text", "forecast"])
def test_scores_hardly_depend_on_the_batch_they_come_in(name: str, tmp_path: Path) -> None:
    made = CASES[name]()
    made.save(tmp_path / "bundle")
    whole = scores_of(load_predictor(tmp_path / "bundle"), made.rows)
    scale = np.abs(whole).max()
    for size in (1, 7):
        parts = scores_of(load_predictor(tmp_path / "bundle", batch_size=size), made.rows)
        np.testing.assert_allclose(parts, whole, rtol=0, atol=2e-6 * scale)


def ensemble(tmp_path: Path, combiner: str = "Weighted") -> tuple[Case, dict[str, Case], Path]:
    members = {
        "short": series({"_target_": "headframe.models.forecast.ChannelLinear"}, 8),
        "long": series({"_target_": "sklearn.linear_model.Ridge"}, 12),
    }
    for name, member in members.items():
        member.save(tmp_path / name)
    first = members["short"]
    whole = learner(
        {
            "_target_": f"headframe.models.ensembles.{combiner}",
            "members": {
                name: {"model": own.model, "features": own.features}
                for name, own in ((name, member.manifest.learner) for name, member in members.items())
            },
        },
        windows(8),
        "forecasting",
    )
    fitted = build(whole.model)
    # Windows of the longer member begin four rows earlier; all end where the shorter one's end.
    short, long = (scores_of(member.predictor, first.rows) for member in members.values())
    scores = np.stack([short[4:], long])
    encoded = first.predictor.task.scores(first.predictor.task.encode(first.rows))
    target = np.stack([encoded[start + 12 : start + 15] for start in range(60 - 12 - 3 + 1)])
    fitted.fit(scores[:, : len(target)], target, probabilities=False)
    manifest = ModelManifest("toy", first.rows.schema, READER, unbounded(first.rows), whole, first.manifest.task)
    folder = tmp_path / "whole"
    save_ensemble(folder, manifest, first.predictor.task, {name: tmp_path / name for name in members}, fitted)
    predictor = EnsemblePredictor(
        first.predictor.task, {name: member.predictor for name, member in members.items()}, fitted
    )
    expected = fitted.combine(scores)
    np.testing.assert_array_equal(scores_of(predictor, first.rows), expected)
    return Case(first.rows, predictor, lambda _: None, manifest), members, folder


@pytest.mark.parametrize("combiner", ["Mean", "Weighted", "Stacking"])
def test_an_ensemble_aligns_members_that_look_back_differently(combiner: str, tmp_path: Path) -> None:
    made, _, folder = ensemble(tmp_path, combiner)
    loaded = load_predictor(folder)
    assert loaded.framing.reach == 12
    np.testing.assert_array_equal(scores_of(loaded, made.rows), scores_of(made.predictor, made.rows))
    assert loaded.predict(made.rows)["step"].to_pylist() == [1, 2, 3]
    shutil.rmtree(tmp_path / "short")  # the bundle stands alone
    load_predictor(folder)


def test_windows_can_be_chosen_and_the_last_one_is_predicted() -> None:
    made = CASES["forecast"]()
    every = scores_of(made.predictor, made.rows)
    assert every.shape == (60 - 8 + 1, 3, 2)
    chosen = scores_of(made.predictor, made.rows, np.array([13, 8, 60]))
    np.testing.assert_allclose(chosen, every[[5, 0, 52]], rtol=1e-6)
    forecast = made.predictor.predict(made.rows)
    np.testing.assert_allclose(forecast["load"].to_numpy(), every[-1, :, 0], rtol=1e-6)
    with pytest.raises(DataError, match="7 rows came, but a forecast needs the last 8"):
        made.predictor.predict(made.rows.slice(0, 7))
    for wanted in (made.predictor.predict, made.predictor.predictions):
        with pytest.raises(DataError, match="0 rows came, but a forecast needs the last 8"):
            wanted(made.rows.slice(0, 0))
    with pytest.raises(DataError, match="60 rows came; those that can be predicted are 9 to 61"):
        scores_of(made.predictor, made.rows, np.array([61]))


def test_members_of_rows_by_themselves_are_combined_row_by_row() -> None:
    members = {"one": digits(CNN), "other": digits({"_target_": "sklearn.linear_model.LogisticRegression"})}
    rows, task = members["one"].rows, members["one"].predictor.task
    whole = EnsemblePredictor(task, {name: each.predictor for name, each in members.items()}, Mean())
    expected = sum(scores_of(each.predictor, rows) for each in members.values()) / 2
    np.testing.assert_allclose(scores_of(whole, rows), expected, rtol=1e-6)


def test_a_network_that_is_being_trained_predicts_without_dropout() -> None:
    made = digits(CNN)
    expected = scores_of(made.predictor, made.rows)
    assert isinstance(made.predictor, SinglePredictor)
    assert isinstance(made.predictor.model, NetworkModel)
    made.predictor.model.method.network.train()
    np.testing.assert_array_equal(scores_of(made.predictor, made.rows), expected)


def test_the_encoders_of_an_ensemble_are_found_by_the_names_of_its_members(tmp_path: Path) -> None:
    _, members, folder = ensemble(tmp_path)
    alone = {name: dict(encoder_states(tmp_path / name)) for name in members}
    assert dict(encoder_states(folder)) == {name: alone[name][""] for name in members}
    assert alone["short"].keys() == {""}


FILES = {"cnn": ["bundle.json", "weights.safetensors"], "forest": ["bundle.json", "estimator.skops"]}


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in FILES.items() for file in files])
def test_a_changed_or_missing_file_is_named(name: str, file: str, tmp_path: Path) -> None:
    CASES[name]().save(tmp_path / "bundle")
    path = tmp_path / "bundle" / file
    raw = path.read_bytes()
    changed = raw.replace(b'"seed": 3', b'"seed": 4') if file == "bundle.json" else raw[:-1] + bytes([raw[-1] ^ 1])
    assert changed != raw
    path.write_bytes(changed)
    with pytest.raises(DataError, match=f"^{file} .*was changed"):
        load_predictor(tmp_path / "bundle")
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match=f"^{file} .*(was changed|can no longer be read)"):
        load_predictor(tmp_path / "bundle")
    path.unlink()
    with pytest.raises(HeadframeError, match=f"{file}.* is missing"):
        load_predictor(tmp_path / "bundle")


@pytest.mark.parametrize("file", ["combiner.json", "members/short/weights.safetensors", "members/long/bundle.json"])
def test_a_changed_file_of_an_ensemble_is_named(file: str, tmp_path: Path) -> None:
    _, _, folder = ensemble(tmp_path)
    path = folder / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError, match=f"{Path(file).name} .*was changed"):
        load_predictor(folder)


def _rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest as somebody would who knows how its digest is made."""
    from headframe.digests import digest, file_digest

    path = folder / "bundle.json"
    manifest = json.loads(path.read_text())
    del manifest["digest"]
    change(manifest)
    manifest["files"] = {name: file_digest(folder / name) for name in manifest["files"]}
    path.write_text(json.dumps({**manifest, "digest": digest(manifest)}))


def test_code_outside_the_trusted_packages_is_not_loaded(tmp_path: Path) -> None:
    CASES["cnn"]().save(tmp_path / "bundle")

    def point_elsewhere(manifest: dict[str, Any]) -> None:
        manifest["learner"]["model"]["_target_"] = "os.system"

    _rewritten(tmp_path / "bundle", point_elsewhere)
    with pytest.raises(DataError, match=r"'os.system' is outside the trusted packages"):
        load_predictor(tmp_path / "bundle")


OWN = """
from headframe.datasets.readers.delimited import Delimited
from headframe.models.mlp import MLP
from headframe.tasks.regression import Regression
"""


@pytest.mark.parametrize(
    ("place", "name"),
    [(("learner", "model"), "MLP"), (("task", "component"), "Regression"), (("reader",), "Delimited")],
)
def test_own_code_is_loaded_where_it_is_trusted(
    place: tuple[str, ...], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"own_{name.lower()}.py").write_text(f"{OWN}\n\nclass Own({name}):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    made = CASES["mlp"]()
    made.save(tmp_path / "bundle")

    def point_to_own(manifest: dict[str, Any]) -> None:
        for key in place:
            manifest = manifest[key]
        manifest["_target_"] = f"own_{name.lower()}.Own"

    _rewritten(tmp_path / "bundle", point_to_own)
    with pytest.raises(DataError, match=r"\.Own' is outside the trusted packages"):
        load_predictor(tmp_path / "bundle")
    loaded = load_predictor(tmp_path / "bundle", trusted=(f"own_{name.lower()}.",))
    assert loaded.predict(made.rows).equals(made.predictor.predict(made.rows))


def test_weights_of_another_architecture_are_named(tmp_path: Path) -> None:
    CASES["mlp"]().save(tmp_path / "bundle")

    def widen(manifest: dict[str, Any]) -> None:
        manifest["learner"]["model"]["hidden"] = [7]

    _rewritten(tmp_path / "bundle", widen)
    with pytest.raises(DataError, match=r"does not fit headframe\.models\.mlp\.MLP, .*: size mismatch for "):
        load_predictor(tmp_path / "bundle")


class Foreign:
    """Something that no estimator of scikit-learn holds."""

    def __init__(self) -> None:
        self.here = 1


def test_an_estimator_file_with_foreign_types_is_refused(tmp_path: Path) -> None:
    import skops.io

    CASES["ridge"]().save(tmp_path / "bundle")
    skops.io.dump(Foreign(), tmp_path / "bundle" / "estimator.skops")
    _rewritten(tmp_path / "bundle", lambda manifest: None)
    with pytest.raises(DataError, match="Foreign, which is no class of scikit-learn; it is not loaded"):
        load_predictor(tmp_path / "bundle")
    made = CASES["ridge"]()
    made.predictor.model.estimator.alpha = Foreign()  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="cannot be saved safely"):
        made.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert not list(tmp_path.glob(".other*")), "nothing half-written is left"


def test_an_estimator_file_calls_no_function_and_holds_what_the_plan_names(tmp_path: Path) -> None:
    """Attributes of an estimator may be functions, which it calls when it predicts."""
    import skops.io
    from sklearn.datasets import fetch_california_housing
    from sklearn.linear_model import Lasso, Ridge

    CASES["ridge"]().save(tmp_path / "bundle")
    for estimator, words in [
        (Ridge(alpha=fetch_california_housing), "fetch_california_housing, which is no class of scikit-learn"),
        (Lasso(), "holds a Lasso, but its model is a Ridge"),
    ]:
        skops.io.dump(estimator, tmp_path / "bundle" / "estimator.skops")
        _rewritten(tmp_path / "bundle", lambda manifest: None)
        with pytest.raises(DataError, match=words):
            load_predictor(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (b"0" * 2**27, r"would unpack to 134,217,728 bytes, as no estimator does; it is not loaded"),
        (b"[" * 100_000 + b"]" * 100_000, "is no estimator that this version can read"),
    ],
)
def test_an_archive_that_would_fill_the_memory_is_not_unpacked(schema: bytes, words: str, tmp_path: Path) -> None:
    CASES["ridge"]().save(tmp_path / "bundle")
    with zipfile.ZipFile(tmp_path / "bundle" / "estimator.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", schema)
    _rewritten(tmp_path / "bundle", lambda manifest: None)
    with pytest.raises(DataError, match=f"estimator.skops {words}"):
        load_predictor(tmp_path / "bundle")


def _absurd_array(content: bytes) -> bytes:
    """A file of NumPy's whose header asks for eight terabytes."""
    version, shape = content[:8], b"{'descr': '<f8', 'fortran_order': True, 'shape': (1000000, 1000000), }"
    return version + len(shape).to_bytes(2, "little") + shape + b"0" * 64


def test_an_array_of_absurd_shape_in_an_estimator_is_not_read(tmp_path: Path) -> None:
    CASES["ridge"]().save(tmp_path / "bundle")
    file = tmp_path / "bundle" / "estimator.skops"
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, _absurd_array(content) if name.endswith(".npy") else content)
    _rewritten(tmp_path / "bundle", lambda manifest: None)
    with pytest.raises(
        DataError, match=r"estimator\.skops takes more than 2 GiB of memory, as no file of its size should"
    ):
        load_predictor(tmp_path / "bundle")


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, (2**40).to_bytes(8, "little") + b"{}", b"\x02" + b"\0" * 7 + b"{}"]
)
def test_weights_that_are_none_are_refused(content: bytes, tmp_path: Path) -> None:
    CASES["cnn"]().save(tmp_path / "bundle")
    (tmp_path / "bundle" / "weights.safetensors").write_bytes(content)
    _rewritten(tmp_path / "bundle", lambda manifest: None)
    with pytest.raises(DataError, match=r"weights\.safetensors does not fit"):
        load_predictor(tmp_path / "bundle")


def test_saving_replaces_what_was_there(tmp_path: Path) -> None:
    CASES["cnn"]().save(tmp_path / "bundle")
    CASES["ridge"]().save(tmp_path / "bundle")
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == ["bundle.json", "estimator.skops"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_an_estimator_keeps_the_order_of_classes_and_weighs_them() -> None:
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    target = np.where(x[:, 0] > 0.8, 3, 1)
    task = Classification(class_weights="balanced")
    task.fit(pa.table({"y": [0, 2, *[1] * 5, 3]}))
    model = estimator_model(LogisticRegression(), task)
    weights = np.where(target == 3, 8 / (4 * 1), 8 / (4 * 5))
    model.fit(x, {TARGET: target})
    shares = task.scores_in(model(x))
    expected = LogisticRegression().fit(x, target, sample_weight=weights).predict_proba(x)
    np.testing.assert_allclose(shares[:, [1, 3]], expected, rtol=1e-6)
    np.testing.assert_array_equal(shares[:, [0, 2]], 0)
    with pytest.raises(DataError, match="NaN or infinity"):
        model(np.array([[np.nan, 0]]))
    with pytest.raises(ConfigurationError, match="has no probabilities"):
        estimator_model(__import__("sklearn.svm").svm.LinearSVC(), task)


def test_targets_of_another_shape_than_the_outputs_are_refused() -> None:
    from sklearn.linear_model import Ridge

    task = Forecasting(3)
    task.fit(pa.table({"y": [1.0, 2.0, 3.0, 4.0]}))
    model = estimator_model(Ridge(), task)
    with pytest.raises(ConfigurationError, match=r"targets of shape \(1,\) came for outputs of shape \(3, 1\)"):
        model.fit(np.zeros((4, 2)), {TARGET: np.zeros((4, 1), dtype=np.float32)})


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadframeError, match="is no bundle"):
        load_predictor(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HeadframeError, match=r"the model cannot be written to .*: (Not a directory|File exists)"):
        CASES["ridge"]().save(tmp_path / "file" / "bundle")
