"""The schema of a plan: every key that `conf/` may hold, its type, its range and its meaning."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from headframe.config.nearest import nearest
from headframe.record import Record, digest

TRUSTED = ("headframe.", "sklearn.", "torch.optim.")
"""Where a `_target_` may point besides the packages in the project's own `src/`."""

Kind = Literal["image", "series", "tokens", "tabular", "sparse"]
TaskKind = Literal["classification", "regression", "forecasting"]
SEED_BASE = 7919  # a prime; more copies than anybody trains
ColumnType = Literal["bool", "int", "float", "string", "timestamp", "tensor", "list"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]


class Component(BaseModel):
    """A `_target_` node: which class to build and with which arguments.

    `tiny` holds the arguments that make the same object small enough for a test.
    """

    model_config = ConfigDict(
        frozen=True, extra="allow", populate_by_name=True, serialize_by_alias=True, protected_namespaces=()
    )

    target: str = Field(alias="_target_")
    tiny: dict[str, Any] = {}

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments for the target, as plain Python values."""
        return dict(self.model_extra or {})

    def shrunk(self) -> Self:
        """Give the same component with its tiny arguments in place."""
        return self.model_copy(update=self.tiny)

    @model_validator(mode="after")
    def _targets_are_trusted(self, info: ValidationInfo) -> Self:
        trusted = (*TRUSTED, *(info.context or {}).get("trusted", ()))
        for path in (self.target, *targets(self.arguments)):
            if not path.startswith(trusted):
                names = ", ".join(prefix.rstrip(".") for prefix in trusted)
                msg = f"_target_ {path!r} is outside the trusted packages ({names}); put your own code in src/"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _numbers_are_finite(self) -> Self:
        """Refuse NaN and infinity in arguments, whose types the schema does not know, as it does everywhere else."""
        found = [
            InitErrorDetails(type="finite_number", loc=place, input=value)
            for place, value in _not_finite(self.arguments)
        ]
        if found:
            raise ValidationError.from_exception_data(self.target, found)
        return self


def targets(value: Any) -> Iterator[str]:
    """Yield each `_target_` that is nested anywhere in `value`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "_target_":
                yield str(inner)
            else:
                yield from targets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from targets(inner)


def _lean(value: Any) -> Any:
    """Leave out the tiny arguments of each component that is nested anywhere in a record's value."""
    if isinstance(value, Mapping):
        return {key: _lean(inner) for key, inner in value.items()}
    if not isinstance(value, BaseModel):
        return value
    changes = {name: _lean(getattr(value, name)) for name in type(value).model_fields}
    return value.model_copy(update={**changes, "tiny": {}} if isinstance(value, Component) else changes)


