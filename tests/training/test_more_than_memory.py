"""A table of four times the memory that a training may take is learned from, to the weights of one with enough."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from headframe.config.load import load_plan
from headframe.config.project import Project
from headframe.datasets.readers.base import ReadBatch
from headframe.datasets.schema import contract_schema
from headframe.datasets.table_writer import write_table
from headframe.digests import write_record

REPOSITORY = Path(__file__).resolve().parents[2]
GROUPS = Path("/sys/fs/cgroup/memory")
LIMIT, SIDE = 700 * 2**20, 64
ROWS = 4 * LIMIT // SIDE**2

DATASET = {
    "name": "large", "title": "large", "licence": "none", "citation": "none", "inputs": ["image"], "target": "label",
    "sources": {"rows": {"uri": "file:rows.parquet", "sha256": "0" * 64}}, "tasks": ["classification"],
    "reader": {"_target_": "headframe.datasets.readers.parquet.Parquet"},
    "split": {"_target_": "headframe.datasets.splits.HashSplitter", "validation": 0.1, "test": 0.1},
    "contract": {"columns": {
        "image": {"dtype": "tensor", "shape": [SIDE, SIDE, 1]},
        "label": {"dtype": "string", "one_of": ["dark", "light"]},
    }},
}  # fmt: skip
LEARNER = [
    "dataset=large", "features=image", "model=linear", "baseline=none", "trainer.max_epochs=1",
    "trainer.batch_size=256", "trainer.accelerator=cpu",
]  # fmt: skip


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group whose memory is limited: files that are mapped count, too, but can be evicted."""
    made = GROUPS / f"headframe-{os.getpid()}"
    try:
        made.mkdir()
    except OSError:
        pytest.skip("needs the right to make a control group of version 1")
    yield made
    made.rmdir()


@pytest.mark.slow
def test_a_table_of_four_times_the_memory_trains_to_the_same_bytes(tmp_path: Path, group: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 8 * ROWS * SIDE**2:
        pytest.skip("needs 24 GB of disk")
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "dataset" / "large.yaml").write_text(yaml.safe_dump(DATASET))
    plan = load_plan(LEARNER, Project(tmp_path))
    folder = tmp_path / "data" / "large"
    folder.mkdir(parents=True)
    schema = contract_schema(plan.dataset.contract.columns)
    table = write_table(folder, plan.dataset, plan.dataset.sources, images(schema))
    write_record(tmp_path / "job.json", plan.version.training_job(table.digest))
    (group / "memory.limit_in_bytes").write_text(str(LIMIT))
    limited = train(tmp_path, "limited", group)
    assert limited.returncode == 0, limited.stderr[-2000:]
    assert train(tmp_path, "resident").returncode == 0
    for name in ("bundle/weights.safetensors", "predictions.parquet", "history.json", "probe_predictions.parquet"):
        assert (tmp_path / "limited" / name).read_bytes() == (tmp_path / "resident" / name).read_bytes()
    [epoch] = json.loads((tmp_path / "limited" / "history.json").read_bytes())
    assert epoch["primary_metric"] > 0.9


def images(schema: pa.Schema) -> Iterator[ReadBatch]:
    draw = np.random.default_rng(1)
    for start in range(0, ROWS, 4096):
        count = min(4096, ROWS - start)
        light = draw.integers(0, 2, count)
        pixels = draw.integers(0, 4, (count, SIDE, SIDE, 1), dtype=np.uint8) * 60
        pixels += (light * 5).astype(np.uint8)[:, np.newaxis, np.newaxis, np.newaxis]
        labels = pa.array(np.array(["dark", "light"])[light].tolist())
        columns = [pa.FixedShapeTensorArray.from_numpy_ndarray(pixels), labels]
        cells = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
        yield ReadBatch(pa.RecordBatch.from_arrays(cells, schema=schema), ())


RESIDENT = """
import sys
from headframe.examples import storage
from headframe.training.__main__ import main
storage.SHARE = 1  # all of the memory, where the whole table fits into it
sys.exit(main())
"""


def train(root: Path, out: str, group: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the training program, in a control group where one is given, else on rows in memory."""
    program = ["-c", RESIDENT] if group is None else ["-m", "headframe.training"]
    arguments = [str(root / "job.json"), str(root / out), "--root", str(root)]

    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    command = [sys.executable, *program, *arguments]
    return subprocess.run(command, preexec_fn=enter, capture_output=True, text=True, check=False)
