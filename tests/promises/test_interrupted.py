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


@pytest.mark.slow
@pytest.mark.parametrize("name", choices("method"))
def test_every_method_goes_on_where_it_was_killed_five_times(tiny_project, name):
    promises.goes_on_where_it_was_killed(tiny_project, plan_of(tiny_project, name), 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_PHASES)
def test_every_experiment_of_phases_goes_on_where_it_was_killed_five_times(tiny_project, name):
    promises.goes_on_where_it_was_killed(tiny_project, tiny_project.plan(*shortened(name), *MANY_STEPS), 5)
