"""Each schedule compared with its formula."""

import math

import pytest
import torch

from headframe.config.build import build
from headframe.config.load import load_plan
from headframe.training import schedules


def rates(make, total, per_epoch, **settings):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4, momentum=0.9)
    schedule = make(optimizer, total, per_epoch, **settings)
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_constant_keeps_the_rate():
    assert rates(schedules.constant, 5, 2) == [0.4] * 5


def test_step_multiplies_after_every_few_epochs():
    assert rates(schedules.step_decay, 8, 2, every=2, factor=0.5) == pytest.approx([0.4] * 4 + [0.2] * 4)


def test_cosine_rises_in_a_line_and_falls_along_half_a_cosine():
    found = rates(schedules.cosine, 20, 5, warm_up=0.2, end=0.1)
    assert found[:4] == pytest.approx([0.4 * share / 5 for share in (1, 2, 3, 4)])
    fall = [0.4 * (0.1 + 0.9 * (1 + math.cos(math.pi * step / 16)) / 2) for step in range(16)]
    assert found[4:] == pytest.approx(fall)


def test_one_cycle_meets_its_three_corners():
    found = rates(schedules.one_cycle, 101, 10, warm_up=0.3, start=0.1, end=0.01)
    assert found[0] == pytest.approx(0.04)
    assert max(found) == pytest.approx(0.4, rel=1e-2)
    assert found.index(max(found)) in (29, 30)
    assert found[-1] == pytest.approx(0.0004)


def test_a_training_of_one_step_has_a_schedule():
    for make in (schedules.constant, schedules.cosine, schedules.one_cycle, schedules.step_decay):
        assert len(rates(make, 1, 1)) == 1


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        *((schedules.one_cycle, {"warm_up": value}) for value in (-0.1, 1.0)),
        *((schedules.one_cycle, {name: value}) for name in ("start", "end") for value in (0, 1.1)),
        *((schedules.cosine, {"warm_up": value}) for value in (-0.1, 1.0)),
        *((schedules.cosine, {"end": value}) for value in (-0.1, 1.1)),
        (schedules.step_decay, {"every": 0}),
        *((schedules.step_decay, {"factor": value}) for value in (0, 1.1)),
    ],
)
def test_a_setting_out_of_range_is_refused(make, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        rates(make, 10, 2, **settings)


def momenta(total, **settings):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4, momentum=0.9)
    schedule = schedules.one_cycle(optimizer, total, 1, **settings)
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        schedule.step()
    return found


def test_one_cycle_moves_momentum_against_the_rate_unless_told_otherwise():
    assert momenta(11, momentum=False) == [0.9] * 11
    found = momenta(101, warm_up=0.3)
    assert (found[0], min(found), found[-1]) == pytest.approx((0.95, 0.85, 0.95), abs=1e-4)
    assert found.index(min(found)) in (29, 30)


def test_step_changes_after_an_epoch_and_not_a_step_sooner():
    assert rates(schedules.step_decay, 7, 3, factor=0.1) == pytest.approx([0.4] * 3 + [0.04] * 3 + [0.004])


def test_bounds_of_settings_are_allowed_where_the_formula_holds():
    assert rates(schedules.cosine, 4, 1, warm_up=0, end=0)[0] == 0.4
    assert rates(schedules.cosine, 3, 1, warm_up=0, end=1) == pytest.approx([0.4] * 3)
    assert rates(schedules.one_cycle, 5, 1, warm_up=0, start=1, end=1)[0] == pytest.approx(0.4, rel=0.2)
    assert rates(schedules.step_decay, 3, 1, factor=1) == [0.4] * 3


def trained(plan, steps, states=None):
    """Return the weight and the rate after some steps with equal gradients, and what continues from there."""
    weight = torch.nn.Parameter(torch.ones(2) if states is None else states[0].clone())
    optimizer = build(plan.optimizer, [weight])
    schedule = build(plan.scheduler, optimizer, total_steps=12, steps_per_epoch=2)
    if states is not None:
        optimizer.load_state_dict(states[1])
        schedule.load_state_dict(states[2])
    for _ in range(steps):
        weight.grad = torch.tensor([1.0, -2.0])
        optimizer.step()
        schedule.step()
    return weight.detach(), optimizer.state_dict(), schedule.state_dict()


def test_every_shipped_optimizer_and_scheduler_continues_where_it_was_stopped(repository):
    for optimizer in repository.choices("optimizer"):
        for scheduler in repository.choices("scheduler"):
            plan = load_plan([f"optimizer={optimizer}", f"scheduler={scheduler}"], repository)
            whole, stopped = trained(plan, 7), trained(plan, 3)
            again = trained(plan, 4, stopped)
            assert not torch.equal(stopped[0], whole[0])
            torch.testing.assert_close(again[0], whole[0], rtol=0, atol=0, msg=f"{optimizer}, {scheduler}")
            assert again[1]["param_groups"] == whole[1]["param_groups"], (optimizer, scheduler)
            assert again[2]["last_epoch"] == whole[2]["last_epoch"] == 7
            fixed = len({trained(plan, steps)[1]["param_groups"][0]["lr"] for steps in (0, 2, 11)}) == 1
            assert fixed is (scheduler == "constant"), scheduler
