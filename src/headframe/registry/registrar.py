"""Track, package, verify and register a measured result.

Every call finds what an earlier, killed one left under the same key and goes on from there, so the order is: run,
lineage, files, package, proof, version. A version exists only after its proof.
"""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
from filelock import FileLock
from mlflow import MlflowClient, entities
from mlflow.entities import LifecycleStage, LoggedModel, LoggedModelOutput, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from headframe.config.build import build
from headframe.config.plan.promotion import TeamConfig
from headframe.config.project import Project
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.evaluation.layout import CARD, METRICS, PLOTS, REPORT, SLICES
from headframe.permissions import require_own
from headframe.prediction.layout import (
    BUNDLE,
    COST,
    FINDINGS,
    HISTORY,
    JOB,
    MEMBERS,
    PREDICTIONS,
    PROBE,
    PROBE_PREDICTIONS,
    RESULT,
    task_state,
)
from headframe.records import Registered
from headframe.registry.agreement import require_agreement
from headframe.registry.package import verify_parity, write_package
from headframe.registry.request import RegistrationRequest
from headframe.registry.sign_rewritten import payload_to_sign_again, require_identity
from headframe.registry.signature import UnknownSigner, read_package, require_signer, sign_package, signing_key
from headframe.registry.versions import ModelVersion, signed_files
from headframe.signing.trust import Trust
from headframe.tasks.base import Task
from headframe.tracking import layout, runs, tags
from headframe.tracking.client import download, experiment_id, make_client
from headframe.tracking.errors import readable_errors

log = logging.getLogger("headframe")

VERSIONS = "mlflow.modelVersions"  # MLflow's own tag of a logged model


