"""What a request may take: bytes, which follow from its rows and the model's columns, and threads."""

import ctypes
import os
from math import prod

import pyarrow as pa

from headframe.errors import ConfigurationError
from headframe.features.columns import is_text
from headframe.processes import cores

LONGEST = 2**20
"""Characters of one row or value that is parsed at once, unless rows of the model are longer."""

TEXT = 4096
"""Bytes of a text that are expected at most, on average over all rows of a full request."""

NESTED = 4 * TEXT
"""Bytes of a list that are expected at most, on average: a few hundred numbers, or a hundred boxes."""

IMAGE = 2**18
"""Bytes in base64 of an encoded image that are expected at most, on average; one may have four times as many."""

SCALAR = 64
"""Bytes of a number, time or truth value, and of a further column beside it."""

ENTRY, BRACKETS = 6, 4
"""Bytes of one of the small whole numbers of an array, and of the brackets around one where its last axis is 1."""

LEAST = 2**16
"""Bytes of a request that are always allowed."""


def row_bytes(schema: pa.Schema) -> int:
    """Return how many bytes of JSON or CSV one row takes at most, apart from texts that are unusually long."""
    size = 0
    for field in schema:
        if isinstance(field.type, pa.FixedShapeTensorType):
            cell = prod(field.type.shape) * (ENTRY + (BRACKETS if field.type.shape[-1] == 1 else 0))
        elif pa.types.is_binary(field.type):
            cell = IMAGE
        elif pa.types.is_nested(field.type):
            cell = NESTED
        elif is_text(field.type):
            cell = TEXT
        else:
            cell = SCALAR
        size += cell + len(field.name.encode()) + ENTRY  # a record repeats the name
    return size


def request_bytes(schema: pa.Schema, max_rows: int) -> int:
    """Return how many bytes the body of a request may have."""
    return LEAST + max_rows * row_bytes(schema)


def small_bytes(schema: pa.Schema) -> int:
    """Return up to how many bytes a request is small: its rows are few, so that others may wait for it."""
    return max(LEAST, 4 * row_bytes(schema))


def longest_value(schema: pa.Schema) -> int:
    """Return how many characters one row or value of a request may have."""
    return max(LONGEST, 4 * row_bytes(schema))


def release_memory() -> None:
    """Give what is free back to the system; glibc and Arrow otherwise keep what a large request has left."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)


def prepare_threads(number: int) -> None:
    """Prepare for computing a request with so many threads, before anything is imported that computes.

    A thread that waits for others sleeps. OpenMP's would otherwise keep its core busy for which, on a machine that does
    more, the others wait: with two threads one row took 737 ms in the median, and 5 ms with threads that sleep.

    Raises:
        ConfigurationError: there are fewer cores, so that threads would wait for each other.
    """
    if number > cores():
        msg = f"serving.threads is {number}, but this machine has {cores()} cores to compute with; set at most so many"
        raise ConfigurationError(msg)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
