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
        (schedules.one_cycle, {"start": 0}),
        (schedules.one_cycle, {"warm_up": 1.0}),
        (schedules.cosine, {"end": 2}),
        (schedules.step_decay, {"every": 0}),
        (schedules.step_decay, {"factor": 1.5}),
    ],
)
def test_a_setting_out_of_range_is_refused(make, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        rates(make, 10, 2, **settings)


def test_every_shipped_optimizer_and_scheduler_can_be_built_stepped_and_restored(repository):
    for optimizer_name in repository.choices("optimizer"):
        for name in repository.choices("scheduler"):
            plan = load_plan([f"optimizer={optimizer_name}", f"scheduler={name}"], repository)
            states = []
            for _ in range(2):
                weight = torch.nn.Parameter(torch.ones(2))
                optimizer = build(plan.optimizer, [weight])
                schedule = build(plan.scheduler, optimizer, total_steps=10, steps_per_epoch=5)
                if states:
                    optimizer.load_state_dict(states[0][0])
                    schedule.load_state_dict(states[0][1])
                for _ in range(3):
                    weight.grad = torch.ones(2)
                    optimizer.step()
                    schedule.step()
                states.append((optimizer.state_dict(), schedule.state_dict(), schedule.get_last_lr()))
            if name != "constant":
                assert states[0][2] != states[1][2] or name == "step"
            assert states[1][1]["last_epoch"] == 6
