"""Where things lie in a trained folder and in its bundle, and what can be read without building the model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

JOB = "job.json"
"""The `TrainingJob` that the training program takes."""

RESULT = "result.json"
"""The last file of a training; without it the folder holds an unfinished one."""

BUNDLE = "bundle"
PREDICTIONS = "predictions.parquet"
HISTORY = "history.json"
"""The epochs of a network."""

PROBE, PROBE_PREDICTIONS = "probe.parquet", "probe_predictions.parquet"
"""Raw rows, and the model's prediction columns for them in training."""

COST = ".cost.json"
"""Resource usage; hidden, since the record of a stage names all other files with their sizes."""

MANIFEST = "bundle.json"
WEIGHTS = "weights.safetensors"
MINER, ARRAYS = "miner.json", "miner.safetensors"
ESTIMATOR = "estimator.skops"
COMBINER = "combiner.json"
FINDINGS = "findings.parquet"
"""What a model found, with one row a finding; in a bundle without how rows confirm it, in an evaluation with it."""

MEMBERS = "members"
"""Folder with the members of an ensemble: trained folders in a trained folder, bundles in a bundle."""


def task_state(bundle: Path) -> dict[str, Any]:
    """Return what the task of a bundle has learned, as `Task.restore` takes it."""
    state: dict[str, Any] = json.loads((bundle / MANIFEST).read_bytes())["task"]["state"]
    return state


def copies_left_out(bundle: Path) -> list[int]:
    """Return which rows a model did not learn from, as they are copies; see `ModelManifest`."""
    copies: list[int] = json.loads((bundle / MANIFEST).read_bytes())["copies"]
    return copies


def encoder_states(bundle: Path, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what each encoder of a bundle has learned, with the path of member names; empty for a single model."""
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    if "features" in manifest:
        yield name, manifest["features"]
    for member in manifest.get("members", ()):
        yield from encoder_states(bundle / MEMBERS / member, f"{name}/{member}" if name else member)
