"""What decides a result besides data and settings: the code that is reached, its libraries, the kind of machine."""

import ast
import importlib.util
import platform
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from headframe.config.members import member_learners
from headframe.config.plan.learner import LearnerConfig
from headframe.config.targets.find_definition import module_file, parse
from headframe.digests import Record, file_digest
from headframe.gpu import gpu

DECLARATIONS = "headframe.config.plan."
"""The schema of a plan. Its source does not count: what it declares decides by its values only, which every identity
holds, and a new field with a default changes none. `tests/config/test_identity.py` keeps the defaults as they are."""

TEMPLATES = (".jinja", ".html", ".md", ".css")

BENEATH = ("numpy", "scipy")
"""Distributions that compute under those which code imports, so that their version counts for everything."""


@lru_cache(maxsize=512)
def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution, remembered: its whole metadata, page included, is parsed."""
    return metadata.version(distribution)


class CodeDependencies(Record):
    """What a result depends on besides its inputs; equal where equal inputs give an equal result."""

    code: dict[str, str]  # sha256 of each module and template of Headframe's or the project's own
    libraries: dict[str, str]  # version of each distribution that this code imports from
    python: str
    machine: str  # kind of processor


def code_dependencies(modules: Iterable[str], own_source: Path) -> CodeDependencies:
    """Follow imports from `modules` through Headframe's and the project's own source files.

    Imports are read from the source, function-level ones included, so that nothing heavy is imported. What lies
    elsewhere is known by the version of the distribution that it comes with. Nothing is remembered that a change of
    a file would make wrong, since a sweep of plans may run for days.

    Raises:
        ConfigurationError: a file of the project's own is no Python.
    """
    own = [*own_source.iterdir()] if own_source.is_dir() else []
    single = {path.stem: path for path in own if path.suffix == ".py"}
    tops = {"headframe", *single, *(path.name for path in own)}
    code: dict[str, str] = {}
    foreign: set[str] = set()
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        top, _, rest = module.partition(".")
        if top not in tops:
            foreign.add(top)
            continue
        if module.startswith(DECLARATIONS):
            continue
        if rest:
            waiting.append(module.rpartition(".")[0])  # whose __init__ is run first
        file = single.get(module) or module_file(module, own_source)
        if file is not None:
            code[module] = file_digest(file)
            code |= _templates(module, file)
            package = module if file.name == "__init__.py" else module.rpartition(".")[0]
            waiting.extend(_imports(file, package, code[module]))
    provided = _distributions()
    libraries = {*BENEATH, *(name for top in foreign for name in provided.get(top, ()))}
    return CodeDependencies(
        code=code,
        libraries={name: installed_version(name) for name in libraries},
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        machine=platform.machine(),
    )


def device_of(learner: LearnerConfig) -> str:
    """Return the kind of device that a learner is trained on: `cpu`, or a GPU's own name.

    A project's own estimators count as networks here, since only importing torch could show otherwise.
    """
    members = member_learners(learner).values()
    if members:
        return next((device for device in map(device_of, members) if device != "cpu"), "cpu")
    alone = learner.trainer.accelerator == "cpu" or learner.model.target.startswith("sklearn.")
    if alone or installed_version("torch").endswith("+cpu"):
        return "cpu"
    return gpu() or "cpu"


def _templates(module: str, file: Path) -> dict[str, str]:
    """Return the digests of the templates that lie in a package: what is rendered from them depends on them, too."""
    if file.name != "__init__.py":
        return {}
    files = sorted(each for each in file.parent.iterdir() if each.name.endswith(TEMPLATES))
    return {f"{module}/{each.name}": file_digest(each) for each in files}


@lru_cache(maxsize=1)
def _distributions() -> dict[str, tuple[str, ...]]:
    """Map each top-level module to the distributions that bring it.

    What `importlib.metadata.packages_distributions` returns, in a tenth of its time: of a distribution's metadata only
    the line with its name is read, and no object is made for each of its files.
    """
    found: dict[str, list[str]] = {}
    for distribution in metadata.distributions():
        tops = (distribution.read_text("top_level.txt") or "").split() or _tops_of_files(distribution)
        if tops:
            headers = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
            name = next((line[5:].strip() for line in headers.splitlines() if line.startswith("Name:")), None)
            name = name or distribution.metadata["Name"]
            for top in tops:
                found.setdefault(top, []).append(name)
    return {top: tuple(names) for top, names in found.items()}


def _tops_of_files(distribution: metadata.Distribution) -> set[str]:
    """Return the first part of the path of each Python file that a distribution installed."""
    record = distribution.read_text("RECORD")
    if record is None or '"' in record:  # a path with a comma is quoted
        paths = [file.as_posix() for file in distribution.files or ()]
    else:
        paths = [line.partition(",")[0] for line in record.splitlines()]
    return {path.partition("/")[0].removesuffix(".py") for path in paths if path.endswith(".py")}


@lru_cache(maxsize=512)
def _imports(file: Path, package: str, content: str) -> tuple[str, ...]:  # noqa: ARG001 - the digest keeps it fresh
    """Return the names that a file imports; relative names are resolved against the package that it lies in."""
    found: set[str] = set()
    for node in _statements(parse(file).body):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                source = importlib.util.resolve_name("." * node.level + source, package)
            found.add(source)
            found.update(f"{source}.{alias.name}" for alias in node.names)
    return tuple(sorted(found))


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield all statements, those inside others included; no expression is visited, since none holds an import."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, part, ()))
        for branch in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from _statements(branch.body)
