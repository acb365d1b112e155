"""Check that the parts of a plan fit each other, so that no training begins that could not succeed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from headframe.config.members import member_learners, phase_learners, single_learners, with_member
from headframe.config.plan.component import Component, Part, column_type_target
from headframe.config.plan.data import ColumnContract, DatasetConfig
from headframe.config.plan.features import FeaturesConfig, columns_of
from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.model import AnyModel, EnsembleConfig, ModelConfig
from headframe.config.plan.plan import Plan
from headframe.config.plan.task import TaskConfig
from headframe.config.plan.trainer import MethodConfig
from headframe.config.project import Project
from headframe.config.targets.find_definition import class_constant, has_method
from headframe.config.targets.nearest import nearest
from headframe.config.targets.signature import PASSED, parameters_of
from headframe.config.targets.value_types import quotes_advice
from headframe.digests import digest
from headframe.errors import ConfigurationError, some

SUGGESTED = 4
"""Choices that a message names at most."""


def check_compatibility(plan: Plan, project: Project) -> None:
    """Check data set, task, features and models of a plan, valid by itself, against each other by their declarations.

    Raises:
        ConfigurationError: naming what does not fit, what was expected and which choices would do.
    """
    fit = _Fit(plan.dataset, plan.task, project)
    fit.check_task()
    _check_slices(plan, fit)
    parts = [*single_learners(plan.learner, "model")]
    if plan.baseline is not None:
        parts += single_learners(with_member(plan.learner, plan.baseline), "baseline")
    for path, learner in parts:
        fit.check_learner(path, learner)
    for path, model in (("model", plan.model), *([] if plan.baseline is None else [("baseline", plan.baseline.model)])):
        if isinstance(model, EnsembleConfig) and not class_constant(plan.task.target, "mergeable", fit.own_source):
            raise ConfigurationError(
                f"{path} {model.class_name} merges the predictions of its members, and those of task {plan.task.kind} "
                "cannot be merged; choose one of the members alone"
            )
        _check_members(path, plan.learner, model)


def _check_members(path: str, learner: LearnerConfig, model: AnyModel) -> None:
    """Refuse members of an ensemble that would be one and the same model, and so weigh twice."""
    if not isinstance(model, EnsembleConfig):
        return
    seen: dict[str, str] = {}
    for name, member in member_learners(learner.model_copy(update={"model": model})).items():
        _check_members(f"{path}.members.{name}", member, member.model)
        first = seen.setdefault(digest(member), name)
        if first != name:
            raise ConfigurationError(
                f"{path}.members.{name} is the same as {path}.members.{first} in every setting, so both would be one "
                f"model twice; change one of them, or raise {path}.copies, whose seeds differ"
            )


def check_tasks(plan: Plan, project: Project) -> None:
    """Refuse a data set that can be used for none of the tasks in `conf/` that it says it is for.

    This holds whatever task the plan has, so that data can be ingested before there is one. The settings of the task
    that it has count, such as a primary metric that needs no labels.

    Raises:
        ConfigurationError: naming the first task, and what the data set lacks for it.
    """
    fit = _Fit(plan.dataset, plan.task, project)
    shipped = [each for each in fit.choices("task", TaskConfig).values() if each.kind in plan.dataset.tasks]
    tasks = [plan.task if each.kind == plan.task.kind else each for each in shipped]
    faults = [fit.task_fault(task) for task in tasks]
    if faults and all(faults):
        raise ConfigurationError(faults[0])


@dataclass(frozen=True)
class _Fit:
    """The data set and the task of a plan, against which its learners are checked."""

    dataset: DatasetConfig
    task: TaskConfig
    project: Project

    @property
    def own_source(self) -> Path:
        """The folder of the project's own code."""
        return self.project.root / "src"

    def check_task(self) -> None:
        """Refuse a task that the data set is not for, or whose target it does not have."""
        fault = self.task_fault(self.task)
        if fault:
            raise ConfigurationError(fault + self._suggest("task", TaskConfig, lambda task: not self.task_fault(task)))
        if self.dataset.target is not None:
            self._check_values(self.dataset.target, self.dataset.contract.columns[self.dataset.target])

    def _check_values(self, name: str, target: ColumnContract) -> None:
        """Refuse a task that could learn nothing from the values that its target may have, or means others."""
        kind, own_source = column_type_target(target.dtype), self.own_source
        values = target.one_of or class_constant(kind, "values", own_source) or ()
        of_type = class_constant(kind, "listed", own_source) or ()
        what = f"target {name!r} of dataset {self.dataset.name}"
        if len(values) == 1 or (target.min is not None and target.min == target.max):
            msg = f"{what} can have one value only, so that nothing can be learned; correct"
            raise ConfigurationError(f"{msg} dataset.contract.columns.{name}, or choose another target")
        if target.nullable:
            advice = f"set dataset.contract.columns.{name}.nullable=false, and leave out rows without a value"
            raise ConfigurationError(
                f"{what} may be empty, but a task learns its values and is measured by them; {advice}"
            )
        named = list(self.references(self.task, "target"))
        for key, value in named:
            if value not in values if values else of_type and type(value).__name__ not in of_type:
                hint = nearest(str(value), map(str, values)) if values else f"it is {target.dtype}"
                quotes = quotes_advice(value) if "str" in of_type else ""
                raise ConfigurationError(f"task.{key}={value}: {what} has no such value; {hint}{quotes}")
        metric = self.task.arguments.get("primary_metric")
        binary = class_constant(self.task.target, "binary_metrics", own_source) or ()
        # Where no metric is for two classes alone, one value may be meant against all others.
        for key, value in [*(named if binary else ()), *([("primary_metric", metric)] if metric in binary else ())]:
            if len(values) > 2:  # noqa: PLR2004 - what is meant as one class against the other
                msg = f"task.{key}={value} is for two classes, but {what} has {len(values)}; leave it out"
                raise ConfigurationError(msg)

    def task_fault(self, task: TaskConfig) -> str:
        data, name = self.dataset, f"dataset {self.dataset.name}"
        if task.kind not in data.tasks:
            return f"task {task.kind} does not fit {name}, which is for {_either(data.tasks)}"
        if data.target is None and task.needs_target and not task.several:
            return f"task {task.kind} predicts one column, but {name} has no target; name one in dataset.target"
        if data.target is None and not task.needs_target:
            return self._unlabelled_fault(task)
        for column in data.target_columns:
            dtype = data.contract.columns[column].dtype
            if task.predicts and dtype not in task.predicts:
                return f"task {task.kind} predicts {_either(task.predicts)}, but {column!r} of {name} is {dtype}"
        return ""

    def _unlabelled_fault(self, task: TaskConfig) -> str:
        metrics = class_constant(task.target, "unlabelled_metrics", self.project.root / "src") or ()
        metric = task.arguments.get("primary_metric")
        if metric is None or metric in metrics:
            return ""
        return (
            f"task.primary_metric={metric} compares with labels, but dataset {self.dataset.name} has no target; set "
            f"task.primary_metric={_either(metrics)}, or name the labels in dataset.target"
        )

    def check_learner(self, path: str, learner: LearnerConfig) -> None:
        """Refuse a learner, whose model is `path` in the plan, if its features or its model do not fit the rest."""
        model, features = learner.model, learner.features
        assert isinstance(model, ModelConfig)  # noqa: S101 - ensembles were resolved into their members
        fault = self._features_fault(path, features)
        if fault:

            def fits(each: FeaturesConfig) -> bool:
                return not self._features_fault(path, each)

            def learns(each: FeaturesConfig, models: Iterable[ModelConfig]) -> bool:
                return fits(each) and any(not self._model_fault(path, other, each) for other in models)

            every = self.choices("model", ModelConfig).values()  # another one may learn the task from other features
            best = self._suggest("features", FeaturesConfig, lambda each: learns(each, [model]))
            best = best or self._suggest("features", FeaturesConfig, lambda each: learns(each, every))
            raise ConfigurationError(fault + (best or self._suggest("features", FeaturesConfig, fits)))
        for name, encoder in features.by_input.items():
            place, columns = _encoder_path(name), columns_of(encoder, self.dataset.inputs)
            for key, value in self.references(encoder, "inputs"):
                if value not in columns:
                    reader, hint = encoder.class_name, nearest(str(value), columns)
                    msg = f"{place}.{key} names {value!r}, which is no column that {reader} reads; {hint}"
                    raise ConfigurationError(msg)
        known = [*self.dataset.inputs, *filter(None, [self.dataset.time]), *self.dataset.group]
        for key, value in self.references(features.framing, "columns") if features.framing else ():
            if value not in known:
                msg = f"features.framing.{key} names {value!r}, which is neither an input nor time or group of dataset"
                raise ConfigurationError(f"{msg} {self.dataset.name}; {nearest(str(value), known)}")
        self._check_scheduler(path, learner.scheduler)
        fault = self._model_fault(path, model, features)
        if fault:
            best = self._suggest("model", ModelConfig, lambda each: not self._model_fault(path, each, features))
            raise ConfigurationError(fault + best)
        if not has_method(model.target, "fit", self.project.root / "src"):  # an estimator fits itself
            for name, (phase, trains) in phase_learners(learner).items():
                fault = self._method_fault(phase.method, model)
                if fault:
                    best = self._suggest("method", MethodConfig, lambda each: not self._method_fault(each, model))
                    raise ConfigurationError((f"phase {name}: " if name else "") + fault + best)
                self._check_method_settings(phase.method)
                for part in trains:
                    if part not in model.parts:
                        msg = f"phases.{name}.trains names {part!r}, which is no part that {model.class_name} declares"
                        raise ConfigurationError(f"{msg}; {nearest(part, model.parts)}")

    def _check_scheduler(self, path: str, scheduler: Component) -> None:
        """Refuse a scheduler that lacks the arguments which training passes, as those of `torch.optim` do."""
        parameters = parameters_of(scheduler.target, self.own_source)
        lacking = [name for name in PASSED["scheduler"][1] if parameters is not None and name not in parameters]
        if lacking:
            raise ConfigurationError(
                f"scheduler {scheduler.target} of {path} has no parameter {lacking[0]}, which training passes; choose "
                f"scheduler={_either(self.project.choices('scheduler'))}, or wrap it in a function of your own"
            )

    def _features_fault(self, path: str, features: FeaturesConfig) -> str:
        faults = (self._encoder_fault(path, features, name) for name in features.by_input)
        if fault := next(filter(None, faults), ""):
            return fault
        names = " and ".join(each.class_name for each in features.by_input.values())
        what = f"encoder {names}" if path == "model" else f"encoder {names} of {path}"
        if features.examples != self.task.examples:
            return (
                f"{what} makes each {features.examples} an example, but task {self.task.kind} predicts from "
                f"each {self.task.examples}"
            )
        for key, augmentation in features.augment.items():
            if augmentation.takes and features.gives not in augmentation.takes:
                return (
                    f"features.augment.{key}: {augmentation.class_name} changes {_either(augmentation.takes)}, but "
                    f"{what} gives {features.gives}"
                )
        return ""

    def _encoder_fault(self, path: str, features: FeaturesConfig, name: str) -> str:
        encoder = features.by_input[name]
        what = f"encoder {encoder.class_name}" + ("" if path == "model" else f" of {path}")
        reads = encoder.reads or features.reads
        takes = f" of {_either(reads)}" if reads else ""
        columns = columns_of(encoder, self.dataset.inputs)
        if not columns:
            return (
                f"{what} takes one column{takes}, but dataset {self.dataset.name} has {len(self.dataset.inputs)} "
                f"inputs; name one in {_encoder_path(name)}.column"
            )
        for column in columns:
            if column not in self.dataset.inputs:
                known = nearest(column, self.dataset.inputs)
                return f"{what} reads column {column!r}, which is no input of dataset {self.dataset.name}; {known}"
            dtype = self.dataset.contract.columns[column].dtype
            if reads and dtype not in reads:
                return f"{what} takes columns{takes}, but {column!r} of dataset {self.dataset.name} is {dtype}"
        return ""

    def _model_fault(self, path: str, model: ModelConfig, features: FeaturesConfig) -> str:
        what = f"{path} {model.class_name}"
        if self.task.kind not in model.tasks:
            return f"{what} does not fit task {self.task.kind}: it is for {_either(model.tasks)}"
        if features.gives not in model.takes:
            return f"{what} takes {_either(model.takes)}, but its features give {features.gives}"
        read, predicted = features.columns(self.dataset.inputs), self.dataset.target_columns
        if model.continues_inputs and read != predicted:
            return (
                f"{what} predicts the columns that it reads ({some(read)}), but task {self.task.kind} predicts "
                f"{some(predicted)} of dataset {self.dataset.name}"
            )
        return ""

    def _method_fault(self, method: MethodConfig, model: ModelConfig) -> str:
        what = f"method {method.class_name}"
        if self.task.kind not in method.tasks:
            return f"{what} does not learn task {self.task.kind}: it is for {_either(method.tasks)}"
        lacking = [part for part in method.parts if part not in model.parts]
        if lacking:
            return f"{what} trains the {lacking[0]} of a network, which {model.class_name} does not declare to have"
        return ""

    def _check_method_settings(self, method: MethodConfig) -> None:
        """Refuse a setting that is for classes where values are predicted, or the reverse."""
        source = self.project.root / "src"
        of_classes = class_constant(self.task.target, "predicts_probabilities", source)
        foreign = class_constant(method.target, "for_values" if of_classes else "for_classes", source) or ()
        for key, value in method.arguments.items():
            if value in foreign or (key in foreign and value):
                what = f"is for {'values' if of_classes else 'classes'}, but task {self.task.kind} predicts none"
                raise ConfigurationError(f"method.{key}={value} {what}; leave it at its default")

    def references(self, component: Component, what: str) -> Iterator[tuple[str, Any]]:
        """Yield each value in the arguments of a component that names something of the data set, with its key."""
        types = parameters_of(component.target, self.own_source) or {}
        for key, given in component.arguments.items():
            if key in types and types[key].refers_to == what and types[key].accepts(given):
                values = given if isinstance(given, list | tuple) else [given]
                yield from ((key, value) for value in values if value is not None)

    def choices(self, group: str, schema: type[Part]) -> dict[str, Part]:
        """Return the parts in `conf/<group>/` that stand by themselves, by name."""
        files = {name: self.project.conf / group / f"{name}.yaml" for name in self.project.choices(group)}
        parts = {name: _read(file, schema, self.project.packages) for name, file in files.items()}
        return {name: part for name, part in parts.items() if part is not None}

    def _suggest(self, group: str, schema: type[Part], fits: Callable[[Part], bool]) -> str:
        """Return the end of a message that names the choices in `conf/<group>/` that would fit; empty without any."""
        found = [name for name, part in self.choices(group, schema).items() if fits(part)]
        return f"; choose {group}={_either(found[:SUGGESTED])}" if found else ""


