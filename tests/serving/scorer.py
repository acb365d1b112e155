"""A small model of a data set that went through its bundle, and the ways in which rows come to it."""

import json
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from starlette.testclient import TestClient

from headframe.config.build import build
from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.task import TaskConfig
from headframe.datasets.ingest import ingest
from headframe.datasets.raw_files import fetch_raw_file
from headframe.datasets.table import Table
from headframe.places import Places
from headframe.prediction.bundle import ModelManifest, load_predictor, save_model
from headframe.prediction.predictor import Predictor
from headframe.prediction.schema import json_value, to_frame
from headframe.registry.loader import PyfuncModel
from headframe.registry.versions import ModelVersion
from headframe.serving.app import make_app
from headframe.serving.batch import write_predicted_rows
from headframe.serving.smoke_request import request_content

ENCODERS = {
    "tabular": {"_target_": "headframe.features.tabular.Tabular"},
    "tokens": {"_target_": "headframe.features.tokens.Tokens", "unit": "word", "length": 64, "vocabulary": 500},
    "image": {"_target_": "headframe.features.images.Images"},
    "series": {"_target_": "headframe.features.windows.Windows", "lookback": 24},
    "pixels": {"_target_": "headframe.features.pixels.Pixels"},
    "resized_image": {"_target_": "headframe.features.resized_images.ResizedImages", "height": 48, "width": 64},
}
NETWORKS = {
    "series": "forecast.ChannelLinear",
    "tokens": "sequence_cnn.SequenceConvNet",
    "resized_image": "center_detector.CenterDetector",
    "pixels": "unet.UNet",
}
METHODS = {
    "detection": "center_detection.CenterDetection",
    "segmentation": "pixel_classification.PixelClassification",
    "translation": "translation.SequenceGeneration",
}
SETTINGS = {"forecasting": {"horizon": 4}, "detection": {"least_score": 0.0}, "translation": {"length": 4}}
"""Of tasks; a network with random weights is sure of no box."""


@dataclass
class Scorer:
    """A model of a data set that went through its bundle, and the project in which the data set was collected."""

    dataset: DatasetConfig
    root: Path
    mirror: Path | None
    predictor: Predictor

    @property
    def table(self) -> pa.Table:
        return Table.open(self.root / "data" / self.dataset.name).read()

    def source(self, name: str) -> Path:
        return fetch_raw_file(name, self.dataset.sources[name], self.root, self.mirror)

    def expected(self, rows: pa.Table) -> list[dict[str, Any]]:
        return self.predictor.predict(rows).to_pylist()

    def file(self, source: object) -> list[dict[str, Any]]:
        target = self.root / "scored.parquet"
        target.unlink(missing_ok=True)
        write_predicted_rows(self.predictor, str(source), target, self.root)
        found = pq.read_table(target)
        return found.drop_columns([found.column_names[0]]).to_pylist()

    def post(self, body: bytes, kind: str) -> Any:
        app = make_app(self.predictor, ModelVersion("m", 1), max_rows=100_000, max_bytes=2**30)
        with TestClient(app, raise_server_exceptions=False) as client:
            return client.post("/invocations", content=body, headers={"content-type": kind})

    def rest(self, rows: pa.Table) -> Any:
        body = json.dumps(request_content(rows), default=json_value).encode()
        found = self.post(body, "application/json")
        answers = found.json().get("predictions", found.text)
        files = [field.name for field in self.predictor.prediction_schema if pa.types.is_binary(field.type)]
        return [answer | {name: b64decode(answer[name]) for name in files} for answer in answers] if files else answers

    def pyfunc(self, rows: pa.Table) -> list[dict[str, Any]]:
        frame = PyfuncModel(self.predictor).predict(to_frame(rows))
        return pa.Table.from_pandas(frame, preserve_index=False).to_pylist()


def scorer(settings: dict[str, Any], root: Path, mirror: Path | None, gives: str, kind: str) -> Scorer:
    """Collect a data set and give it a network with random weights, which tells rows apart as well as any other."""
    dataset = DatasetConfig.model_validate(settings)
    ingest(dataset, Places(root, mirror))
    rows = Table.open(root / "data" / dataset.name).read()
    component = TaskConfig.model_validate({"_target_": f"headframe.tasks.{kind}.{kind.capitalize()}", "kind": kind})
    component = component.model_copy(update=SETTINGS.get(kind, {}))
    network = "seq2seq.Seq2Seq" if kind == "translation" else NETWORKS.get(gives, "linear.Linear")
    method = METHODS.get(kind, "supervised.Supervised")
    small = {"width": 2, "depth": 2} if gives == "pixels" else {}
    learner = LearnerConfig.model_validate(
        {
            "seed": 1,
            "model": {"_target_": f"headframe.models.{network}", "tasks": [kind], "takes": [gives], **small},
            "features": {"gives": gives, "encoder": ENCODERS[gives]},
            "method": {"_target_": f"headframe.methods.{method}"},
            "optimizer": {"_target_": "torch.optim.adamw.AdamW"},
            "scheduler": {"_target_": "headframe.training.schedules.Constant"},
            "trainer": {"max_epochs": 1, "batch_size": 8},
        }
    )
    encoder, task = build(learner.features.encoder), build(component)
    encoder.fit(rows, dataset.inputs)
    task.fit(rows.select(list(dataset.target_columns)))
    torch.manual_seed(0)
    model = build(learner.model, encoder.spec(), task.outputs)
    schema = pa.schema([rows.schema.field(name) for name in dataset.inputs])
    manifest = ModelManifest(dataset.name, schema, dataset.reader, dataset.contract.columns, learner, component)
    save_model(root / "bundle", manifest, encoder, task, build(learner.method, model, task))
    return Scorer(dataset, root, mirror, load_predictor(root / "bundle"))


def settings_of(name: str, text: str, root: Path, columns: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Write a raw file into a project and give the settings of a data set of it, with the last column as target."""
    (root / f"{name}.txt").write_text(text, newline="")
    *inputs, target = columns
    return {
        "name": name, "title": name, "licence": "CC0-1.0", "citation": "made up",
        "sources": {"rows": {"uri": f"file:{name}.txt"}},
        "reader": {"_target_": "headframe.datasets.readers.delimited.Delimited", **changes.pop("reader", {})},
        "inputs": inputs, "target": target, "tasks": ["classification"],
        "split": {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.2, "test": 0.2},
        "contract": {"columns": columns},
        **changes,
    }  # fmt: skip


TEXT = {"dtype": "string"}
