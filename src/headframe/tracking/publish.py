"""Track, package, prove and register a measured model.

Every call finds what an earlier, killed one left under the same key and goes on from there, so the order is: run,
lineage, files, package, proof, version. A version exists only after its proof.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from headframe import __version__
from headframe.config.plan import Plan, targets
from headframe.config.project import Project
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.record import digest, file_digest
from headframe.records import Evaluated, Ingested, Provenance, Registered, Trained
from headframe.signing.trust import Trust
from headframe.tracking import runs
from headframe.tracking.address import experiment_id, open_client, speaking
from headframe.tracking.origin import PROVENANCE_TAG, Written, written
from headframe.tracking.package import package, prove
from headframe.tracking.registry import BUNDLE_TAG, Version, model_files
from headframe.tracking.signature import UnknownSigner, read_package, require_signer, sign_package, signing_key

log = logging.getLogger("headframe")

PARITY = "headframe.parity"
VERSIONS = "mlflow.modelVersions"  # MLflow's own tag of a logged model


@dataclass(frozen=True)
class Publication:
    """One result on its way into the registry.

    Attributes:
        plan: what was run.
        data: the data that went in.
        trained: the model.
        evaluated: its measurements.
        uri: MLflow's address.
        root: the project's folder.
        folder: for what is made on the way.
    """

    plan: Plan
    data: Ingested
    trained: Trained
    evaluated: Evaluated
    uri: str
    root: Path
    folder: Path

    @property
    def key(self) -> str:
        """The sha256 of what makes two publications the same one; the registry's address is not part of it."""
        return digest(
            {
                "plan": self.plan.identity,
                "experiment": self.plan.tracking.experiment,
                "table": self.data.split.table.digest,
                "split": self.data.split.digest,
                "bundle": self.trained.bundle,
                "evaluated": self.evaluated.digest,
            }
        )

    @property
    def tags(self) -> dict[str, str]:
        """What run and version are found and judged by."""
        lead = self.evaluated.lead
        return {
            runs.KEY: self.key,
            "headframe.plan": self.plan.fingerprint,
            "headframe.table": self.data.split.table.digest,
            "headframe.split": self.data.split.digest,
            BUNDLE_TAG: self.trained.bundle,
            "headframe.predictions": self.trained.predictions,
            "headframe.lead": lead,
            f"headframe.{lead}": repr(self.evaluated.metrics[lead].value),
            PROVENANCE_TAG: hashlib.sha256(self.provenance.encode()).hexdigest(),
        }

    @cached_property
    def written(self) -> Written:
        """Code, libraries and machine as they are now; asked once, so that all that is written of them agrees."""
        return written(self.plan, self.made / "bundle", self.root)

    @cached_property
    def provenance(self) -> str:
        """The text of `provenance.json`."""
        origin = self.written.origin
        found = Provenance(data=self.data, trained=self.trained, evaluated=self.evaluated, origin=origin)
        return found.model_dump_json(indent=2) + "\n"

    def _claim(self, tags: Mapping[str, str]) -> dict[str, str]:
        """What the signature of the model says of it, besides its files.

        Args:
            tags: of the version: files that are written anew belong to the plan and provenance that were kept then.
        """
        return {
            "model": self.plan.promotion.model,
            "plan": tags["headframe.plan"],
            "provenance": tags.get(PROVENANCE_TAG, ""),
            "table": self.data.split.table.digest,
            "split": self.data.split.digest,
            "bundle": self.trained.bundle,
            "predictions": self.trained.predictions,
            "evaluated": self.evaluated.digest,
            "slices": file_digest(self.root / self.evaluated.folder / "slices.json"),
            "headframe": __version__,
        }

    @property
    def made(self) -> Path:
        """What training left."""
        return self.root / self.trained.folder

    def publish(self) -> Registered:
        """Do what is not done yet; see `headframe.tracking.register.register`."""
        require_signer(self.plan.team)
        locks = Project(self.root).state / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        client = open_client(self.uri)
        with FileLock(locks / f"register-{self.key[:16]}.lock"), speaking(self.uri):
            experiment = experiment_id(client, self.uri, self.plan.tracking.experiment)
            run = runs.open_run(client, experiment, self.key, self.plan.name)
            with _ending(client, run):
                version = self._find(client)
                if version is None:
                    self._track(client, run)
                logged = self._logged_model(client, run)
                if version is None:
                    version = self._version(client, run, logged, self._package(client, run, logged, self.tags))
                elif (reason := self._damage(version)) is not None:
                    log.warning("%s; its files are written anew", reason)
                    self._package(client, run, logged, version.tags)
                _link(client, logged, version)
                runs.set_tags(client, run, {"headframe.version": f"{version.name}/{version.version}"})
        return Registered(
            model=version.name,
            version=int(version.version),
            run_id=version.run_id,
            model_uri=f"models:/{version.name}/{version.version}",
            parity=float(version.tags[PARITY]),
        )

    def _damage(self, version: ModelVersion) -> str | None:
        """Say what is wrong with the files of a version; None where they are as somebody trusted signed them.

        Raises:
            Refused: they are whole, but signed by somebody who is not trusted: to write them anew would take the
                version from whoever registered it.
        """
        name, number = version.name, int(version.version)
        registered = Version(name, number, version.run_id, dict(version.tags))
        try:
            with model_files(registered, self.uri, Trust.of(self.plan.team)):
                return None
        except Unavailable:
            raise
        except UnknownSigner as error:
            msg = f"{error}; to register it as your own, delete version {number} of {name} in MLflow first"
            raise Refused(msg) from error
        except HeadframeError as error:
            return str(error)

    def _track(self, client: MlflowClient, run: Run) -> None:
        client.log_text(run.info.run_id, self.plan.model_dump_json(indent=2) + "\n", "plan.json")
        client.log_text(run.info.run_id, self.provenance, "provenance.json")
        note = f"{self.plan.dataset.title}: {self.evaluated.summary}"
        runs.set_tags(client, run, {**self.tags, "mlflow.note.content": note})
        runs.log_parameters(client, run, self.plan)
        runs.log_dataset(client, run, self.plan, self.data.split, self.root)
        runs.log_lineage(client, run, self.written, self.root, self.folder)
        for history in sorted(self.made.rglob("history.json")):  # of an ensemble each member has one
            member = history.parent.relative_to(self.made).as_posix().replace("members/", "")
            name = "history" if member == "." else f"history/{member}"
            runs.log_history(client, run, name, json.loads(history.read_bytes()))
        runs.log_results(client, run, self.evaluated, self.trained)
        cost = self.made / ".cost.json"  # missing where a kill came between the end of the training and this file
        if cost.is_file():
            runs.log_cost(client, run, json.loads(cost.read_bytes()))
        seen = self.root / self.evaluated.folder
        files: list[tuple[Path, str]] = [
            (seen / name, "evaluation") for name in ("card.md", "report.html", "metrics.json", "slices.json")
        ]
        files += [(self.made / name, "training") for name in ("predictions.parquet", "result.json", "history.json")]
        files += [(seen / "plots", "evaluation/plots"), (self.root / self.data.validated.report, "data")]
        runs.log_files(client, run, files)

    def _logged_model(self, client: MlflowClient, run: Run) -> LoggedModel:
        """Give MLflow's entry for the model of this run, made once."""
        experiment, run_id = run.info.experiment_id, run.info.run_id
        found = client.search_logged_models([experiment], filter_string=f"tags.`{runs.KEY}` = '{self.key}'")
        name = self.plan.promotion.model
        logged: LoggedModel = (
            found[0]
            if found
            else client.create_logged_model(experiment, name=name, source_run_id=run_id, tags={runs.KEY: self.key})
        )
        outputs = client.get_run(run_id).outputs
        if logged.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        return logged

    def _package(self, client: MlflowClient, run: Run, logged: LoggedModel, tags: Mapping[str, str]) -> float:
        """Write the model in MLflow's format, upload it, fetch it back and prove it; gives the difference."""
        probe = self.made / "probe.parquet"
        expected = np.load(self.made / "probe_scores.npy", allow_pickle=False)
        written, fetched = self.folder / "package", self.folder / "fetched"
        for leftover in (written, fetched):
            shutil.rmtree(leftover, ignore_errors=True)
        package(
            written,
            self.made / "bundle",
            pq.read_table(probe),
            location=logged.artifact_location,
            run_id=run.info.run_id,
            model_id=logged.model_id,
            created=datetime.fromtimestamp(logged.creation_timestamp / 1000, UTC),
            code=self._code(),
        )
        sign_package(written, signing_key(self.plan.team), {**self._claim(tags), "run_id": run.info.run_id})
        _remove_others(logged.artifact_location, written)
        client.log_model_artifacts(logged.model_id, str(written))
        back = download_artifacts(
            artifact_uri=logged.artifact_location,
            dst_path=str(fetched),  # a copy, wherever they lie: a model's own code may write beside itself
            tracking_uri=self.uri,
            registry_uri=self.uri,
        )
        try:
            read_package(Path(back), Trust.of(self.plan.team))
            difference = prove(Path(back), probe, expected, self.plan.trainer.threads)
        except HeadframeError:
            client.finalize_logged_model(logged.model_id, LoggedModelStatus.FAILED)
            raise
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        for scratch in (written, fetched):
            shutil.rmtree(scratch, ignore_errors=True)
        return difference

    def _code(self) -> list[Path]:
        """Name the project's own packages, which may import each other, if the model consists of any of theirs."""
        own = Project(self.root).packages
        named = targets([part.model_dump(mode="json") for part in (self.plan.learner, self.plan.task)])
        return [self.root / "src" / name.rstrip(".") for name in own] if any(t.startswith(own) for t in named) else []

    def _find(self, client: MlflowClient) -> ModelVersion | None:
        """Give the version that was registered under the key; the oldest, should there be several."""
        model = self.plan.promotion.model
        found = client.search_model_versions(f"name = '{model}' and tags.`{runs.KEY}` = '{self.key}'")
        return min(found, key=lambda version: int(version.version), default=None)

    def _version(self, client: MlflowClient, run: Run, logged: LoggedModel, parity: float) -> ModelVersion:
        """Register a version. Its key goes in with it, in one transaction: there is never a version without."""
        name = self.plan.promotion.model
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = client.create_model_version(
            name,
            source=logged.artifact_location,
            run_id=run.info.run_id,
            tags={**self.tags, PARITY: repr(parity)},
            description=self.evaluated.summary,
            model_id=logged.model_id,
        )
        # Another machine may have registered the same at once, where no lock of ours reaches: the first one stays.
        first = self._find(client)
        if first is not None and int(first.version) < int(made.version):
            client.delete_model_version(name, str(made.version))
            return first
        return made


def _remove_others(location: str, written: Path) -> None:
    """Remove what lies where a model is kept and is no part of it: in `code/` it would be imported."""
    kept = get_artifact_repository(location)
    folders = [""]
    while folders:
        for each in kept.list_artifacts(folders.pop() or None):
            if each.is_dir and (written / each.path).is_dir():
                folders.append(each.path)
            elif each.is_dir or not (written / each.path).is_file():
                kept.delete_artifacts(each.path)


def _link(client: MlflowClient, logged: LoggedModel, version: ModelVersion) -> None:
    """Let MLflow's pages lead from the model to its version; a server does that itself, a file does not."""
    if VERSIONS not in client.get_logged_model(logged.model_id).tags:
        named = json.dumps([{"name": version.name, "version": version.version}])
        client.set_logged_model_tags(logged.model_id, {VERSIONS: named})


@contextmanager
def _ending(client: MlflowClient, run: Run) -> Iterator[None]:
    """Let the run end as what happens inside ends; a kill leaves it running, to be taken up again."""
    try:
        yield
    except Exception:
        client.set_terminated(run.info.run_id, status="FAILED")
        raise
    client.set_terminated(run.info.run_id, status="FINISHED")
