"""Bring data in: ingest, validate, split, commit."""

from pathlib import Path

from headframe.config.load import load_plan
from headframe.config.plan.data import DatasetConfig
from headframe.config.project import Project
from headframe.data_versions.commit import commit, is_committed
from headframe.datasets.ingest import ingest, is_current
from headframe.datasets.splits import split
from headframe.orchestration import flow, step
from headframe.places import Places
from headframe.records import Ingested
from headframe.run_checks import require_ingestible
from headframe.validation.validate import validate


@flow(name="ingest")
def ingest_flow(overrides: list[str]) -> Ingested:
    """Compose a plan in the project of the working folder and bring its data in.

    Args:
        overrides: Hydra overrides, e.g. `["dataset=sms_spam"]`.
    """
    project = Project.find(Path.cwd())
    return ingest_dataset(load_plan(overrides, project, fitting=False).dataset, Places.of(project.root))


def ingest_dataset(dataset: DatasetConfig, places: Places) -> Ingested:
    """Run the steps of ingestion."""
    require_ingestible(dataset)
    table = step(ingest, valid=is_current)(dataset, places)
    validated = step(validate)(dataset, table, places)
    parts = step(split)(dataset.training_data, table, places)
    step(commit, retries=2, valid=is_committed)(table, places)
    return Ingested(validated=validated, split=parts)
