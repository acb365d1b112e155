"""Track, package, prove and register a measured model.

Every call finds what an earlier, killed one left under the same key and goes on from there, so the order is: run,
lineage, files, package, proof, version. A version exists only after its proof.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

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
from headframe.config.plan.component import targets
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.digests import digest, file_digest
from headframe.errors import HeadframeError, Refused, Unavailable
from headframe.records import Evaluated, Ingested, Provenance, Registered, Trained
from headframe.registry.package import package, prove
from headframe.registry.signature import UnknownSigner, read_package, require_signer, sign_package, signing_key
from headframe.registry.signed_record import complaint
from headframe.registry.versions import Version, signed_files, statement
from headframe.signing.trust import Trust
from headframe.tracking import runs, tags
from headframe.tracking.client import experiment_id, make_client
from headframe.tracking.downloads import ArtifactMissing, download
from headframe.tracking.errors import readable_errors
from headframe.tracking.origin import Written, written

log = logging.getLogger("headframe")

_BEGIN_ANEW = "restore the registry from a copy, or delete the version in MLflow and register it again"
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
            tags.KEY: self.key,
            tags.PLAN: self.plan.fingerprint,
            tags.TABLE: self.data.split.table.digest,
            tags.SPLIT: self.data.split.digest,
            tags.BUNDLE: self.trained.bundle,
            tags.PREDICTIONS: self.trained.predictions,
            tags.LEAD: lead,
            f"headframe.{lead}": repr(self.evaluated.metrics[lead].value),
            tags.PROVENANCE: hashlib.sha256(self.provenance.encode()).hexdigest(),
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

    @property
    def result(self) -> dict[str, str]:
        """What of the signed claim says which result it is; see `key`."""
        return {
            "model": self.plan.promotion.model,
            "table": self.data.split.table.digest,
            "split": self.data.split.digest,
            "bundle": self.trained.bundle,
            "evaluated": self.evaluated.digest,
        }

    @property
    def claim(self) -> dict[str, str]:
        """What the signature of the model says of it, besides its files."""
        return {
            **self.result,
            "plan": self.plan.fingerprint,
            "provenance": hashlib.sha256(self.provenance.encode()).hexdigest(),
            "validated": file_digest(self.root / self.data.validated.report),
            "predictions": self.trained.predictions,
            "slices": file_digest(self.root / self.evaluated.folder / "slices.json"),
            "headframe": __version__,
        }

    def _claim_again(self, client: MlflowClient, version: Version) -> dict[str, str]:
        """What to sign of a version whose files are written anew: what was signed then, or what was kept then.

        The run keeps the plan and the provenance of then, so these must be signed. Of the old signature they are
        believed. Where it is gone or damaged, nothing in MLflow is believed that is not of this very result.

        Raises:
            Refused: the version is of another result, or what its run keeps is.
        """
        try:
            signed = statement(version, self.uri, Trust.of(self.plan.team))
        except Unavailable:
            raise
        except HeadframeError:
            return {**self.claim, **self._kept(client, version)}
        require_own(signed.claim, self.result, version)
        return {name: str(value) for name, value in signed.claim.items() if name != "run_id"}

    def _kept(self, client: MlflowClient, version: Version) -> dict[str, str]:
        """Give the digests of plan, provenance and validation report that the run keeps, if they are of this result.

        Raises:
            Refused: one of them is not, or is not what the version's tags say.
        """
        report = f"data/{Path(self.data.validated.report).name}"
        with readable_errors(self.uri):
            place = client.get_run(version.run_id).info.artifact_uri
        content = {}
        with tempfile.TemporaryDirectory() as scratch:
            for name in ("plan.json", "provenance.json", report):
                try:
                    content[name] = download(f"{place}/{name}", self.uri, Path(scratch)).read_bytes()
                except ArtifactMissing as error:
                    msg = f"{version.uri} cannot be signed anew: {name} of its run cannot be fetched ({error})"
                    raise Refused(f"{msg}; {_BEGIN_ANEW}") from error
        try:
            told = json.loads(content["plan.json"])
            plan = Plan.model_validate(told, context={"trusted": tuple(Project(self.root).packages)})
            provenance = Provenance.model_validate_json(content["provenance.json"])
        except ValueError as error:
            msg = f"{version.uri} cannot be signed anew: plan or provenance in its run cannot be read"
            raise Refused(f"{msg} ({complaint(error)}); {_BEGIN_ANEW}") from error
        found = {
            "plan": digest(told),
            "provenance": hashlib.sha256(content["provenance.json"]).hexdigest(),
            "validated": hashlib.sha256(content[report]).hexdigest(),
        }
        ours = Provenance(data=self.data, trained=self.trained, evaluated=self.evaluated, origin=provenance.origin)
        wrong = None
        if plan.identity != self.plan.identity or found["plan"] != version.tags.get(tags.PLAN):
            wrong = "plan.json"
        elif provenance != ours or found["provenance"] != version.tags.get(tags.PROVENANCE):
            wrong = "provenance.json"
        elif found["validated"] != file_digest(self.root / self.data.validated.report):
            wrong = report
        if wrong is not None:
            msg = (
                f"{version.uri} cannot be signed anew: {wrong} of its run is not of the result that is registered here"
            )
            raise Refused(f"{msg}, or not what was registered then; {_BEGIN_ANEW}")
        return found

    @property
    def made(self) -> Path:
        """What training left."""
        return self.root / self.trained.folder

    def publish(self) -> Registered:
        """Do what is not done yet; see `headframe.registry.register.register`."""
        require_signer(self.plan.team)
        locks = Project(self.root).state / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        client = make_client(self.uri)
        with FileLock(locks / f"register-{self.key[:16]}.lock"), readable_errors(self.uri):
            experiment = experiment_id(client, self.uri, self.plan.tracking.experiment)
            run = runs.open_run(client, experiment, self.key, self.plan.name)
            with _ending(client, run):
                version = self._find(client)
                if version is None:
                    self._track(client, run)
                logged = self._logged_model(client, run)
                if version is None:
                    version = self._version(client, run, logged, self._package(client, run, logged, self.claim))
                elif (reason := self._damage(version)) is not None:
                    claim = self._claim_again(client, _as_registered(version))
                    log.warning("%s; its files are written anew", reason)
                    self._package(client, run, logged, claim)
                _link(client, logged, version)
                runs.set_tags(client, run, {tags.VERSION: f"{version.name}/{version.version}"})
        return Registered(
            model=version.name,
            version=int(version.version),
            run_id=version.run_id,
            model_uri=f"models:/{version.name}/{version.version}",
            parity=float(version.tags[tags.PARITY]),
        )

    def _damage(self, version: ModelVersion) -> str | None:
        """Say what is wrong with the files of a version; None where they are as somebody trusted signed them.

        Raises:
            Refused: they are whole, but signed by somebody who is not trusted: to write them anew would take the
                version from whoever registered it; or they are of another result.
        """
        registered = _as_registered(version)
        try:
            with signed_files(registered, self.uri, Trust.of(self.plan.team)) as (_, signed):
                claim = signed.claim
        except Unavailable:
            raise
        except UnknownSigner as error:
            whole = f"version {registered.number} of {registered.model}"
            msg = f"{error}; to register it as your own, delete {whole} in MLflow first"
            raise Refused(msg) from error
        except HeadframeError as error:
            return str(error)
        require_own(claim, self.result, registered)
        return None

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
        found = client.search_logged_models([experiment], filter_string=f"tags.`{tags.KEY}` = '{self.key}'")
        name = self.plan.promotion.model
        logged: LoggedModel = (
            found[0]
            if found
            else client.create_logged_model(experiment, name=name, source_run_id=run_id, tags={tags.KEY: self.key})
        )
        outputs = client.get_run(run_id).outputs
        if logged.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        return logged

    def _package(self, client: MlflowClient, run: Run, logged: LoggedModel, claim: Mapping[str, str]) -> float:
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
        sign_package(written, signing_key(self.plan.team), {**claim, "run_id": run.info.run_id})
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
        found = client.search_model_versions(f"name = '{model}' and tags.`{tags.KEY}` = '{self.key}'")
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
            tags={**self.tags, tags.PARITY: repr(parity)},
            description=self.evaluated.summary,
            model_id=logged.model_id,
        )
        # Another machine may have registered the same at once, where no lock of ours reaches: the first one stays.
        first = self._find(client)
        if first is not None and int(first.version) < int(made.version):
            client.delete_model_version(name, str(made.version))
            return first
        return made


def _as_registered(version: ModelVersion) -> Version:
    return Version(version.name, int(version.version), version.run_id, dict(version.tags))


def require_own(signed: Mapping[str, Any], own: Mapping[str, str], version: Version) -> None:
    """Make sure that a version is of the result that is registered, since only a tag says so.

    Args:
        signed: what its author signed.
        own: what says which result it is.
        version: which carries the key of the result.

    Raises:
        Refused: it is of another result.
    """
    for name, ours in own.items():
        if signed.get(name) != ours:
            msg = (
                f"{version.uri} carries the key of this result, but its author signed {name} "
                f"{str(signed.get(name))[:12]} instead of {ours[:12]}: its tag {tags.KEY} was changed; {_BEGIN_ANEW}"
            )
            raise Refused(msg)


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