class Registrar:
    """One result on its way into one registry.

    Args:
        request: the result.
        team: who may sign.
        uri: MLflow's address.
        folder: for temporary files.
    """

    def __init__(self, request: RegistrationRequest, team: TeamConfig, uri: str, folder: Path) -> None:
        self.request = request
        self.uri = uri
        self.folder = folder
        self.team = team

    def complete(self) -> Registered:
        """Do what is not done yet; see `headframe.registry.register.register`."""
        request, key = self.request, self.request.key
        require_own(request.root)
        require_signer(self.team)
        require_agreement(request)
        locks = Project(request.root).state / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        client = make_client(self.uri)
        with FileLock(locks / f"register-{key[:16]}.lock"), readable_errors(self.uri):
            version = self._find(client)
            run = runs.open_run(client, self._experiment(client, version), key, request.plan.name)
            with _ending(client, run):
                if version is None:
                    self._track(client, run)
                elif version.tags.get(tags.PLAN) != request.plan.fingerprint:
                    log.info(
                        "register     %s is this model already, with the same weights and predictions; what else the "
                        "plan changed, and the new evaluation in %s, are no part of that version",
                        version.uri,
                        request.evaluated.folder,
                    )
                logged = self._logged_model(client, run)
                if version is None:
                    parity = self._package(client, run, logged, request.payload)
                    version = self._create_version(client, run, logged, parity)
                    self._name_twin(client, version)
                elif (reason := self._damage(version)) is not None:
                    payload = payload_to_sign_again(request, self.team, version, self.uri)
                    log.warning("%s; its files are written again", reason)
                    self._package(client, run, logged, payload)
                _link(client, logged, version)
                runs.set_tags(client, run, {tags.VERSION: f"{version.model}/{version.number}"})
        return Registered(
            model=version.model,
            version=version.number,
            run_id=version.run_id,
            model_uri=version.uri,
            parity=float(version.tags[tags.PARITY]),
        )

    def _damage(self, version: ModelVersion) -> str | None:
        """Return what is wrong with the files of a version; None where they are as somebody trusted signed them.

        Raises:
            Refused: they are whole, but signed by somebody who is not trusted: to write them again would take the
                version from the person who registered it; or they are of another result.
        """
        try:
            with signed_files(version, self.uri, Trust.of(self.team)) as (_, signed):
                payload = signed.payload
        except Unavailable:
            raise
        except UnknownSigner as error:
            whole = f"version {version.number} of {version.model}"
            raise Refused(f"{error}; to register it as your own, delete {whole} in MLflow first") from error
        except HeadframeError as error:
            return str(error)
        require_identity(payload, self.request, version)
        return None

    def _track(self, client: MlflowClient, run: Run) -> None:
        """Write parameters, metrics, lineage and files of the result."""
        request, plan = self.request, self.request.plan
        training, evaluation = request.training, request.evaluation
        client.log_text(run.info.run_id, plan.model_dump_json(indent=2) + "\n", layout.PLAN)
        client.log_text(run.info.run_id, request.provenance, layout.PROVENANCE)
        note = f"{plan.dataset.title}: {request.evaluated}"
        runs.set_tags(client, run, {**request.tags, "mlflow.note.content": note})
        runs.log_parameters(client, run, plan)
        runs.log_dataset(client, run, plan, request.data.split, request.root)
        runs.log_lineage(client, run, request.lineage, request.root, self.folder)
        for history in sorted(training.rglob(HISTORY)):  # of an ensemble each member has one
            member = history.parent.relative_to(training).as_posix().replace(f"{MEMBERS}/", "")
            name = "history" if member == "." else f"history/{member}"
            runs.log_history(client, run, name, json.loads(history.read_bytes()))
        runs.log_results(client, run, request.evaluated, request.trained)
        cost = training / COST  # missing where a kill came between the end of the training and this file
        if cost.is_file():
            runs.log_cost(client, run, json.loads(cost.read_bytes()))
        files = [(evaluation / name, layout.EVALUATION) for name in (CARD, REPORT, METRICS, SLICES, JOB)]
        files += [(training / name, layout.TRAINING) for name in (PREDICTIONS, RESULT, HISTORY)]
        files += [(evaluation / FINDINGS, layout.EVALUATION)] if (evaluation / FINDINGS).is_file() else []
        files += [(evaluation / PLOTS, f"{layout.EVALUATION}/{PLOTS}"), (request.validation, layout.DATA)]
        runs.log_files(client, run, files)

    def _logged_model(self, client: MlflowClient, run: Run) -> LoggedModel:
        """Return MLflow's entry for the model of this run, which is created once."""
        experiment, run_id, key = run.info.experiment_id, run.info.run_id, self.request.key
        found = client.search_logged_models([experiment], filter_string=f"tags.`{tags.KEY}` = '{key}'")
        name = self.request.model
        logged: LoggedModel = (
            found[0]
            if found
            else client.create_logged_model(experiment, name=name, source_run_id=run_id, tags={tags.KEY: key})
        )
        outputs = client.get_run(run_id).outputs
        if logged.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        return logged

    def _package(self, client: MlflowClient, run: Run, logged: LoggedModel, payload: Mapping[str, str]) -> float:
        """Package the model, upload it, download it and verify it; return the largest difference from training."""
        request = self.request
        probe = request.training / PROBE
        expected = pq.read_table(request.training / PROBE_PREDICTIONS)
        task: Task = build(request.plan.task)
        task.restore(task_state(request.training / BUNDLE))
        answer = task.answer(expected)
        packaged, fetched = self.folder / "package", self.folder / "fetched"
        for leftover in (packaged, fetched):
            shutil.rmtree(leftover, ignore_errors=True)
        write_package(
            packaged,
            request.training / BUNDLE,
            pq.read_table(probe),
            name=request.model,
            run_id=run.info.run_id,
            model_id=logged.model_id,
            created=datetime.fromtimestamp(logged.creation_timestamp / 1000, UTC),
            code=request.packages,
        )
        sign_package(packaged, signing_key(self.team), {**payload, "run_id": run.info.run_id})
        _remove_others(logged.artifact_location, packaged)
        client.log_model_artifacts(logged.model_id, str(packaged))
        # A copy, wherever they lie: a model's own code may write next to itself.
        back = download(logged.artifact_location, self.uri, fetched)
        try:
            read_package(back, Trust.of(self.team))
            difference = verify_parity(back, probe, expected, answer, request.plan.trainer.threads)
        except HeadframeError:
            client.finalize_logged_model(logged.model_id, LoggedModelStatus.FAILED)
            raise
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        for scratch in (packaged, fetched):
            shutil.rmtree(scratch, ignore_errors=True)
        return difference

    def _find(self, client: MlflowClient) -> ModelVersion | None:
        """Return the version that was registered under the key."""
        return self._oldest(client, tags.KEY)

    def _oldest(self, client: MlflowClient, tag: str) -> ModelVersion | None:
        """Return the first version of the model whose tag is that of this result."""
        equal = f"tags.`{tag}` = '{self.request.tags[tag]}'"
        found = client.search_model_versions(f"name = '{self.request.model}' and {equal}")
        return min(map(_model_version, found), key=lambda version: version.number, default=None)

    def _experiment(self, client: MlflowClient, version: ModelVersion | None) -> str:
        """Return the experiment of a version's run, which another plan may have named; where it is gone, the plan's."""
        if version is not None:
            try:
                kept = client.get_run(version.run_id).info
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            else:
                if kept.lifecycle_stage == LifecycleStage.ACTIVE:
                    return str(kept.experiment_id)
        return experiment_id(client, self.uri, self.request.experiment)

    def _name_twin(self, client: MlflowClient, version: ModelVersion) -> None:
        """Say of which earlier version a new one repeats every prediction, as where a setting decided nothing."""
        twin = self._oldest(client, tags.PREDICTIONS)
        if twin is not None and twin.number < version.number:
            log.info(
                "register     %s predicts exactly as version %s does; it is a version of its own because it was "
                "trained with other settings: compare them with `headframe models leaderboard %s`",
                version.uri,
                twin.number,
                version.model,
            )

    def _create_version(self, client: MlflowClient, run: Run, logged: LoggedModel, parity: float) -> ModelVersion:
        """Register a version. Its key goes in with it, in one transaction: there is never a version without."""
        name = self.request.model
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        created = client.create_model_version(
            name,
            source=logged.artifact_location,
            run_id=run.info.run_id,
            tags={**self.request.tags, tags.PARITY: repr(parity)},
            description=str(self.request.evaluated),
            model_id=logged.model_id,
        )
        # Another machine may have registered the same at once, where no lock of ours reaches: the first one stays.
        version, first = _model_version(created), self._find(client)
        if first is not None and first.number < version.number:
            client.delete_model_version(name, str(version.number))
            return first
        return version


