"""A measured result on its way into the registry: what identifies it, and what its author signs of it."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from headframe import __version__
from headframe.config.plan.component import targets
from headframe.config.plan.plan import VersionPlan
from headframe.config.plan.serving import CodeConfig
from headframe.config.project import Project
from headframe.digests import digest, file_digest
from headframe.evaluation.layout import SLICES
from headframe.prediction.layout import BUNDLE, FINDINGS
from headframe.records import Evaluated, Ingested, Provenance, Trained
from headframe.tracking import tags
from headframe.tracking.lineage import CollectedLineage, collect_lineage


@dataclass(frozen=True)
class RegistrationRequest:
    """A result to register.

    Attributes:
        plan: what was run.
        model: name of the registered model.
        experiment: of MLflow.
        data: the data that went in.
        trained: the model.
        evaluated: its measurements.
        root: the project's folder.
        code: which code is stored with the run.
    """

    plan: VersionPlan
    model: str
    experiment: str
    data: Ingested
    trained: Trained
    evaluated: Evaluated
    root: Path
    code: CodeConfig

    @property
    def key(self) -> str:
        """The sha256 of what makes two submissions the same one: the model, its rows and its predictions for them.

        What a plan says beyond that, such as its name, the title of the data or a slice, decides no weight, so equal
        weights stay one version. Where they lie, in which registry or experiment, is not part of it, either.
        """
        return digest(self.identity)

    @property
    def identity(self) -> dict[str, str]:
        """The part of the signed payload that identifies the result; see `key`."""
        return {
            "model": self.model,
            "table": self.data.split.table.digest,
            "split": self.data.split.digest,
            "bundle": self.trained.bundle,
            "predictions": self.trained.predictions,
        }

    @property
    def payload(self) -> dict[str, str]:
        """What the signature of the model states of it, besides its files."""
        findings = self.evaluation / FINDINGS
        return {
            **self.identity,
            "plan": self.plan.fingerprint,
            "provenance": hashlib.sha256(self.provenance.encode()).hexdigest(),
            "validated": file_digest(self.validation),
            "evaluated": self.evaluated.digest,
            "slices": file_digest(self.evaluation / SLICES),
            **({"findings": file_digest(findings)} if findings.is_file() else {}),
            "headframe": __version__,
        }

    @property
    def tags(self) -> dict[str, str]:
        """Tags of run and version."""
        signed = self.payload
        metric = self.evaluated.primary_metric
        return {
            tags.KEY: self.key,
            **{tag: signed[name] for name, tag in tags.DIGESTS.items()},
            tags.PRIMARY_METRIC: metric,
            tags.metric(metric): repr(self.evaluated.metrics[metric].value),
        }

    @cached_property
    def lineage(self) -> CollectedLineage:
        """Code, libraries and machine as they are now; read once, so that all that is written of them agrees."""
        return collect_lineage(self.plan, self.training / BUNDLE, self.root, self.code)

    @cached_property
    def provenance(self) -> str:
        """The text of the provenance record."""
        lineage = self.lineage.lineage
        found = Provenance(data=self.data, trained=self.trained, evaluated=self.evaluated, lineage=lineage)
        return found.model_dump_json(indent=2) + "\n"

    @property
    def training(self) -> Path:
        """The folder that training wrote."""
        return self.root / self.trained.folder

    @property
    def evaluation(self) -> Path:
        """The folder that evaluation wrote."""
        return self.root / self.evaluated.folder

    @property
    def validation(self) -> Path:
        """The validation report."""
        return self.root / self.data.validated.report

    @property
    def packages(self) -> list[Path]:
        """The project's own packages, which may import each other, if the model consists of any of theirs."""
        own = Project(self.root).packages
        parts = (self.plan.learner, self.plan.task, self.plan.dataset.reader)
        named = targets([part.model_dump(mode="json") for part in parts])
        return [self.root / "src" / name.rstrip(".") for name in own] if any(t.startswith(own) for t in named) else []
