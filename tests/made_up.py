"""Tables of rows that nobody has measured: drawn from what a data set's contract says, and from nothing else."""

import io
from math import isqrt
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from headframe.cells.images import encode_mask
from headframe.config.plan.data import ColumnContract, DatasetConfig
from headframe.datasets.schema import contract_schema

WORDS = ("free", "gold", "now", "call", "矿", "工", "学", "x1")
FIRST = np.datetime64("2020-01-01T00", "us")
MOST_ENTRIES = 3
"""Of lists, where their contract allows so few."""
SMALL, LARGE = 2**10, 2**20
"""Pixels of images, where their contract names no number or more than the second."""
MISSING = 0.1
"""Share of the cells that hold no value, where some may."""


def made_up(dataset: DatasetConfig, rows: int) -> pa.Table:
    """Draw a table that keeps a contract; the same each time."""
    random = np.random.default_rng(3)
    columns = dataset.contract.columns
    schema = contract_schema(columns)
    cells = [draw(promise, schema.field(name).type, rows, random) for name, promise in columns.items()]
    return pa.table(cells, schema=schema)


def draw(promise: ColumnContract, kind: pa.DataType, rows: int, random: np.random.Generator) -> pa.Array:
    """Draw the cells of a column, or the values of a field."""
    if promise.dtype == "tensor":
        assert promise.shape is not None
        values = _numbers(promise, kind.value_type, (rows, *promise.shape), random)
        return pa.FixedShapeTensorArray.from_numpy_ndarray(values.astype(kind.value_type.to_pandas_dtype()))
    cells = _cells(promise, kind, rows, random)
    if promise.nullable:
        cells = [None if missing else cell for cell, missing in zip(cells, random.random(rows) < MISSING, strict=True)]
    return pa.array(cells, kind)


def _cells(promise: ColumnContract, kind: pa.DataType, rows: int, random: np.random.Generator) -> list[Any]:
    if pa.types.is_list(kind):
        least = promise.min_length or 0
        most = least + MOST_ENTRIES if promise.max_length is None else min(promise.max_length, least + MOST_ENTRIES)
        sizes = random.integers(least, most + 1, rows)
        entries = _entries(promise, kind.value_type, int(sizes.sum()), random)
        ends = np.cumsum(sizes)
        return [entries[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    if promise.one_of is not None:
        return [promise.one_of[place] for place in random.integers(0, len(promise.one_of), rows)]
    if pa.types.is_boolean(kind):
        return (random.random(rows) < 0.5).tolist()
    if pa.types.is_timestamp(kind):
        return (FIRST + np.arange(rows) * np.timedelta64(1, "h")).tolist()
    if pa.types.is_binary(kind):
        # As many pixels as are allowed, since places in them may be, too; far fewer where images may be of any size.
        pixels = promise.max_pixels if (promise.max_pixels or LARGE) < LARGE else SMALL
        drawn = _mask if promise.dtype == "encoded_mask" else _image
        return [drawn(pixels, promise, random) for _ in range(rows)]
    if pa.types.is_string(kind):
        return _texts(promise, rows, random)
    return list(_numbers(promise, kind, (rows,), random).tolist())


def _entries(promise: ColumnContract, kind: pa.DataType, many: int, random: np.random.Generator) -> list[Any]:
    """Draw the entries of lists, one after the other."""
    if promise.fields is not None:
        drawn = {name: draw(each, kind.field(name).type, many, random) for name, each in promise.fields.items()}
        return pa.StructArray.from_arrays(list(drawn.values()), names=list(drawn)).to_pylist()
    if pa.types.is_string(kind):
        return [str(place) for place in random.integers(0, 12, many)]  # of the shipped expressions, each allows numbers
    return list(_numbers(promise, kind, (many,), random).tolist())


def _texts(promise: ColumnContract, rows: int, random: np.random.Generator) -> list[str]:
    least, most = promise.min_length or 0, promise.max_length
    texts = [" ".join(random.choice(WORDS, 3)).ljust(least, "x") for _ in range(rows)]
    if promise.unique:
        texts = [f"{place} {text}" for place, text in enumerate(texts)]
    return [text[:most] for text in texts]


def _numbers(promise: ColumnContract, kind: pa.DataType, shape: tuple[int, ...], random: np.random.Generator) -> Any:
    low = promise.min if promise.min is not None else 0
    high = promise.max if promise.max is not None else low + 9
    if pa.types.is_floating(kind):
        return random.uniform(low, high, shape)
    return random.integers(int(low), int(high) + 1, shape)


def _mask(pixels: int, promise: ColumnContract, random: np.random.Generator) -> bytes:
    """Draw a mask that is as large as the image of so many pixels."""
    unit = isqrt(pixels // 12)
    return encode_mask(random.integers(0, int(promise.max or 1) + 1, (3 * unit, 4 * unit), dtype=np.uint8))


def _image(pixels: int, promise: ColumnContract, random: np.random.Generator) -> bytes:
    """Draw a JPEG of four by three, as large as it may be: rough patches, so that it takes few bytes."""
    unit = isqrt(pixels // 12)
    image = Image.fromarray(random.integers(0, 256, (3, 4, 3)).astype(np.uint8)).resize((4 * unit, 3 * unit))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=70)
    return stream.getvalue()