def _model_version(version: entities.model_registry.ModelVersion) -> ModelVersion:
    return ModelVersion(version.name, int(version.version), version.run_id, dict(version.tags))


def _remove_others(location: str, packaged: Path) -> None:
    """Remove what lies where a model is stored and is no part of it: in `code/` it would be imported."""
    repository = get_artifact_repository(location)
    folders = [""]
    while folders:
        for each in repository.list_artifacts(folders.pop() or None):
            if each.is_dir and (packaged / each.path).is_dir():
                folders.append(each.path)
            elif each.is_dir or not (packaged / each.path).is_file():
                repository.delete_artifacts(each.path)


def _link(client: MlflowClient, logged: LoggedModel, version: ModelVersion) -> None:
    """Link from the model to its version on MLflow's pages; a server does that itself, a file does not."""
    if VERSIONS not in client.get_logged_model(logged.model_id).tags:
        named = json.dumps([{"name": version.model, "version": str(version.number)}])
        client.set_logged_model_tags(logged.model_id, {VERSIONS: named})


@contextmanager
def _ending(client: MlflowClient, run: Run) -> Iterator[None]:
    """End the run as what happens inside ends; a kill leaves it running, to be continued."""
    try:
        yield
    except Exception:
        client.set_terminated(run.info.run_id, status="FAILED")
        raise
    client.set_terminated(run.info.run_id, status="FINISHED")
