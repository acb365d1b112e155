"""Runs in MLflow, by id: opened once for a key, and written so that writing again changes nothing."""

import getpass
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from headframe.config.members import member_learners
from headframe.config.plan.model import EnsembleConfig
from headframe.config.plan.plan import VersionPlan
from headframe.records import PLANNED, Evaluated, Interval, SplitRecord, Trained
from headframe.tracking import layout, lineage, tags
from headframe.tracking.lineage import CollectedLineage

log = logging.getLogger("headframe")

METRICS_AT_ONCE = 1000  # MLflow's limit for one call
DIGEST_LENGTH = 36  # MLflow's limit for a data set's digest
PARAMETER_LENGTH = 250  # characters of a parameter that MLflow's tables still show


def open_run(client: MlflowClient, experiment: str, key: str, name: str) -> Run:
    """Return the run with this key, which is created where there is none.

    A run that a kill or a failure left is continued, so that repeating a step doubles nothing.
    """
    found = client.search_runs([experiment], f"tags.`{tags.KEY}` = '{key}'", order_by=["attributes.start_time ASC"])
    if found:
        run: Run = found[0]
        if run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        return run
    first = {tags.KEY: key, "mlflow.user": _user(), "mlflow.source.type": "LOCAL", "mlflow.source.name": "headframe"}
    return client.create_run(experiment, run_name=name, tags=first)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return "unknown"


def log_parameters(client: MlflowClient, run: Run, plan: VersionPlan) -> None:
    """Log a dozen parameters by which runs are compared; the whole plan is an artifact."""
    learner = plan.learner
    chosen = {
        "plan": plan.name,
        "dataset": plan.dataset.name,
        "task": plan.task.kind,
        "model": plan.model.class_name,
        "features": ", ".join(each.class_name for each in plan.features.by_input.values()),
        "seed": learner.seed,
        "optimizer": plan.optimizer.class_name,
        "lr": plan.optimizer.arguments.get("lr", ""),
        "scheduler": plan.scheduler.class_name,
        "max_epochs": plan.trainer.max_epochs,
        "batch_size": plan.trainer.batch_size,
        "precision": plan.trainer.precision,
    }
    if isinstance(plan.model, EnsembleConfig):
        chosen["members"] = ", ".join(member_learners(learner))
    params = [Param(name, str(value)[:PARAMETER_LENGTH]) for name, value in chosen.items() if value != ""]
    client.log_batch(run.info.run_id, params=params)


def log_history(client: MlflowClient, run: Run, under: str, history: Sequence[Mapping[str, Any]]) -> None:
    """Log the metrics of each epoch, with the epoch as step; their names begin with `under`."""
    numbers = [
        (f"{under}/{name}", value, step)
        for step, epoch in enumerate(history)
        for name, value in epoch.items()
        if name != "epoch" and isinstance(value, int | float) and not isinstance(value, bool)
    ]
    _log_metrics(client, run, numbers)


def log_results(client: MlflowClient, run: Run, evaluated: Evaluated, trained: Trained) -> None:
    """Log the metrics on test rows with the limits of their intervals, and those of its baselines."""
    numbers = {**_with_limits("test", evaluated.metrics), "test_rows": evaluated.rows}
    for name, each in evaluated.baselines.items():
        numbers |= _with_limits(name if name == PLANNED else f"{PLANNED}/{name}", each.metrics)
    numbers |= {"parameters": trained.parameters, "epochs": trained.epochs}
    _log_metrics(client, run, [(name, value, 0) for name, value in numbers.items()])


def log_cost(client: MlflowClient, run: Run, cost: Mapping[str, Any]) -> None:
    """Log what a training took, with a note where a part of it is not known."""
    names = ("wall_seconds", "cpu_seconds", "peak_memory_mib")
    _log_metrics(client, run, [(f"cost/{name}", cost[name], 0) for name in names])
    if cost["resumed"]:
        set_tags(client, run, {tags.COST_NOTE: "resumed: what was spent before the interruption is not counted"})


