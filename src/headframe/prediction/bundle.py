"""A model as a folder: everything that turns raw rows into predictions, and nothing else.

`bundle.json` describes it and holds the fitted encoder and task; weights lie next to it as safetensors, estimators
in skops' format, members of an ensemble as bundles of their own. No pickle, no time, no path: equal training gives
an equal folder.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import nn

from headframe.config.build import build, class_of
from headframe.config.members import final_method
from headframe.config.plan.data import ColumnContract, ReaderConfig
from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.model import EnsembleConfig, ModelConfig
from headframe.config.plan.task import TaskConfig
from headframe.digests import canonical, digest, file_digest, load_json, umask, validation_message
from headframe.errors import DataError, HeadframeError
from headframe.examples.framing import framing_of
from headframe.features.base import Encoder
from headframe.features.fusion import encoder_of
from headframe.features.spec import InputSpec
from headframe.findings.base import FindingKind
from headframe.methods.base import Method
from headframe.miners.base import EstimatorModel, Miner, estimator_model
from headframe.prediction.estimator import read_estimator, restore_miner, save_estimator
from headframe.prediction.layout import COMBINER, ESTIMATOR, FINDINGS, MANIFEST, MEMBERS, WEIGHTS
from headframe.prediction.predictor import EnsemblePredictor, Predictor, make_predictor
from headframe.prediction.schema import schema_from_json, schema_to_json
from headframe.replace_folder import replace_folder
from headframe.series.series import Series
from headframe.tasks.base import Task

FORMAT = 5


@dataclass(frozen=True)
class ModelManifest:
    """What a bundle states of its model besides what was learned.

    Attributes:
        dataset: name of the data set it was trained on.
        schema: the data set's raw input columns, and its column of time where an example is a window.
        reader: how the data set's files are read.
        contract: what the data set's contract says of these columns, and maybe of others.
        learner: everything that decided the weights.
        task: which task, with its settings.
        copies: which of the training and validation rows it did not learn from, as they equal rows that it is measured
            on; positions among the rows that are used.
        series: how rows follow each other, where an example is a window.
    """

    dataset: str
    schema: pa.Schema
    reader: ReaderConfig
    contract: Mapping[str, ColumnContract]
    learner: LearnerConfig
    task: TaskConfig
    copies: tuple[int, ...] = ()
    series: Series | None = None


def save_model(
    folder: Path, manifest: ModelManifest, encoder: Encoder, task: Task, model: Method[Any] | EstimatorModel[Any]
) -> None:
    """Write the bundle of a fitted network, whose weights keep their precision, or of an estimator.

    Encoder and task are fitted; a bundle that is in `folder` is replaced as a whole.
    """

    def write(fresh: Path) -> dict[str, Any]:
        if isinstance(model, EstimatorModel):
            save_estimator(fresh, model.estimator)
            if (finding := task.findings(())) is not None:
                _write_findings(fresh / FINDINGS, finding, model.findings())
        else:
            learned = model.network.state_dict().items()
            # A copy of each, since the format knows neither shared memory nor the channels-last layout.
            weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in learned}
            safetensors.torch.save_file(weights, fresh / WEIGHTS)
        kind = "estimator" if isinstance(model, EstimatorModel) else "network"
        framing = framing_of(manifest.learner.features, encoder, task.horizon, manifest.series)
        return {
            "kind": kind,
            "spec": asdict(framing.spec(encoder.spec())),
            "features": encoder.state(),
            "fitted": model.state(),
        }

    _save(folder, manifest, task, write)


def save_ensemble(
    folder: Path, manifest: ModelManifest, task: Task, members: Mapping[str, Path], combiner: Any
) -> None:
    """Write the bundle of an ensemble, with copies of its members' bundles.

    Args:
        folder: of the bundle; one that is there is replaced as a whole.
        manifest: its learner's model is an ensemble.
        task: fitted, as the members have it.
        members: bundle folders by name, in the order in which the combiner was given their predictions.
        combiner: fitted, built from the learner's model.
    """

    def write(fresh: Path) -> dict[str, Any]:
        for name, member in members.items():
            shutil.copytree(member, fresh / MEMBERS / name)
        (fresh / COMBINER).write_text(canonical(combiner.state()), encoding="utf-8")
        return {"kind": "ensemble", "members": list(members)}

    _save(folder, manifest, task, write)


def _write_findings(path: Path, kind: FindingKind, found: list[Any]) -> None:
    bodies = pa.array(found, kind.body)
    names = pa.array([kind.kind] * len(found), pa.string())
    pq.write_table(pa.table({"id": kind.identify(bodies), "kind": names, "body": bodies}), path, compression="zstd")


def _save(folder: Path, manifest: ModelManifest, task: Task, write: Callable[[Path], dict[str, Any]]) -> None:
    """Fill a new folder next to `folder` by `write`, list its files, and put it in place at once."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise HeadframeError(f"the model cannot be written to {folder}: {error.strerror}") from error
    try:
        fitted = write(fresh)
        # The files of a member are listed in the member's own manifest.
        manifests = {f"{MEMBERS}/{name}/{MANIFEST}" for name in fitted.get("members", ())}
        own = {path.name for path in fresh.iterdir() if path.is_file()}
        content = {
            "format": FORMAT,
            **fitted,
            "dataset": manifest.dataset,
            "columns": schema_to_json(manifest.schema),
            "reader": manifest.reader.model_dump(mode="json"),
            "contract": {
                name: manifest.contract[name].model_dump(mode="json", exclude_defaults=True)
                for name in manifest.schema.names
            },
            "copies": list(manifest.copies),
            "series": None if manifest.series is None else manifest.series.model_dump(mode="json"),
            "learner": manifest.learner.model_dump(mode="json"),
            "outputs": list(task.outputs),
            "task": {"component": manifest.task.model_dump(mode="json"), "state": task.state()},
            "files": {name: file_digest(fresh / name) for name in sorted(own | manifests)},
        }
        content["digest"] = digest(content)
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")
        fresh.chmod(0o777 & ~umask())  # a temporary folder is its owner's alone
        replace_folder(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def load_predictor(
    folder: Path, *, device: str = "cpu", batch_size: int | None = None, trusted: tuple[str, ...] = ()
) -> Predictor:
    """Load a bundle, verifying every file against its checksum.

    Args:
        folder: the bundle.
        device: where networks compute.
        batch_size: examples in one forward pass; those of the evaluation in training unless given.
        trusted: import prefixes of the project's own code, such as `("mine.",)`.

    Raises:
        HeadframeError: there is no bundle.
        DataError: a file is missing, was changed, or names code outside the trusted packages.
    """
    manifest = _read_manifest(folder)
    try:
        context = {"trusted": trusted}
        learner = LearnerConfig.model_validate(manifest["learner"], context=context)
        component = TaskConfig.model_validate(manifest["task"]["component"], context=context)
        reader = ReaderConfig.model_validate(manifest["reader"], context=context)
        series = None if manifest["series"] is None else Series.model_validate(manifest["series"], context=context)
        contract = {name: ColumnContract.model_validate(each) for name, each in manifest["contract"].items()}
    except ValidationError as error:
        raise DataError(f"the bundle {folder} cannot be loaded: {validation_message(error)}") from error
    if batch_size is None:  # more may not fit, where examples are large
        batch_size = learner.trainer.evaluation_batch_size
    task: Task = build(component)
    task.restore(manifest["task"]["state"])
    if isinstance(learner.model, EnsembleConfig):
        members = {}
        for name in manifest["members"]:
            place = folder / MEMBERS / name
            members[name] = load_predictor(place, device=device, batch_size=batch_size, trusted=trusted)
            if members[name].task.state() != task.state():
                msg = f"member {name} of the bundle {folder} was trained for other classes or scales than the ensemble"
                raise DataError(msg)
        combiner = build(learner.model)
        combiner.restore(load_json((folder / COMBINER).read_bytes()))
        return EnsemblePredictor(task, members, combiner)
    encoder = encoder_of(learner.features)
    encoder.restore(manifest["features"])
    framing = framing_of(learner.features, encoder, task.horizon, series)
    model: Method[Any] | EstimatorModel[Any]
    if manifest["kind"] == "estimator":
        model = estimator_model(_estimator(folder, learner.model), task, encoder.feature_names)
    else:
        network = _network(folder / WEIGHTS, learner.model, framing.spec(encoder.spec()), task.outputs)
        model = build(final_method(learner), network, task)
    model.restore(manifest["fitted"])
    schema = schema_from_json(manifest["columns"])
    return make_predictor(
        schema,
        build(reader),
        task,
        encoder,
        model,
        contract=contract,
        framing=framing,
        batch_size=batch_size,
        device=device,
    )


def _estimator(folder: Path, component: ModelConfig) -> Any:
    expected = class_of(component)
    if not issubclass(expected, Miner):
        return read_estimator(folder / ESTIMATOR, expected)
    miner: Miner = build(component)
    restore_miner(folder, miner)
    return miner


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Read `bundle.json`, which carries the digest of its own content, and verify every file that it lists."""
    path = folder / MANIFEST
    if not path.is_file():
        raise HeadframeError(f"{folder} is no bundle: {MANIFEST} is missing")
    try:
        manifest: dict[str, Any] = load_json(path.read_bytes())
        expected = manifest.pop("digest")
        version = manifest["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{MANIFEST} in the bundle {folder} can no longer be read ({error}); fetch the model again"
        raise DataError(msg) from error
    if version != FORMAT:
        raise DataError(
            f"{path} has format {version}, but this version of Headframe reads {FORMAT}: the model must be trained "
            "again"
        )
    _require_digest(digest(manifest), expected, MANIFEST, folder)
    for name, checksum in manifest["files"].items():
        if not (folder / name).is_file():
            raise DataError(f"{name} is missing in the bundle {folder}; fetch the model again")
        _require_digest(file_digest(folder / name), checksum, name, folder)
    return manifest


def _require_digest(found: str, expected: str, name: str, folder: Path) -> None:
    if found != expected:
        raise DataError(f"{name} in the bundle {folder} was changed since it was written; fetch the model again")


def _network(weights: Path, model: ModelConfig, inputs: InputSpec, outputs: tuple[int, ...]) -> nn.Module:
    # First weights are drawn only to be replaced; that must not move the random numbers of those who load.
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = build(model, inputs, outputs)
    try:
        network.load_state_dict(safetensors.torch.load_file(weights))
    except (RuntimeError, safetensors.SafetensorError) as error:
        reason = str(error).partition("\n")[2].strip() or str(error)
        msg = f"{weights.name} does not fit {model.target}, whose code may have changed since: {reason}"
        raise DataError(msg) from error
    return network
