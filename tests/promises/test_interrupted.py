"""Killed by SIGKILL at random steps and started again, every method ends with the bytes of an undisturbed training."""

import promises
import pytest
from choices import MANY_STEPS, choices, method_case, overrides_of, read, shortened

WITH_PHASES = [name for name in choices("experiment") if read("experiment", name).get("phases")]


def plan_of(tiny_project, name):
    """Return the plan of a training by a method, with many steps in an epoch."""
    task, model, kind = method_case(name)
    return tiny_project.plan(*overrides_of(kind, task, model), f"method={name}", *MANY_STEPS)


@pytest.mark.parametrize("name", choices("method"))
def test_every_method_goes_on_where_it_was_killed(tiny_project, name):
    promises.goes_on_where_it_was_killed(tiny_project, plan_of(tiny_project, name), 1)


def test_a_translation_goes_on_where_a_beam_search_was_killed(tiny_project):
    task, model, kind = method_case("sequence_generation")
    given = ["trainer.monitor=primary_metric", "method.translate_validation=true", "method.together=8", "method.beam=2"]
    plan = tiny_project.plan(*overrides_of(kind, task, model), *given, *MANY_STEPS)
    # Of the validation of the first epoch, of the second one, and of the final predictions.
    promises.ends_the_same_after(tiny_project, plan, ["search 3", "search 9", "search 9"])


@pytest.mark.slow
@pytest.mark.parametrize("name", choices("method"))
def test_every_method_goes_on_where_it_was_killed_five_times(tiny_project, name):
    plan = plan_of(tiny_project, name)
    promises.goes_on_where_it_was_killed(tiny_project, plan, 5)
    promises.ends_the_same_after(tiny_project, plan, ["validation 1", "epoch 1", "validation 2", "conclude"])


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_PHASES)
def test_every_experiment_of_phases_goes_on_where_it_was_killed_five_times(tiny_project, name):
    promises.goes_on_where_it_was_killed(tiny_project, tiny_project.plan(*shortened(name), *MANY_STEPS), 5)
