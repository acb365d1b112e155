"""Where things lie in a bundle, and what of it can be read without building the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MANIFEST = "bundle.json"
WEIGHTS = "weights.safetensors"
ESTIMATOR = "estimator.skops"
COMBINER = "combiner.json"
MEMBERS = "members"
"""Folder with the bundles of an ensemble's members."""


def task_state(bundle: Path) -> dict[str, Any]:
    """Return what the task of a bundle has learned, as `Task.restore` takes it."""
    state: dict[str, Any] = _manifest(bundle)["task"]["state"]
    return state


def encoder_states(bundle: Path, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what each encoder of a bundle has learned, with the path of its member's names.

    Args:
        bundle: the folder.
        name: path of the member's names; empty for the bundle of a single model.
    """
    manifest = _manifest(bundle)
    if "features" in manifest:
        yield name, manifest["features"]
    for member in manifest.get("members", ()):
        yield from encoder_states(bundle / MEMBERS / member, f"{name}/{member}" if name else member)


def _manifest(bundle: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle / MANIFEST).read_bytes())
    return content
