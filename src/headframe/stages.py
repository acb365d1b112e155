"""Finished stages, kept by digest: what was done for the same inputs and the same code is not done again.

A stage is a plain function that returns a record. Its key is the sha256 of what decides its result: its
name, the arguments that are data, and the source code that it reaches with the versions of the libraries
that this code imports (`headframe.code_dependencies`). Its folder `.headframe/stages/<name>/<key>/` outlives a kill,
so the function finds there what it had done; `record.json` appears in it last, atomically, and says that
the stage is finished.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from filelock import FileLock, Timeout

from headframe.code_dependencies import code_dependencies
from headframe.config.plan.component import targets
from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.plan import Plan
from headframe.config.targets.schemes import scheme_module
from headframe.digests import Record, digest, digest_content, write_atomically

R = TypeVar("R", bound=Record)

log = logging.getLogger("headframe")

PLACES = ("uri", "mirror")
"""Arguments that say where something is, not what it is."""


@dataclass(frozen=True)
class Finished(Generic[R]):
    """A record, and whether it was already there."""

    record: R
    key: str
    reused: bool


@dataclass(frozen=True)
class Stage(Generic[R]):
    """One call of a stage function.

    Attributes:
        function: takes JSON values, records, a plan, `PLACES`, and of `root` and `folder` what it wants by name.
        on: the parts of the plan that decide the result, and the kind of device where that does. Plans handed over as
            arguments, paths and addresses are no part of a key: the first would repeat training when a port changes,
            the others differ between machines.
        valid: asked before a kept record is reused, with the record; False does the stage again.
        program: module that the function starts as a process of its own, whose code therefore counts as well.
    """

    function: Callable[..., R]
    on: tuple[Any, ...] = ()
    valid: Callable[[R], bool] | None = None
    program: str | None = None

    @property
    def name(self) -> str:
        """The function's name, as a person reads it."""
        return self.function.__name__.replace("_", "-")

    def key(self, root: Path, arguments: Mapping[str, Any]) -> str:
        """Digest what decides the result of calling the function with `arguments`."""
        data = {
            name: digest_content(value)
            for name, value in arguments.items()
            if name not in PLACES and not isinstance(value, Plan | Path)
        }
        parts = [digest_content(part) for part in self.on]
        modules = [self.function.__module__, *(target.rpartition(".")[0] for target in targets([data, parts]))]
        datasets = [value for value in (*arguments.values(), *self.on) if isinstance(value, DatasetConfig)]
        modules += [scheme_module(source.uri) for dataset in datasets for source in dataset.sources.values()]
        if self.program is not None:
            modules.append(self.program)
        reached = code_dependencies(modules, root / "src").model_dump()
        return digest({"stage": self.name, "arguments": data, "on": parts, "reach": reached})

    def run(self, root: Path, arguments: Mapping[str, Any]) -> Finished[R]:
        """Give the kept record, or call the function and keep what it gives.

        Two processes that ask for the same stage at once do it once: the second waits and reuses.
        """
        key = self.key(root, arguments)
        folder = root / ".headframe" / "stages" / self.name / key[:16]
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f"{folder.name}.lock"), self.name):
            kept = self._kept(folder)
            if kept is not None and (self.valid is None or self.valid(kept)):
                return Finished(kept, key, reused=True)
            (folder / "record.json").unlink(missing_ok=True)
            wanted = inspect.signature(self.function).parameters
            places = {name: place for name, place in (("root", root), ("folder", folder)) if name in wanted}
            record = self.function(**arguments, **places)
            content = {"record": record.model_dump(mode="json"), "files": _sizes(folder)}
            write_atomically(folder / "record.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return Finished(record, key, reused=False)

    def _kept(self, folder: Path) -> R | None:
        """Read the record of a finished stage whose files are all still there."""
        try:
            content = json.loads((folder / "record.json").read_text(encoding="utf-8"))
            record_type: type[R] = get_type_hints(self.function)["return"]
            record = record_type.model_validate(content["record"])
            promised = dict(content["files"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # gone, or not what was written: done again
            return None
        files = {name: (folder / name).stat().st_size for name in promised if (folder / name).is_file()}
        return record if files == promised else None


@contextmanager
def _alone(file: Path, name: str) -> Iterator[None]:
    """Hold a stage's lock; say so before waiting for whoever has it."""
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("%-9s is being done by another run; waiting for it", name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sizes(folder: Path) -> dict[str, int]:
    """Measure what a stage left; hidden files are passing, or differ between equal runs."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
