"""What identifies a plan: values that differ from their default, and neither declarations nor the schema's source."""

import json
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from headframe.code_dependencies import DECLARATIONS, code_dependencies
from headframe.config.load import load_plan
from headframe.config.members import member_learners, with_member
from headframe.config.natural import natural_baselines
from headframe.config.plan.component import Component, narrow, targets
from headframe.config.plan.learner import LearnerConfig, TrainingJob
from headframe.config.plan.plan import Plan, fingerprint_of
from headframe.config.project import Project
from headframe.digests import Record, digest, digest_content, write_record
from headframe.evaluation.step import evaluate
from headframe.records import TableRecord, Trained
from headframe.registry.register import register
from headframe.stages import Stage
from headframe.training import PROGRAM
from headframe.training.fit import fit

REPOSITORY = Project(Path(__file__).resolve().parents[2])
EXPERIMENTS = REPOSITORY.choices("experiment")
DEFAULTS = Path(__file__).with_name("defaults.json")


@cache
def shipped(name: str) -> Plan:
    """The plan of a shipped experiment, composed once for all tests that read it."""
    return load_plan([f"experiment={name}"], REPOSITORY)


class Inner(Record):
    size: int = 3
    name: str


class Outer(Record):
    inner: Inner
    many: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = {}
    limit: float | None = None


def test_a_value_that_equals_its_default_is_as_if_it_were_absent_at_any_depth() -> None:
    explicit = Outer.model_validate({
        "inner": {"size": 3, "name": "a"}, "many": [{"size": 3, "name": "b"}],
        "by_name": {"c": {"size": 3, "name": "d"}}, "limit": None,
    })  # fmt: skip
    assert digest_content(explicit) == {
        "inner": {"name": "a"},
        "many": [{"name": "b"}],
        "by_name": {"c": {"name": "d"}},
    }
    absent = Outer.model_validate(digest_content(explicit))
    assert digest(absent) == digest(explicit)
    assert digest_content({"nested": [explicit]}) == {"nested": [digest_content(explicit)]}


def test_other_values_and_another_order_are_other_digests() -> None:
    first = Outer(inner=Inner(name="a"), many=(Inner(name="b"), Inner(name="c")))
    others = [
        first.model_copy(update={"many": first.many[::-1]}),
        first.model_copy(update={"limit": 0.0}),
        first.model_copy(update={"inner": Inner(name="a", size=4)}),
    ]
    assert len({digest(one) for one in (first, *others)}) == 4


def test_the_order_of_what_is_used_in_order_is_another_digest_and_no_other_order_is() -> None:
    plan = load_plan(["model=cnn_lstm_mean", "features=image_augmented"], REPOSITORY)
    learner, model, augment = plan.learner, plan.model, plan.features.augment
    more = {**augment, "noise": next(iter(augment.values()))}
    orders: list[dict[str, Any]] = [
        {"model": model.model_copy(update={"members": order})} for order in both_ways(model.members)
    ]  # whose place decides the seeds of copies
    orders += [{"features": plan.features.model_copy(update={"augment": order})} for order in both_ways(more)]
    for one, other in zip(orders[::2], orders[1::2], strict=True):
        digests = [digest(learner.model_copy(update=each)) for each in (one, other)]
        assert digests[0] != digests[1], list(one)
    contract = plan.dataset.contract
    for order in both_ways(contract.columns):
        assert digest(contract.model_copy(update={"columns": order})) == digest(contract)


def both_ways(mapping: dict[str, Any]) -> list[dict[str, Any]]:
    """The mapping in its order, and in the reverse."""
    assert len(mapping) > 1
    return [mapping, dict(reversed(mapping.items()))]


def test_arguments_of_a_target_stay_as_they_are_given() -> None:
    """Their defaults are the target's own, which the configuration does not know."""
    target = {"_target_": "headframe.models.linear.Linear"}
    bare, given = (Component.model_validate({**target, **more}) for more in ({}, {"dropout": None}))
    assert digest_content(given) == {**target, "dropout": None}
    assert digest(bare) != digest(given)


def with_new_fields(schema: type[BaseModel], seen: dict[type, type]) -> type[BaseModel]:
    """Return a schema that has one more field with a default, in all of its parts."""
    if schema not in seen:
        fields: dict[str, Any] = {"added_later": (int | None, None)}
        for name, field in schema.model_fields.items():
            annotation, later = _with_new_fields(field, seen), copy(field)
            if isinstance(field.default, BaseModel):
                later.default = annotation.model_validate(field.default.model_dump(mode="json", by_alias=True))
            fields[name] = (annotation, later)
        seen[schema] = create_model(f"{schema.__name__}Later", __base__=schema, **fields)
    return seen[schema]


def _with_new_fields(field: FieldInfo, seen: dict[type, type]) -> Any:
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return with_new_fields(annotation, seen)
    return annotation


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_new_field_with_a_default_changes_no_identity(name: str) -> None:
    plan = shipped(name)
    later: Any = with_new_fields(Plan, {}).model_validate(plan.model_dump(mode="json"))
    assert later.added_later is None
    assert later.dataset.added_later is None
    assert (later.version.fingerprint, later.fingerprint) == (plan.version.fingerprint, plan.fingerprint)
    assert digest(later.learner) == digest(plan.learner)
    assert digest(later.dataset.training_data) == digest(plan.dataset.training_data)