def _log_metrics(client: MlflowClient, run: Run, numbers: Sequence[tuple[str, float, int]]) -> None:
    """Log name, value and step of metrics.

    All carry the run's start as their time: the same number written again is then the same to MLflow.
    """
    metrics = [Metric(name, float(value), run.info.start_time, step) for name, value, step in numbers]
    for start in range(0, len(metrics), METRICS_AT_ONCE):
        client.log_batch(run.info.run_id, metrics=metrics[start : start + METRICS_AT_ONCE])


def _with_limits(prefix: str, metrics: Mapping[str, Interval]) -> dict[str, float]:
    return {
        f"{prefix}/{name}{ending}": value
        for name, interval in metrics.items()
        for ending, value in (("", interval.value), ("_low", interval.low), ("_high", interval.high))
        if value is not None
    }


def log_dataset(client: MlflowClient, run: Run, plan: VersionPlan, split: SplitRecord, root: Path) -> None:
    """Log which version of which data set went in, and its split."""
    table = split.table
    schema = pq.read_schema(root / table.folder / "table.parquet")
    columns = [{"name": field.name, "type": str(field.type)} for field in schema]
    profile = {
        "rows": table.rows, "train": split.train, "validation": split.validation, "test": split.test,
        "unused": split.unused, "digest": table.digest, "split": split.digest,
    }  # fmt: skip
    source = {"folder": table.folder, "sources": {n: s.uri for n, s in plan.dataset.sources.items()}}
    dataset = Dataset(
        name=table.dataset,
        digest=table.digest[:DIGEST_LENGTH],
        source_type="headframe",
        source=json.dumps(source),
        schema=json.dumps({"columns": columns}),
        profile=json.dumps(profile),
    )
    inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
    try:
        client.log_inputs(run.info.run_id, inputs)
    except MlflowException as error:
        # MLflow looks for the data set and then inserts it; of two runs at once the second finds it the next time.
        if "unique constraint" not in str(error).lower():
            raise
        client.log_inputs(run.info.run_id, inputs)


def log_lineage(client: MlflowClient, run: Run, collected: CollectedLineage, root: Path, scratch: Path) -> None:
    """Log code, libraries, machine and flow run; a tag notes what is not known. `scratch` is an existing folder."""
    facts = lineage.machine_tags()
    code = collected.code
    if code.note:
        log.warning("tracking: %s", code.note)
        facts[tags.CODE_NOTE] = code.note
    if code.commit:
        facts["mlflow.source.git.commit"] = code.commit
    facts[tags.CODE_CHANGED] = "unknown" if code.diff is None else str(bool(code.diff)).lower()
    name, sha256 = lineage.lock_digest(root)
    facts |= {tags.LOCK: name, tags.LOCK_DIGEST: sha256}
    if flow := lineage.flow_run():
        facts[tags.FLOW_RUN] = flow
    set_tags(client, run, facts)
    run_id = run.info.run_id
    # An empty one is written as well, so that nothing of an earlier attempt is left; bytes, as a diff has no encoding.
    diff = scratch / Path(layout.DIFF).name
    diff.write_bytes(code.diff or b"")
    client.log_artifact(run_id, str(diff), layout.CODE)
    diff.unlink()
    client.log_text(run_id, collected.installed, layout.INSTALLED)


def set_tags(client: MlflowClient, run: Run, values: Mapping[str, str]) -> None:
    """Set several tags in one call."""
    client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in values.items()])


def log_files(client: MlflowClient, run: Run, files: Iterable[tuple[Path, str | None]]) -> None:
    """Upload files and folders that exist, each under a folder of the run's artifacts (None: at the top)."""
    for path, under in files:
        if path.is_dir():
            client.log_artifacts(run.info.run_id, str(path), under)
        elif path.is_file():
            client.log_artifact(run.info.run_id, str(path), under)
