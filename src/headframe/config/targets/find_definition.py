"""Find definitions in source files without importing them, re-exported ones included."""

import ast
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from headframe.config.targets.nearest import nearest
from headframe.errors import ConfigurationError

SCHEMES = "headframe.datasets.sources"
"""The package with one module for each URI scheme that raw files can come from."""


@dataclass(frozen=True)
class TargetDefinition:
    """The statement that defines a name, and the module that holds it."""

    module: str
    node: ast.stmt  # a class, a function or an assignment


@lru_cache(maxsize=4096)
def module_file(module: str, own_source: Path = Path()) -> Path | None:
    """Return the source file of a module without importing its package; None where there is none.

    The project's own packages lie in `own_source`, its `src/`, in all functions of this package.
    """
    top, *rest = module.split(".")
    own = own_source / top
    if own.is_dir():
        root = own
    else:
        spec = importlib.util.find_spec(top)
        if spec is None or not spec.submodule_search_locations:
            return None
        root = Path(next(iter(spec.submodule_search_locations)))
    base = root.joinpath(*rest)
    for file in (base.with_suffix(".py") if rest else None, base / "__init__.py"):
        if file is not None and file.is_file():
            return file
    return None


@lru_cache(maxsize=16)
def submodules(package: str) -> tuple[str, ...]:
    """Return the names of the modules that a package has to offer, sorted, without importing it."""
    file = module_file(package)
    found = file.parent.glob("*.py") if file is not None else ()
    return tuple(sorted(path.stem for path in found if not path.stem.startswith("_") and path.stem != "base"))


def scheme_module(uri: str) -> str:
    """Return the name of the module that locates raw files of a URI's scheme, without importing it.

    Raises:
        ConfigurationError: there is no such scheme.
    """
    scheme, known = uri.partition(":")[0], submodules(SCHEMES)
    if scheme not in known:
        schemes = ", ".join(f"{name}:" for name in known)
        raise ConfigurationError(f"{uri!r} begins with none of the known schemes ({schemes}); {nearest(scheme, known)}")
    return f"{SCHEMES}.{scheme}"


def parse(file: Path) -> ast.Module:
    """Parse a source file.

    Raises:
        ConfigurationError: it is none, as while it is being written or merged.
    """
    try:
        return ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise ConfigurationError(f"{file}{line}: this is no Python ({error.msg}); correct the file") from None


@lru_cache(maxsize=512)
def _names(file: Path) -> dict[str, ast.stmt]:
    """Map each top-level name of a file to the statement that defines it; `*` stands for all of a module."""
    found: dict[str, ast.stmt] = {}
    for node in _statements(parse(file).body):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node
            case ast.Assign(targets=targets):
                found.update({target.id: node for target in targets if isinstance(target, ast.Name)})
            case ast.ImportFrom(names=aliases):
                found.update({alias.asname or alias.name: node for alias in aliases})
    return found


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those under `if` and `try` included."""
    for node in body:
        match node:
            case ast.If(body=inner, orelse=other) | ast.Try(body=inner, orelse=other):
                yield from _statements([*inner, *other])
            case _:
                yield node


def names_in(module: str, own_source: Path) -> frozenset[str] | None:
    """Return what a module defines or re-exports from its own package; None where its source does not show it."""
    file = module_file(module, own_source)
    if file is None or "*" in _names(file):
        return None
    top = module.partition(".")[0]
    return frozenset(
        name
        for name, node in _names(file).items()
        if not isinstance(node, ast.ImportFrom) or node.level or (node.module or "").partition(".")[0] == top
    )


def find_definition(module: str, name: str, own_source: Path) -> TargetDefinition | None:
    """Return the definition of a name, following imports; None where no source has it, as in compiled modules."""
    for each in importing_modules(module, name, own_source):
        module, name = each
    file = module_file(module, own_source)
    node = _names(file).get(name) if file is not None else None
    return None if node is None or isinstance(node, ast.ImportFrom) else TargetDefinition(module, node)


def importing_modules(module: str, name: str, own_source: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name, then where the module imports it from, and so on; a file is read after its module came."""
    seen: set[tuple[str, str]] = set()
    while (module, name) not in seen:
        seen.add((module, name))
        yield module, name
        file = module_file(module, own_source)
        node = _names(file).get(name) if file is not None else None
        if file is None or not isinstance(node, ast.ImportFrom):
            return
        alias = next(alias for alias in node.names if (alias.asname or alias.name) == name)
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        relative = "." * node.level + (node.module or "")
        module, name = importlib.util.resolve_name(relative, package) if node.level else relative, alias.name


