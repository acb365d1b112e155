"""The schema of a plan: every key that `conf/` may hold, its type, its range and its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import (
    Field,
    ValidationInfo,
    model_validator,
)

from headframe.config.plan.component import Component, Name, TaskKind, without_test_settings
from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.evaluation import EvaluationConfig
from headframe.config.plan.learner import (
    AnyModel,
    EnsembleConfig,
    FeaturesConfig,
    Learner,
    MemberConfig,
    ModelConfig,
    TaskConfig,
    TrainerConfig,
    _leaves,
)
from headframe.config.plan.promotion import PromotionConfig, TeamConfig
from headframe.config.plan.serving import ServingConfig, TrackingConfig
from headframe.config.targets.nearest import nearest
from headframe.digests import Record, digest


class Plan(Record):
    """Everything a run needs to know; equal plans give equal results."""

    name: Name
    seed: int = Field(default=17, ge=0, lt=2**31)
    dataset: DatasetConfig
    features: FeaturesConfig
    task: TaskConfig
    model: AnyModel
    optimizer: Component
    scheduler: Component
    trainer: TrainerConfig
    baseline: MemberConfig | None = None  # what the model is compared with on the same rows
    launcher: Component
    evaluation: EvaluationConfig
    promotion: PromotionConfig
    team: TeamConfig = TeamConfig()
    serving: ServingConfig
    tracking: TrackingConfig

    @property
    def learner(self) -> Learner:
        """What is trained."""
        fields = Learner.model_fields.keys() & Plan.model_fields.keys()
        return Learner.model_construct(**{name: getattr(self, name) for name in fields})

    @property
    def without_test_settings(self) -> Plan:
        """The same plan without `tiny`, which decides no result; what is trained and kept by a digest is of this one.

        Otherwise a change of it would train again, and equal weights would lie in unequal bundles.
        """
        plan: Plan = without_test_settings(self)
        return plan

    @property
    def fingerprint(self) -> str:
        """The sha256 of the whole plan."""
        return digest(self)

    @property
    def identity(self) -> str:
        """The sha256 of what decides a version: the plan without where it runs, is judged, serves and is tracked."""
        told = {"launcher", "promotion", "team", "serving", "tracking"}
        return digest(
            {**self.without_test_settings.model_dump(mode="json", exclude=told), "model_name": self.promotion.model}
        )

    @model_validator(mode="after")
    def _parts_fit(self, info: ValidationInfo) -> Self:
        if not (info.context or {}).get("fitting", True):
            return self
        if self.task.kind not in self.dataset.tasks:
            can = " or ".join(self.dataset.tasks)
            msg = f"task {self.task.kind} does not fit dataset {self.dataset.name}, which is for {can}"
            raise ValueError(msg)
        for name in self.evaluation.slices:
            promise = self.dataset.contract.columns.get(name)
            if promise is None or promise.dtype in {"tensor", "list"}:
                what = "no such column" if promise is None else f"{promise.dtype} cells, which have no values to cut by"
                msg = f"evaluation.slices names {name!r}, but dataset {self.dataset.name} has {what}"
                raise ValueError(msg)
        learner = self.learner
        parts = [*_leaves("model", learner)]
        if self.baseline is not None:
            parts += _leaves("baseline", learner.with_member(self.baseline))
        for path, part in parts:
            _fits(path, part, self.task.kind)
            _reads(path, part.features, self.dataset)
        return self


def _fits(path: str, learner: Learner, task: TaskKind) -> None:
    model = learner.model
    if not isinstance(model, ModelConfig):
        msg = f"{path} is an ensemble where a model was expected"
        raise TypeError(msg)
    name = model.target.rpartition(".")[2]
    if task not in model.tasks:
        msg = f"{path} {name} does not fit task {task}: it is for {' or '.join(model.tasks)}"
        raise ValueError(msg)
    if learner.features.gives not in model.inputs:
        msg = f"{path} {name} takes {' or '.join(model.inputs)}, but its features give {learner.features.gives}"
        raise ValueError(msg)


def _reads(path: str, features: FeaturesConfig, dataset: DatasetConfig) -> None:
    """Refuse an encoder that the data set has no columns for, before anything is fetched."""
    name = features.encoder.target.rpartition(".")[2]
    what = f"encoder {name}" if path == "model" else f"encoder {name} of {path}"
    takes = f" of {' or '.join(features.reads)}" if features.reads else ""
    columns = features.columns(dataset.inputs)
    if not columns:
        msg = (
            f"{what} takes one column{takes}, but dataset {dataset.name} has {len(dataset.inputs)} inputs; name one in "
            "features.encoder.column, or choose other features (headframe list features)"
        )
        raise ValueError(msg)
    for column in columns:
        if column not in dataset.inputs:
            known = nearest(column, dataset.inputs)
            msg = f"{what} reads column {column!r}, which is no input of dataset {dataset.name}; {known}"
            raise ValueError(msg)
        is_type = dataset.contract.columns[column].dtype
        if features.reads and is_type not in features.reads:
            msg = (
                f"{what} takes columns{takes}, but {column!r} of dataset {dataset.name} is {is_type}; choose other "
                "features (headframe list features)"
            )
            raise ValueError(msg)


def read_plan(path: Path, trusted: tuple[str, ...] = ()) -> Plan:
    """Read a plan that was written as JSON.

    Args:
        path: the file.
        trusted: prefixes of the project's own packages, such as `("mine.",)`.
    """
    return Plan.model_validate_json(path.read_bytes(), context={"trusted": trusted})


EnsembleConfig.model_rebuild()
