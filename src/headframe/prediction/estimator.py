"""Files of estimators, without pickle: of scikit-learn in the format of skops, our own as JSON and arrays."""

import importlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from headframe.digests import canonical, load_json
from headframe.errors import ConfigurationError, DataError
from headframe.exhaustion import bounded_memory
from headframe.miners.base import Miner
from headframe.prediction.layout import ARRAYS, ESTIMATOR, MINER

TRUSTED = "sklearn."
"""The package whose classes an estimator file may name, besides the types that skops itself knows to be safe."""

MOST_UNPACKED = 200
"""Times the size of an archive; DEFLATE reaches about 1,000."""

ARCHIVE_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every file in an archive, so that equal estimators give equal bytes."""


def save_estimator(folder: Path, estimator: Any) -> None:
    """Write an estimator of either kind into the folder of a bundle; see `write_estimator`."""
    if not isinstance(estimator, Miner):
        write_estimator(folder / ESTIMATOR, estimator)
        return
    learned = estimator.state()
    arrays = {name: np.ascontiguousarray(each) for name, each in learned.items() if isinstance(each, np.ndarray)}
    safetensors.numpy.save_file(arrays, folder / ARRAYS)
    others = {name: each for name, each in learned.items() if name not in arrays}
    (folder / MINER).write_text(canonical(others), encoding="utf-8")


def restore_miner(folder: Path, miner: Miner) -> None:
    """Restore what `save_estimator` wrote of a miner of our own.

    Raises:
        DataError: a file is missing or cannot be read, or is of another miner.
    """
    try:
        miner.restore({**load_json((folder / MINER).read_bytes()), **safetensors.numpy.load_file(folder / ARRAYS)})
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise DataError(f"the files in {folder} are not those of a {type(miner).__name__}: {error}") from error


def write_estimator(path: Path, estimator: Any) -> None:
    """Save an estimator in skops' format with equal bytes for equal estimators.

    What skops writes itself carries memory addresses and the time of day.

    Raises:
        ConfigurationError: the estimator holds something of a package that `read_estimator` would refuse.
    """
    import skops.io  # noqa: PLC0415 - takes seconds with all of scikit-learn, and networks do without it

    raw = skops.io.dumps(estimator)
    foreign = _foreign(skops.io.get_untrusted_types(data=raw))
    if foreign:
        msg = f"{type(estimator).__name__} holds {foreign[0]}, which is not of scikit-learn and cannot be saved safely"
        raise ConfigurationError(msg)
    with zipfile.ZipFile(io.BytesIO(raw)) as original, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        schema, names = _renumbered(json.loads(original.read("schema.json")))
        contents = {name: original.read(old) for name, old in sorted(names.items())}
        for name, content in {**contents, "schema.json": json.dumps(schema).encode()}.items():
            entry = zipfile.ZipInfo(name, ARCHIVE_DATE)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)


def _renumbered(schema: Any) -> tuple[Any, dict[str, str]]:
    """Number objects in their order; also return the new name of each file with its old one.

    Simple values are counted one by one, since whether equal ones are one object in memory is chance.
    """
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}
    simple = 0

    def walk(node: Any) -> Any:
        nonlocal simple
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        fresh = dict(node)
        if "__id__" in node:
            if node["__loader__"] == "JsonNode":
                simple -= 1
                fresh["__id__"] = simple
            else:
                fresh["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        for key, value in node.items():
            if key == "file" and isinstance(value, str):
                stem, _, ending = value.partition(".")
                name = f"{numbers.setdefault(int(stem), len(numbers) + 1):06d}.{ending}"
                files[name] = value
                fresh[key] = name
            elif key != "__id__":
                fresh[key] = walk(value)
        return fresh

    return walk(schema), files


def read_estimator(path: Path, expected: type) -> Any:
    """Load what `write_estimator` saved.

    Args:
        path: the file.
        expected: the class of the estimator.

    Raises:
        DataError: the file is no estimator, holds one of another class, or names what is no class of scikit-learn, such
            as a function that loads a pickle.
    """
    import skops.io  # noqa: PLC0415 - see `write_estimator`

    try:
        _require_bounded(path)
        with bounded_memory(path):  # arrays in it may ask for any amount, and be archives themselves
            types = skops.io.get_untrusted_types(file=path)
            foreign = _foreign(types)
            if foreign:
                raise DataError(f"{path.name} names {foreign[0]}, which is no class of scikit-learn; it is not loaded")
            estimator = skops.io.load(path, trusted=types)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is no estimator that this version can read: {error}") from error
    if type(estimator) is not expected:
        raise DataError(f"{path.name} holds a {type(estimator).__name__}, but its model is a {expected.__name__}")
    return estimator


def _require_bounded(path: Path) -> None:
    """Raise a DataError for an archive that would unpack to much more than any estimator's does."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(
            entry.file_size for entry in archive.infolist()
        )  # `zipfile` reads no more than an entry declares
    if unpacked > MOST_UNPACKED * path.stat().st_size + 2**26:
        raise DataError(f"{path.name} would unpack to {unpacked:,} bytes, as no estimator does; it is not loaded")


def _foreign(types: list[str]) -> list[str]:
    """Return which names are no class that scikit-learn defines; skops would call them as if they were one."""
    return [name for name in types if not (name.startswith(TRUSTED) and _is_class(name))]


def _is_class(path: str) -> bool:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__.startswith(TRUSTED)