def components_in(module: str, own_source: Path) -> list[str]:
    """Return the public names of a module that a `_target_` may mean, as far as the source shows it.

    Of a module they are the classes that derive from an abstract class, else those that derive from any, else those
    that do something; without classes, the functions. What merely helps them is left out. Of a package, they are the
    classes that do something.
    """
    is_package = (module_file(module, own_source) or Path()).name == "__init__.py"
    public = sorted(name for name in names_in(module, own_source) or () if not name.startswith("_"))
    found = {name: find_definition(module, name, own_source) for name in public}
    own = {name: each for name, each in found.items() if each is not None and (is_package or each.module == module)}
    lineages = {name: [*_lineage(each, own_source)] for name, each in own.items()}
    classes = {name: line for name, line in lineages.items() if line and not _is_abstract(line[0])}
    acting = {name: line for name, line in classes.items() if any(map(_acts, line))}
    derived = [name for name, line in acting.items() if any(map(_is_abstract, line))]
    inherited = [name for name, line in acting.items() if len(line) > 1]
    functions = [name for name, each in own.items() if isinstance(each.node, ast.FunctionDef)]
    if is_package:
        return [name for name, line in acting.items() if not _is_base_of_all(line[0], acting)] or functions
    return derived or inherited or list(acting) or functions


def _is_base_of_all(node: ast.ClassDef, lineages: Mapping[str, list[ast.ClassDef]]) -> bool:
    return len(lineages) > 1 and all(node in line for line in lineages.values())


def _lineage(found: TargetDefinition, own_source: Path) -> Iterator[ast.ClassDef]:
    """Yield a class and its bases, as far as they are found."""
    if not isinstance(found.node, ast.ClassDef):
        return
    yield found.node
    for base in found.node.bases:
        definition = find_definition(found.module, base.id, own_source) if isinstance(base, ast.Name) else None
        if definition is not None:
            yield from _lineage(definition, own_source)


def _is_abstract(node: ast.ClassDef) -> bool:
    """Return whether a class cannot be built, as its own statement says."""
    bases = (*node.bases, *(keyword.value for keyword in node.keywords))
    return any(ast.unparse(base).partition("[")[0] in {"ABC", "ABCMeta", "Protocol"} for base in bases)


def _acts(node: ast.ClassDef) -> bool:
    """Return whether a class has a public method, or a base elsewhere that may have some, as `nn.Module`."""
    methods = [
        item.name
        for item in node.body
        if isinstance(item, ast.FunctionDef) and "property" not in map(ast.unparse, item.decorator_list)
    ]
    return any(isinstance(base, ast.Attribute) for base in node.bases) or any(
        name == "__call__" or not name.startswith("_") for name in methods
    )


def has_method(target: str, name: str, own_source: Path) -> bool:
    """Return whether a class, `package.module.Class`, or a base whose source is found, defines a method."""
    module, _, class_name = target.rpartition(".")
    found = find_definition(module, class_name, own_source)
    lineage = _lineage(found, own_source) if found is not None else ()
    return any(isinstance(item, ast.FunctionDef) and item.name == name for each in lineage for item in each.body)


def class_constant(target: str, name: str, own_source: Path) -> Any:
    """Return a constant that a class, `package.module.Class`, declares or inherits; None where its source has none.

    A constant is a literal: text, a number, or a tuple of them.
    """
    module, _, class_name = target.rpartition(".")
    found = find_definition(module, class_name, own_source)
    if found is None or not isinstance(found.node, ast.ClassDef):
        return None
    for statement in found.node.body:
        match statement:
            case (
                ast.AnnAssign(target=ast.Name(id=attribute), value=ast.Constant() | ast.Tuple() as value)
                | ast.Assign(targets=[ast.Name(id=attribute)], value=ast.Constant() | ast.Tuple() as value)
            ) if attribute == name and all(isinstance(part, ast.Constant) for part in getattr(value, "elts", ())):
                return ast.literal_eval(value)
    bases = (f"{found.module}.{base.id}" for base in found.node.bases if isinstance(base, ast.Name))
    inherited = (class_constant(base, name, own_source) for base in bases)
    return next((value for value in inherited if value is not None), None)