def _not_finite(value: Any, place: tuple[int | str, ...] = ()) -> Iterator[tuple[tuple[int | str, ...], float]]:
    """Yield each NaN and infinity that is nested anywhere in `value`, with its keys."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_finite(inner, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _not_finite(inner, (*place, number))


class Source(Record):
    """Where one raw file comes from."""

    uri: str = Field(pattern=r"^(file|package):.+")  # `file:FOLDER/NAME`, `package:MODULE/PATH`
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  # of the file's bytes


class Promise(Record):
    """What a contract says of one column; every word becomes a Great Expectations expectation."""

    dtype: ColumnType
    nullable: bool = False
    unique: bool = False
    min: float | None = None  # smallest value, inclusive
    max: float | None = None  # largest value, inclusive
    one_of: tuple[str | int | bool, ...] | None = None  # the only values allowed
    min_length: int | None = Field(default=None, ge=0)  # characters of a string
    max_length: int | None = Field(default=None, ge=0)  # characters of a string
    matches: str | None = None  # regular expression that a string must match
    shape: tuple[int, ...] | None = None  # of a tensor, e.g. (height, width, channels)


class Contract(Record):
    """What a table must keep before anything is trained on it."""

    min_rows: int = Field(default=1, ge=1)
    max_rows: int | None = Field(default=None, ge=1)
    columns: dict[str, Promise] = Field(min_length=1)  # all columns of the table but `row_id`


class Dataset(Record):
    """One data set: where it comes from, how it is read, what it promises."""

    name: Name
    title: str
    licence: str
    citation: str
    homepage: str = ""
    sources: dict[str, Source] = Field(min_length=1)
    reader: Component
    key: str | None = None  # column that identifies a row at its source; without one the content does
    inputs: tuple[str, ...] = Field(min_length=1)  # columns a model may see
    target: str | None = None  # column to predict; a forecast predicts its inputs
    time: str | None = None  # column that orders the rows
    tasks: tuple[TaskKind, ...] = Field(min_length=1)  # what can be asked of this data
    split: Component
    max_rejected: int = Field(default=0, ge=0)  # rows that may be unreadable before the run stops
    contract: Contract

    @property
    def asked(self) -> dict[str, Any]:
        """What decides a training beside the table itself, as JSON; title, licence and the like decide nothing."""
        return self.model_dump(mode="json", include={"name", "inputs", "target", "time", "split"})

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        known = self.contract.columns
        wanted = [*self.inputs, *(name for name in (self.key, self.target, self.time) if name)]
        for name in wanted:
            if name not in known:
                msg = f"column {name!r} has no promise in contract.columns, which has {', '.join(known)}"
                raise ValueError(msg)
        if self.target in self.inputs:
            msg = f"target {self.target!r} is also among the inputs, so a model would be given the answer"
            raise ValueError(msg)
        return self


class Features(Record):
    """How raw rows become what a model takes."""

    gives: Kind
    reads: tuple[ColumnType, ...] = ()  # types of column that the encoder takes; none: whatever comes
    encoder: Component
    augment: dict[str, Component] = {}  # random changes of training inputs, by name, in this order

    def columns(self, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Name the columns that the encoder reads: those of its `column` or `columns`, else the data set's inputs.

        Empty where the encoder takes one column and none is named although there are several inputs.
        """
        settings = self.encoder.arguments
        if "column" not in settings:
            return tuple(settings.get("columns") or inputs)
        if settings["column"]:
            return (settings["column"],)
        return inputs if len(inputs) == 1 else ()


class Task(Component):
    """What is predicted."""

    kind: TaskKind


class Model(Component):
    """A network or an estimator, and what it can be used for."""

    tasks: tuple[TaskKind, ...] = Field(min_length=1)
    inputs: tuple[Kind, ...] = Field(min_length=1)


class EarlyStopping(Record):
    """Stop when validation no longer improves."""

    patience: int = Field(ge=1)  # epochs without improvement
    min_delta: float = Field(default=0.0, ge=0)  # smaller changes are no improvement


class Trainer(Record):
    """How a network is trained; estimators use `threads` alone."""

    max_epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)  # examples per optimiser step
    evaluation_batch_size: int = Field(default=1024, ge=1)  # examples per forward pass without gradients
    threads: int = Field(default=1, ge=1)  # of one training process; the number changes the bits of the result
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"  # auto: bf16-mixed on CUDA, else 32-true
    channels_last: bool = False  # memory layout of images
    compile: bool = False  # torch.compile the network
    gradient_clip: float | None = Field(default=None, gt=0)  # largest gradient norm
    early_stopping: EarlyStopping | None = None
    monitor: Literal["loss", "lead"] = "loss"  # what early stopping and `keep: best` look at, on validation rows
    keep: Literal["best", "last"] = "best"  # which epoch's weights are the result
    checkpoint_steps: int = Field(default=200, ge=1)  # optimiser steps from one possible checkpoint to the next

    @model_validator(mode="after")
    def _precision_fits(self) -> Self:
        if self.accelerator == "cpu" and self.precision == "16-mixed":
            msg = "precision 16-mixed needs a GPU, but accelerator is cpu; take 32-true or bf16-mixed"
            raise ValueError(msg)
        return self


class Ensemble(Component):
    """Several learners whose scores the `_target_` combines."""

    members: dict[Name, Member] = Field(min_length=1)
    copies: int = Field(default=1, ge=1)  # times each member is trained, each with another seed
    bootstrap: bool = False  # bagging: every copy draws its training rows with replacement

    @model_validator(mode="after")
    def _has_company(self) -> Self:
        if len(self.members) * self.copies < 2:  # noqa: PLR2004 - two is what "several" means
            msg = "an ensemble of one member and one copy combines nothing; add a member or raise copies"
            raise ValueError(msg)
        return self


