"""How many threads predictions compute with, in torch and in the libraries of scikit-learn alike."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


def limit_threads(number: int) -> None:
    """Let what the calling thread computes from now on use so many threads.

    OpenMP counts for each calling thread, so a worker calls this for itself. More threads than a small batch needs wait
    for each other: one row of ten small networks took 10 ms with two threads and 1.5 ms with one.
    """
    torch.set_num_threads(number)
    threadpool_limits(number)


@contextmanager
def limited_threads(number: int) -> Iterator[None]:
    """Let what is computed in the body of the statement use so many threads; their number changes the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)
