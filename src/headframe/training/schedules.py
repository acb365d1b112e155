"""Learning-rate schedules; each function takes an optimiser, the steps of the whole training and those of an epoch.

They are stepped once after each step of the optimiser, and the rate in the optimiser's YAML is the highest. A setting
outside its range raises ValueError.
"""

import math
from typing import Annotated

from pydantic import Field
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from headframe.config.ranges import Count, Fraction, Share


def constant(optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> LRScheduler:
    """Keep the rate of the optimiser."""
    del total_steps, steps_per_epoch
    return LambdaLR(optimizer, lambda _: 1.0)


def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    *,
    warm_up: Share = 0.3,
    start: Fraction = 0.04,
    end: Fraction = 1e-4,
    momentum: bool = True,
) -> LRScheduler:
    """Rise to the optimiser's rate and fall far below it, both along a cosine (Smith and Topin, arXiv:1708.07120).

    Args:
        optimizer: whose rate is changed.
        total_steps: of the whole training.
        steps_per_epoch: without effect.
        warm_up: share of all steps in which the rate rises, 0 to 1.
        start: first rate, as a share of the highest.
        end: last rate, as a share of the first.
        momentum: whether momentum falls to 0.85 and rises to 0.95 against the rate.
    """
    del steps_per_epoch
    if not (0 <= warm_up < 1 and 0 < start <= 1 and 0 < end <= 1):
        raise ValueError(f"warm_up={warm_up} lies in [0, 1), start={start} and end={end} in (0, 1]")
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        # One step has no phase to rise in; a schedule of two begins next to its highest rate.
        total_steps=max(total_steps, 2),
        pct_start=float(warm_up),  # torch refuses a whole number
        div_factor=1 / start,
        final_div_factor=1 / end,
        cycle_momentum=momentum,
    )


def cosine(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    *,
    warm_up: Share = 0.05,
    end: Annotated[float, Field(ge=0, le=1)] = 0.0,
) -> LRScheduler:
    """Rise in a straight line, then fall along half a cosine (Loshchilov and Hutter, arXiv:1608.03983, one cycle).

    Args:
        optimizer: whose rate is changed.
        total_steps: of the whole training.
        steps_per_epoch: without effect.
        warm_up: share of all steps in which the rate rises, 0 to 1.
        end: last rate, as a share of the highest, 0 to 1.
    """
    del steps_per_epoch
    if not (0 <= warm_up < 1 and 0 <= end <= 1):
        raise ValueError(f"warm_up={warm_up} lies in [0, 1) and end={end} in [0, 1]")
    rising = round(warm_up * total_steps)

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        progress = min(1.0, (step - rising) / max(1, total_steps - rising))
        return end + (1 - end) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, share)


def step_decay(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, *, every: Count = 1, factor: Fraction = 0.5
) -> LRScheduler:
    """Multiply the rate by `factor` after each `every` epochs; with every=1 this is exponential decay.

    Args:
        optimizer: whose rate is changed.
        total_steps: without effect.
        steps_per_epoch: of one epoch.
        every: epochs between two changes, 1 or more.
        factor: what remains of the rate, 0 to 1.
    """
    del total_steps
    if every < 1 or not 0 < factor <= 1:
        raise ValueError(f"every={every} is at least 1 epoch and factor={factor} lies in (0, 1]")
    return LambdaLR(optimizer, lambda step: factor ** (step // (every * steps_per_epoch)))
