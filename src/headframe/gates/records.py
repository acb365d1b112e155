"""What the authors of a version and of its champion signed: package, plan, provenance, validation report."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from headframe.config.build import build
from headframe.config.plan.plan import VersionPlan
from headframe.config.plan.task import TaskConfig
from headframe.config.project import Project
from headframe.digests import folder_digest, validation_message
from headframe.errors import DataError, HeadframeError, Refused, Unavailable
from headframe.gates.request import GateRequest
from headframe.prediction.layout import task_state
from headframe.records import Provenance
from headframe.registry.compare_signed import (
    read_signed_json,
    read_signed_plan,
    read_signed_provenance,
    require_signed_bytes,
    require_signed_tags,
)
from headframe.registry.layout import bundle_in, packages_in
from headframe.registry.signature import SignedModel
from headframe.registry.versions import ModelVersion, fetch_signature, signed_files
from headframe.tasks.base import Task
from headframe.tracking import layout
from headframe.tracking.address import local_path
from headframe.tracking.client import ArtifactMissing, artifacts_uri, download
from headframe.validation.checks import REPORT, ValidationReport


@dataclass(frozen=True)
class ChampionRecord:
    """What the champion's author signed.

    Attributes:
        signed: None where nobody trusted signed it.
        task: as the champion's plan has it; None where that is not known.
        reason: why something of it is not known.
    """

    signed: SignedModel | None
    task: TaskConfig | None
    reason: str = ""


class SignedRecords:
    """The signed files of the version that is judged; its tags in the registry repeat them and are never believed.

    Args:
        request: names the version.
        stack: closes what is opened on the way.
    """

    def __init__(self, request: GateRequest, stack: ExitStack) -> None:
        self.request = request
        self._stack = stack

    def signed_digest(self, name: str) -> str:
        """Return a digest that the version's author signed, by its name in `registry.signature.SignedModel`."""
        return str(self.signed.payload[name])

    @property
    def signed(self) -> SignedModel:
        """What the version's author signed.

        Raises:
            Refused: its files, or its tags, are not what was signed.
        """
        return self._opened[1]

    @property
    def model(self) -> Path:
        """The version's package: the folder that holds `MLmodel`.

        Raises:
            Refused: its files, or its tags, are not what was signed.
        """
        return self._opened[0]

    @cached_property
    def _opened(self) -> tuple[Path, SignedModel]:
        return self.open(self.request.version)

    def open(self, version: ModelVersion) -> tuple[Path, SignedModel]:
        """Open the package of a version, and return its folder and what was signed.

        Raises:
            HeadframeError: it cannot be fetched.
            Refused: its files, or its tags, are not what was signed.
        """
        folder, signed = self._stack.enter_context(signed_files(version, self.request.uri, self.request.trust))
        require_signed_tags(version, signed)
        found, expected = folder_digest(bundle_in(folder)), signed.payload["bundle"]
        if found != expected:
            raise Refused(
                f"the model of {version.uri} has sha256 {found[:12]}, but {expected[:12]} was signed by "
                f"{signed.signer.name}; train and register it again"
            )
        return folder, signed

    @cached_property
    def scratch(self) -> Path:
        """A folder for temporary files."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory()))

    def file(self, name: str, version: ModelVersion | None = None) -> Path:
        """Fetch a file of the version's run, or of another version's.

        Raises:
            HeadframeError: it cannot be fetched.
        """
        version, uri = version or self.request.version, self.request.uri
        artifacts = artifacts_uri(version.run_id, uri)
        folder = None  # files on this machine are read in place
        if local_path(artifacts) is None:
            folder = self.scratch / "files" / str(version.number)
            folder.mkdir(parents=True, exist_ok=True)
        try:
            return download(f"{artifacts}/{name}", uri, folder)
        except ArtifactMissing as error:
            raise HeadframeError(
                f"{name} of {version.uri} cannot be fetched from its run ({error}); run the command that trained it "
                "to write it again"
            ) from error

    @cached_property
    def plan(self) -> VersionPlan:
        """The plan that the version was trained with."""
        own = (f"{name}." for name in packages_in(self.model))
        trusted = (*Project(self.request.root).packages, *own)
        return read_signed_plan(self.file(layout.PLAN).read_bytes(), self.request.version, self.signed, trusted)

    @cached_property
    def provenance(self) -> Provenance:
        """Data, code and results that the version was registered with."""
        return read_signed_provenance(self.file(layout.PROVENANCE).read_bytes(), self.request.version, self.signed)

    @cached_property
    def validation(self) -> ValidationReport:
        """The validation report of the version's table.

        Raises:
            HeadframeError: the run has none.
            DataError: it cannot be read.
            Refused: it is not the one that was signed.
        """
        version = self.request.version
        name = layout.validation_report(self.provenance.data.validated.report or REPORT)
        content = self.file(name).read_bytes()
        require_signed_bytes(content, "validated", name, version, self.signed)
        try:
            return ValidationReport.model_validate_json(content)
        except ValidationError as error:
            raise DataError(f"{name} of {version.uri} is no validation report ({validation_message(error)})") from error

    @cached_property
    def task(self) -> Task:
        """The task, restored from the version's bundle."""
        task: Task = build(self.plan.task)
        task.restore(task_state(bundle_in(self.model)))
        return task

    @cached_property
    def champion(self) -> ChampionRecord:
        """What the champion's author signed, with its plan's task.

        Raises:
            Refused: its tags or its plan are not what was signed; they must be restored before it is compared with.
            Unavailable: a server cannot be reached now.
        """
        champion, root = self.request.champion, self.request.root
        if champion is None:
            return ChampionRecord(None, None, "there was no champion before")
        try:
            signed = fetch_signature(champion, self.request.uri, self.request.trust)
        except Unavailable:
            raise
        except HeadframeError as error:
            return ChampionRecord(None, None, str(error))
        require_signed_tags(champion, signed)
        try:
            content = self.file(layout.PLAN, champion).read_bytes()
        except Unavailable:
            raise
        except HeadframeError as error:
            return ChampionRecord(signed, None, str(error))
        component = read_signed_json(content, champion, signed)["task"]
        try:
            task = TaskConfig.model_validate(component, context={"trusted": tuple(Project(root).packages)})
        except ValidationError as error:
            return ChampionRecord(signed, None, f"task of its plan: {validation_message(error)}")
        return ChampionRecord(signed, task)
