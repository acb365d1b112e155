"""Which learners an ensemble consists of. This source counts as code that decides weights, unlike the schema's."""

from collections.abc import Iterator
from typing import Any

from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.model import AnyModel, EnsembleConfig, MemberConfig
from headframe.config.plan.trainer import MethodConfig, TrainerConfig

SEED_BASE = 7919
"""A prime, larger than any number of copies that is trained."""


def with_member(
    learner: LearnerConfig, member: MemberConfig, *, seed_offset: int = 0, bootstrap: bool = False
) -> LearnerConfig:
    """Return the learner of one member: the given one's settings where the member names none.

    Args:
        learner: of the ensemble, or of a plan that has a baseline.
        member: what differs.
        seed_offset: added to the learner's seed, modulo 2**31.
        bootstrap: whether it draws its training rows with replacement, as it does in any case where the learner does.
    """
    # Parts that were checked once are not checked again: only loading knows the project's own packages.
    return learner.model_copy(
        update={
            "seed": (learner.seed + seed_offset) % 2**31,
            "model": member.model,
            "features": member.features or learner.features,
            "method": member.method or learner.method,
            "optimizer": member.optimizer or learner.optimizer,
            "scheduler": member.scheduler or learner.scheduler,
            "trainer": _changed(learner.trainer, member.trainer),
            "phases": learner.phases if member.phases is None else member.phases,
            "bootstrap": learner.bootstrap or bootstrap,
        }
    )


def member_learners(learner: LearnerConfig) -> dict[str, LearnerConfig]:
    """Return the learners of an ensemble by name, in order; empty where the model is no ensemble.

    Copy 0 keeps the seed, so a member trains to the weights it would reach alone. The other copies of all members
    are numbered consecutively, and the number becomes one digit of the distance to the plan's seed, in the number
    system of base 7919: the last digit in an ensemble of plain models, the one before it in an ensemble of those.
    So no two copies of a nested ensemble come to the same seed.
    """
    model = learner.model
    if not isinstance(model, EnsembleConfig):
        return {}
    digit = SEED_BASE ** _height(model)
    return {
        f"{name}-{copy}" if model.copies > 1 else name: with_member(
            learner,
            member,
            seed_offset=digit * ((copy - 1) * len(model.members) + position + 1) if copy else 0,
            bootstrap=model.bootstrap,
        )
        for position, (name, member) in enumerate(model.members.items())
        for copy in range(model.copies)
    }


def phase_learners(learner: LearnerConfig) -> dict[str, tuple[LearnerConfig, tuple[str, ...]]]:
    """Return the phases of a network's training by name: their settings, and the parts that change; none: all.

    The first draws from the learner's seed, and the others from seeds of their own.
    """
    if not learner.phases:
        return {"": (learner, ())}
    return {
        name: (
            learner.model_copy(
                update={
                    "seed": (learner.seed + number * SEED_BASE**2) % 2**31,
                    "method": phase.method or learner.method,
                    "optimizer": phase.optimizer or learner.optimizer,
                    "scheduler": phase.scheduler or learner.scheduler,
                    "trainer": _changed(learner.trainer, phase.trainer),
                }
            ),
            phase.trains,
        )
        for number, (name, phase) in enumerate(learner.phases.items())
    }


def final_method(learner: LearnerConfig) -> MethodConfig:
    """Return the method of the last phase, which turns what the network computes into predictions."""
    return [*phase_learners(learner).values()][-1][0].method


def _changed(trainer: TrainerConfig, changes: dict[str, Any]) -> TrainerConfig:
    return type(trainer).model_validate({**trainer.model_dump(), **changes})


def single_learners(learner: LearnerConfig, path: str) -> Iterator[tuple[str, LearnerConfig]]:
    """Yield each learner that is no ensemble, its copies once, with the key of its model in the plan, under `path`."""
    if not isinstance(learner.model, EnsembleConfig):
        yield path, learner
        return
    for name, member in learner.model.members.items():
        yield from single_learners(with_member(learner, member), f"{path}.members.{name}")


def _height(model: AnyModel) -> int:
    """Return how many levels of ensembles a model has; 0 where it is none."""
    if not isinstance(model, EnsembleConfig):
        return 0
    return 1 + max(_height(member.model) for member in model.members.values())