def _encoder_path(name: str) -> str:
    """Return the key of an encoder in the plan, by the name of its input; empty where there is one."""
    return f"features.encoders.{name}" if name else "features.encoder"


def _check_slices(plan: Plan, fit: _Fit) -> None:
    """Refuse to repeat metrics, or to judge, by the values of a column that has none to group by."""
    named = [("evaluation.slices", name) for name in plan.evaluation.slices]
    for gate, component in plan.promotion.gates.items():
        named += [(f"promotion.gates.{gate}.{key}", name) for key, name in fit.references(component, "columns")]
    for key, name in named:
        column = plan.dataset.contract.columns.get(name)
        if column is None:
            fault = f"no such column; {nearest(name, plan.dataset.contract.columns)}"
        elif not class_constant(column_type_target(column.dtype), "groups", fit.own_source):
            fault = f"{column.dtype} cells there, which have no values to group rows by"
        else:
            continue
        raise ConfigurationError(f"{key} names {name!r}, but dataset {plan.dataset.name} has {fault}")


def _read(file: Path, schema: type[Part], trusted: tuple[str, ...]) -> Part | None:
    """Read a choice that stands by itself; None for one that is composed of others, or is invalid."""
    try:
        return schema.model_validate(yaml.safe_load(file.read_bytes()), context={"trusted": trusted})
    except (ValidationError, yaml.YAMLError, RecursionError):
        return None


def _either(names: Iterable[str]) -> str:
    return " or ".join(names) or "none, as its file declares none"
