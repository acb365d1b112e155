"""Stored results of steps: what was computed from the same inputs by the same code is not computed again.

A step is a plain function that takes records and parts of the plan and returns a record. Its key is the sha256 of its
name, its arguments, and the source code that it reaches with the versions of the libraries which this code imports
(`headframe.code_dependencies`). Its folder `.headframe/stages/<name>/<key>/` survives a kill, so the function finds
there what it had done; `record.json` is written last, atomically, and marks the step as finished.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from headframe.code_dependencies import code_dependencies
from headframe.config.plan.component import targets
from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.config.targets.find_definition import scheme_module
from headframe.digests import Record, digest, digest_content, load_json, write_atomically
from headframe.locks import file_lock
from headframe.places import Places

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Finished(Generic[R]):
    """A record, and whether it was stored before."""

    record: R
    key: str
    reused: bool


@dataclass(frozen=True)
class Stage(Generic[R]):
    """A step function with what decides whether its stored results are reused.

    Attributes:
        function: takes JSON values, records and parts of a plan, and `places`.
        name: of the step; without one the function's.
        valid: called before a stored record is reused, with the record and those of the step's arguments that it names;
            False computes the step again.
        program: module that the function starts as a process, whose code therefore counts as well.
    """

    function: Callable[..., R]
    name: str = ""
    valid: Callable[..., bool] | None = None
    program: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.function.__name__.replace("_", "-"))

    def key(self, root: Path, arguments: Mapping[str, Any]) -> str:
        """Compute the digest of what decides the result of calling the function with `arguments`.

        Raises:
            TypeError: an argument is a whole plan, or a path, which belongs into the places.
        """
        values = {name: self._value(name, value) for name, value in arguments.items() if not isinstance(value, Places)}
        modules = [self.function.__module__, *(target.rpartition(".")[0] for target in targets(values))]
        datasets = [value for value in arguments.values() if isinstance(value, DatasetConfig)]
        modules += [scheme_module(source.uri) for dataset in datasets for source in dataset.sources.values()]
        if self.program is not None:
            modules.append(self.program)
        code = code_dependencies(modules, root / "src").model_dump()
        return digest({"step": self.name, "arguments": values, "code": code})

    def run(self, arguments: Mapping[str, Any]) -> Finished[R]:
        """Return the stored record, or call the function and store what it returns.

        Two processes that run the same step at once compute it once: the second waits and reuses.
        """
        places: Places = arguments["places"]
        key = self.key(places.root, arguments)
        folder = self._folder(places.root, key)
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(
            folder.with_name(f"{folder.name}.lock"), f"{self.name:12} is running in another process; waiting for it"
        ):
            stored = self._stored(folder)
            if stored is not None and self._is_valid(stored, arguments):
                return Finished(stored, key, reused=True)
            (folder / "record.json").unlink(missing_ok=True)
            record = self.function(**{**arguments, "places": places.of_step(folder)})
            content = {"record": record.model_dump(mode="json"), "files": _sizes(folder)}
            write_atomically(folder / "record.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return Finished(record, key, reused=False)

    def is_stored(self, arguments: Mapping[str, Any]) -> bool:
        """Return whether the step has finished with these arguments, whether or not its result is still valid."""
        root = arguments["places"].root
        return self._stored(self._folder(root, self.key(root, arguments))) is not None

    def _folder(self, root: Path, key: str) -> Path:
        return Project(root).stages / self.name / key[:16]

    def _value(self, name: str, value: Any) -> Any:
        """Return an argument as JSON; what it contains is checked like itself."""
        if isinstance(value, Mapping):
            return {str(key): self._value(f"{name}.{key}", inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(f"{name}[{index}]", inner) for index, inner in enumerate(value)]
        if isinstance(value, Plan | Path):
            what = "a whole plan" if isinstance(value, Plan) else f"the path {value}"
            advice = "the parts of it that the step uses" if isinstance(value, Plan) else "it within `places`"
            raise TypeError(f"step {self.name} was given {what} as {name!r}; pass {advice}")
        return digest_content(value)

    def _is_valid(self, record: R, arguments: Mapping[str, Any]) -> bool:
        if self.valid is None:
            return True
        _, *names = inspect.signature(self.valid).parameters
        return self.valid(record, **{name: arguments[name] for name in names})

    def _stored(self, folder: Path) -> R | None:
        """Read the record of a finished step whose files are all still there."""
        try:
            content = load_json((folder / "record.json").read_text(encoding="utf-8"))
            record_type: type[R] = get_type_hints(self.function)["return"]
            record = record_type.model_validate(content["record"])
            expected = dict(content["files"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # gone, or not what was written: computed again
            return None
        files = {name: (folder / name).stat().st_size for name in expected if (folder / name).is_file()}
        return record if files == expected else None


def _sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of a step's files; hidden ones, or in hidden folders, are temporary or differ in equal runs."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name.as_posix(): path.stat().st_size
        for name, path in files.items()
        if not any(part.startswith(".") for part in name.parts)
    }
