"""Random numbers that depend on where training stands and never on how it got there.

Every draw is a function of the plan's seed and a counter (epoch, step), so that a run that was killed and started
again draws what it would have drawn, without any saved generator state.
"""

import hashlib

import numpy as np

_ORDER, _BOOTSTRAP = 1, 2


def seed_of(seed: int, purpose: str, *counter: int) -> int:
    """Compute a seed, 0 to 2**63 - 1, for one purpose at one place, such as (step, rank)."""
    where = f"{seed}/{purpose}/{'/'.join(map(str, counter))}"
    return int.from_bytes(hashlib.blake2b(where.encode(), digest_size=8).digest(), "little") >> 1


def order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Shuffle 0 ... examples - 1 for one epoch; int64 (examples,)."""
    return _generator(seed, _ORDER, epoch).permutation(examples)


def with_replacement(seed: int, examples: int) -> np.ndarray:
    """Draw a bootstrap sample of as many numbers below `examples`; int64 (examples,) in ascending order.

    Source: Breiman, Bagging predictors, 1996, https://doi.org/10.1007/BF00058655.
    """
    return np.sort(_generator(seed, _BOOTSTRAP, 0).integers(0, examples, examples))


def _generator(seed: int, purpose: int, counter: int) -> np.random.Generator:
    # The upper word of Philox's counter is ours; its own draws move the lower ones.
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=[0, 0, 0, counter]))
