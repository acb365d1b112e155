"""Stored results of steps: what was computed from the same inputs by the same code is not computed again.

A step is a plain function that takes records and parts of the plan and returns a record. Its key is the sha256 of its
name, its arguments, and the source code that it reaches with the versions of the libraries which this code imports
(`headframe.code_dependencies`). Its folder `.headframe/stages/<name>/<key>/` survives a kill, so the function finds
there what it had done; `record.json` is written last, atomically, and marks the step as finished. It is sealed, and
holds the sha256 of each file: a step whose record or files were changed since is named and made again, never believed.
"""

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from headframe.checked_files import holds
from headframe.code_dependencies import code_dependencies
from headframe.config.plan.component import targets
from headframe.config.plan.data import DatasetConfig
from headframe.config.plan.plan import Plan
from headframe.config.project import Project
from headframe.config.targets.find_definition import scheme_module
from headframe.digests import (
    Record,
    canonical,
    digest,
    digest_content,
    file_digest,
    file_digests,
    load_json,
    validation_message,
    write_atomically,
)
from headframe.errors import HeadframeError
from headframe.locks import file_lock
from headframe.places import Places
from headframe.seals import OtherKey, require_seal, seal
from headframe.signing.keys import own_key, own_keys

R = TypeVar("R", bound=Record)

RECORD = "record.json"

log = logging.getLogger("headframe")


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
            stored = self._stored(folder, key)
            if stored is not None and self._is_valid(stored, arguments):
                return Finished(stored, key, reused=True)
            (folder / RECORD).unlink(missing_ok=True)
            record = self.function(**{**arguments, "places": places.of_step(folder)})
            # Where no key can be created, as in a read-only home, the seal is a checksum: it stops damage, not people.
            with suppress(HeadframeError, OSError):
                _ = own_keys() or own_key()
            content: dict[str, Any] = {"record": record.model_dump(mode="json"), "files": file_digests(folder)}
            content["seal"] = seal(self._sealed(key, content))
            write_atomically(folder / RECORD, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return Finished(record, key, reused=False)

    def is_stored(self, arguments: Mapping[str, Any]) -> bool:
        """Return whether the step has finished with these arguments, whether or not its result is still valid."""
        root = arguments["places"].root
        key = self.key(root, arguments)
        return self._stored(self._folder(root, key), key) is not None

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

    def _sealed(self, key: str, content: Mapping[str, Any]) -> bytes:
        """Return what the seal of a record is about: its content, and the step whose result it is."""
        return canonical([self.name, key, content["record"], content["files"]]).encode()

    def _stored(self, folder: Path, key: str) -> R | None:
        """Read the record of a finished step; None where there is none, or it or a file was changed since."""
        try:
            content = load_json((folder / RECORD).read_text(encoding="utf-8"))
            require_seal(self._sealed(key, content), str(content["seal"]))
            record_type: type[R] = get_type_hints(self.function)["return"]
            record = record_type.model_validate(content["record"])
        except FileNotFoundError:
            return None
        except OtherKey as error:
            log.warning("%-12s is made again: %s", self.name, error)
            return None
        except (ValueError, KeyError, TypeError) as error:
            self._report(folder / RECORD, "is not what this step wrote", validation_message(error))
            return None
        expected: dict[str, str] = content["files"]
        try:
            about = [(folder / name).stat() for name in expected]
            found: dict[str, str] = {}

            def check() -> bool:
                found.update({name: file_digest(folder / name) for name in expected})
                return found == expected

            if holds(content["seal"], about, check):
                return record
        except (FileNotFoundError, NotADirectoryError) as error:
            self._report(Path(error.filename), "is missing")
            return None
        changed = next(name for name in expected if found[name] != expected[name])
        self._report(folder / changed, "is not what this step wrote", f"sha256 {found[changed][:12]}")
        return None

    def _report(self, file: Path, what: str, why: str = "") -> None:
        detail = f" ({why})" if why else ""
        log.warning("%-12s %s %s%s; the step is made again", self.name, file, what, detail)