def _is_ensemble(value: Any) -> str:
    members = value.get("members") if isinstance(value, Mapping) else getattr(value, "members", None)
    return "model" if members is None else "ensemble"


AnyModel = Annotated[Annotated[Model, Tag("model")] | Annotated[Ensemble, Tag("ensemble")], Discriminator(_is_ensemble)]


class Member(Record):
    """One learner of an ensemble, or a baseline: a model, and what differs from the plan's own settings."""

    model: AnyModel
    features: Features | None = None
    optimizer: Component | None = None
    scheduler: Component | None = None
    trainer: dict[str, Any] = {}  # keys of `trainer` that differ

    @field_validator("trainer")
    @classmethod
    def _is_part_of_a_trainer(cls, changes: dict[str, Any]) -> dict[str, Any]:
        Trainer.model_validate({"max_epochs": 1, "batch_size": 1, **changes})  # the two that have no default
        return changes


class Learner(Record):
    """Everything that decides the weights, given a table, a task and a split."""

    seed: int = Field(ge=0, lt=2**31)
    model: AnyModel
    features: Features
    optimizer: Component
    scheduler: Component
    trainer: Trainer
    bootstrap: bool = False

    def vary(self, member: Member, *, further: int = 0, bootstrap: bool = False) -> Learner:
        """Give the learner of one member: this one's settings where the member names none.

        Args:
            member: what differs.
            further: how far its seed lies from this one's; 0 keeps the seed.
            bootstrap: whether it draws its training rows with replacement, as it does in any case where this one does.
        """
        # Parts that were checked once are not checked again: only loading knows the project's own packages.
        return Learner.model_construct(
            seed=(self.seed + further) % 2**31,
            model=member.model,
            features=member.features or self.features,
            optimizer=member.optimizer or self.optimizer,
            scheduler=member.scheduler or self.scheduler,
            trainer=Trainer.model_validate({**self.trainer.model_dump(), **member.trainer}),
            bootstrap=self.bootstrap or bootstrap,
        )

    def members(self) -> dict[str, Learner]:
        """Name the learners of an ensemble in their order; empty where the model is no ensemble.

        Copy 0 keeps the seed, so a member trains to the weights it would reach alone. The other copies of all members
        are counted through, and the count becomes one digit of the distance to the plan's seed, in the number system
        of base 7919: the last digit in an ensemble of plain models, the one before it in an ensemble of those. So no
        two copies of a nested ensemble come to the same seed.
        """
        if not isinstance(self.model, Ensemble):
            return {}
        copies, many = self.model.copies, len(self.model.members)
        digit = SEED_BASE ** _height(self.model)
        return {
            f"{name}-{copy}" if copies > 1 else name: self.vary(
                member,
                further=digit * ((copy - 1) * many + position + 1) if copy else 0,
                bootstrap=self.model.bootstrap,
            )
            for position, (name, member) in enumerate(self.model.members.items())
            for copy in range(copies)
        }


def _height(model: AnyModel) -> int:
    """Count how many ensembles stand on top of each other."""
    if not isinstance(model, Ensemble):
        return 0
    return 1 + max(_height(member.model) for member in model.members.values())