@pytest.mark.parametrize("name", ["digits_ensemble", "etth1_lstm"])
def test_a_new_field_of_a_learner_reaches_all_members_and_changes_no_identity(name: str) -> None:
    learner = shipped(name).learner
    later = narrow(learner, with_new_fields(LearnerConfig, {}))
    members, known = member_learners(later), member_learners(learner)
    assert list(map(digest, members.values())) == list(map(digest, known.values()))
    changed: Any = member_learners(later.model_copy(update={"added_later": 3}))
    assert [each.added_later for each in changed.values()] == [3] * len(known)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_new_kind_among_those_that_a_file_declares_changes_no_identity(name: str) -> None:
    plan = shipped(name)

    def declare_more(node: Any) -> Any:
        if isinstance(node, dict):
            grown = {key: declare_more(inner) for key, inner in node.items()}
            declared = {"tasks", "takes", "reads"} | ({"parts"} if "tasks" in node else set())
            return {key: [*inner, "later"] if key in declared else inner for key, inner in grown.items()}
        return node

    later = Plan.model_validate(declare_more(plan.model_dump(mode="json")))
    assert later.fingerprint != plan.fingerprint
    assert later.version.fingerprint == plan.version.fingerprint
    assert digest(later.version.learner) == digest(plan.version.learner)


@pytest.mark.parametrize(
    "module", ["headframe.training.__main__", "headframe.evaluation.step", "headframe.registry.register"]
)
def test_the_source_of_the_schema_is_no_part_of_a_result(module: str) -> None:
    code = code_dependencies([module], Path("none")).code
    assert "headframe.config.members" in code
    assert [name for name in code if name.startswith(DECLARATIONS)] == []


def test_a_type_of_column_counts_for_the_data_sets_that_have_it() -> None:
    def types(name: str) -> set[str]:
        found = targets(digest_content(load_plan([f"dataset={name}"], REPOSITORY, fitting=False).dataset))
        return {path.rpartition(".")[2] for path in found if ".column_types." in path}

    assert types("digits") == {"Int", "Tensor"}
    assert types("etth1") == {"Float", "Timestamp"}
    assert not any(
        "column_types.tensor" in name for name in code_dependencies(["headframe.datasets.table"], Path()).code
    )


def parts(schema: type[BaseModel], found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Collect the defaults of all parts of a schema, by class and field."""

    def classes(annotation: Any) -> list[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return [annotation]
        return [one for inner in get_args(annotation) for one in classes(inner)]

    if schema.__name__ not in found:
        own = found.setdefault(schema.__name__, {})
        for name, field in schema.model_fields.items():
            if not field.is_required():
                own[name] = digest_content(field.default)
            for inner in classes(field.annotation):
                parts(inner, found)
    return found


def test_no_default_has_changed() -> None:
    """Digests leave defaults out, so a changed default would give unequal plans one digest.

    A new field adds a line to `defaults.json`; an existing line never changes. Another value belongs in `conf/`.
    """
    found: dict[str, dict[str, Any]] = {}
    for schema in (LearnerConfig, TrainingJob, Plan):
        parts(schema, found)
    assert found == json.loads(DEFAULTS.read_text(encoding="utf-8"))


def step_keys(plan: Any, schema: type[LearnerConfig] = LearnerConfig) -> dict[str, str]:
    """The keys of the steps that fit, evaluate and register a plan, on some table."""
    version, zeros = plan.version, "0" * 64
    learner = narrow(version, schema)
    table = TableRecord(dataset=plan.dataset.name, folder="data/x", digest=zeros, rows=1, rejected=0)
    trained = Trained(folder="x", bundle=zeros, predictions=zeros, epochs=1, parameters=1)
    given = {"plan": version, "table": table, "trained": trained}
    job = version.training_job(zeros)
    learners = {"fit": learner}
    if version.baseline is not None:
        learners["fit-baseline"] = with_member(learner, version.baseline)
    keys = {
        name: Stage(fit, name, program=PROGRAM).key(
            REPOSITORY.root, {"job": job.with_learner(learner), "device": "cpu"}
        )
        for name, learner in learners.items()
    }
    natural = natural_baselines(version.task, REPOSITORY.root / "src")
    keys["evaluate"] = Stage(evaluate).key(REPOSITORY.root, {**given, "baseline": None, "natural": natural})
    keys["register"] = Stage(register).key(REPOSITORY.root, {**given, "team": plan.team})
    return keys


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_after_a_new_field_nothing_is_fitted_or_registered_again(name: str) -> None:
    plan = shipped(name)
    later = with_new_fields(Plan, {}).model_validate(plan.model_dump(mode="json"))
    assert step_keys(later, with_new_fields(LearnerConfig, {})) == step_keys(plan)
    assert step_keys(plan.model_copy(update={"seed": plan.seed + 1})) != step_keys(plan)


def test_a_stored_plan_has_the_fingerprint_that_it_was_stored_under(tmp_path: Path) -> None:
    plan = shipped("etth1_lstm").version
    write_record(tmp_path / "plan.json", plan)
    stored = json.loads((tmp_path / "plan.json").read_bytes())
    assert fingerprint_of(stored) == plan.fingerprint
    del stored["evaluation"]["resamples"]  # as before there was such a field
    assert fingerprint_of(stored) == plan.fingerprint
    assert fingerprint_of({**stored, "seed": 4}) != plan.fingerprint
    assert fingerprint_of({"no": "plan"}) == digest({"no": "plan"})


@pytest.mark.parametrize("name", ["digits_ensemble", "etth1_lstm"])
def test_a_training_job_holds_what_the_program_needs_and_survives_its_file(name: str, tmp_path: Path) -> None:
    version = shipped(name).version
    job = version.training_job("0" * 64)
    assert (job.learner, job.task, job.dataset) == (version.learner, version.task, version.dataset.training_data)
    write_record(tmp_path / "job.json", job)
    assert TrainingJob.model_validate_json((tmp_path / "job.json").read_bytes()) == job
