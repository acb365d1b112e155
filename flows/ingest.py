"""Bring data in: collect, hold to the contract, divide, keep the version."""

from __future__ import annotations

import os
from pathlib import Path

from headframe.config.load import load_plan
from headframe.config.plan.data import DatasetConfig
from headframe.config.project import Project
from headframe.datasets.collect import collect, is_current
from headframe.datasets.commit import is_kept, keep_version
from headframe.datasets.splits import divide
from headframe.orchestration import flow, step
from headframe.records import Ingested
from headframe.validation.validate import validate


@flow(name="ingest")
def ingest(overrides: list[str]) -> Ingested:
    """Compose a plan in the project of the working folder and bring its data in.

    Args:
        overrides: Hydra overrides, e.g. `["dataset=sms_spam"]`.
    """
    project = Project.find(Path.cwd())
    return bring_in(load_plan(overrides, project, fitting=False).dataset, project.root)


def bring_in(dataset: DatasetConfig, root: Path) -> Ingested:
    """Run the steps of ingestion."""
    mirror = Path(os.environ["HEADFRAME_MIRROR"]) if os.environ.get("HEADFRAME_MIRROR") else None
    table = step(collect, root=root, valid=lambda record: is_current(record, dataset, root, mirror))(
        dataset=dataset, mirror=mirror
    )
    validated = step(validate, root=root)(dataset=dataset, table=table)
    split = step(divide, root=root)(dataset=dataset, table=table)
    step(keep_version, root=root, retries=2, valid=lambda kept: is_kept(kept, root))(table=table)
    return Ingested(validated=validated, split=split)