class Evaluation(Record):
    """How predictions are measured."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)  # of the intervals
    resamples: int = Field(default=1000, ge=100, le=100_000)  # bootstrap repetitions
    slices: tuple[str, ...] = ()  # input columns by whose values metrics are repeated


Role = Literal["reader", "author", "approver"]
ROLES: tuple[Role, ...] = get_args(Role)


class Person(Record):
    """Somebody of the team."""

    key: str = Field(pattern=r"^[0-9a-f]{64}$")  # public Ed25519 key, as `headframe key` prints it
    roles: tuple[Role, ...] = Field(min_length=1)  # author: registers, gates, promotes; approver: approves, rolls back
    until: AwareDatetime | None = None  # when they left, or the key was replaced; what it signed before still counts


class Team(Record):
    """Whose signatures count; where nobody is listed, those of the keys on this machine."""

    people: dict[Name, Person] = {}

    @model_validator(mode="after")
    def _keys_are_their_own(self) -> Self:
        owners: dict[str, str] = {}
        for name, person in self.people.items():
            if person.key in owners:
                msg = f"people.{name} and people.{owners[person.key]} have the same key; give everybody their own"
                raise ValueError(msg)
            owners[person.key] = name
        return self


class Approvals(Record):
    """What the word of people must say before a version becomes champion."""

    needed: int = Field(default=0, ge=0)  # approvals by different people
    four_eyes: bool = True  # nobody approves a model that they registered themselves
    days: float = Field(default=14.0, gt=0)  # after which an approval has expired


class Promotion(Record):
    """When a version becomes champion: the gates that it must pass, and who must have agreed."""

    model: Name  # name in the registry
    policy: Name  # what this policy is called
    gates: dict[Name, Component]  # all must be passed; judged in this order
    approvals: Approvals = Approvals()
    served: Literal["any", "ledger"] = "any"  # ledger: serve @champion only if the ledger says that it is
    ledger: str | None = None  # SQLAlchemy address; none: HEADFRAME_LEDGER, else a file in the project's own folder


class Serving(Record):
    """How a model answers over HTTP."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    max_rows: int = Field(default=10_000, ge=1)  # rows in one request


class Tracking(Record):
    """Where runs are written down."""

    experiment: str = Field(min_length=1)  # MLflow's experiment
    uri: str | None = None  # MLflow's address; none: MLFLOW_TRACKING_URI, else a database in the project's own folder


class Plan(Record):
    """Everything a run needs to know; equal plans give equal results."""

    name: Name
    seed: int = Field(default=17, ge=0, lt=2**31)
    dataset: Dataset
    features: Features
    task: Task
    model: AnyModel
    optimizer: Component
    scheduler: Component
    trainer: Trainer
    baseline: Member | None = None  # what the model is compared with on the same rows
    launcher: Component
    evaluation: Evaluation
    promotion: Promotion
    team: Team = Team()
    serving: Serving
    tracking: Tracking

    @property
    def learner(self) -> Learner:
        """What is trained."""
        fields = Learner.model_fields.keys() & Plan.model_fields.keys()
        return Learner.model_construct(**{name: getattr(self, name) for name in fields})

    @property
    def lean(self) -> Plan:
        """The same plan without `tiny`, which decides no result; what is trained and kept by a digest is of this one.

        Otherwise a change of it would train again, and equal weights would lie in unequal bundles.
        """
        lean: Plan = _lean(self)
        return lean

    @property
    def fingerprint(self) -> str:
        """The sha256 of the whole plan."""
        return digest(self)

    @property
    def identity(self) -> str:
        """The sha256 of what decides a version: the plan without where it runs, is judged, serves and is tracked."""
        told = {"launcher", "promotion", "team", "serving", "tracking"}
        return digest({**self.lean.model_dump(mode="json", exclude=told), "model_name": self.promotion.model})

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
            parts += _leaves("baseline", learner.vary(self.baseline))
        for path, part in parts:
            _fits(path, part, self.task.kind)
            _reads(path, part.features, self.dataset)
        return self


def _leaves(path: str, learner: Learner) -> Iterator[tuple[str, Learner]]:
    """Yield every learner that is no ensemble, its copies once, with the key under which the plan has it."""
    if not isinstance(learner.model, Ensemble):
        yield path, learner
        return
    for name, member in learner.model.members.items():
        yield from _leaves(f"{path}.members.{name}", learner.vary(member))


def _fits(path: str, learner: Learner, task: TaskKind) -> None:
    model = learner.model
    if not isinstance(model, Model):
        msg = f"{path} is an ensemble where a model was expected"
        raise TypeError(msg)
    name = model.target.rpartition(".")[2]
    if task not in model.tasks:
        msg = f"{path} {name} does not fit task {task}: it is for {' or '.join(model.tasks)}"
        raise ValueError(msg)
    if learner.features.gives not in model.inputs:
        msg = f"{path} {name} takes {' or '.join(model.inputs)}, but its features give {learner.features.gives}"
        raise ValueError(msg)


def _reads(path: str, features: Features, dataset: Dataset) -> None:
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


Ensemble.model_rebuild()
