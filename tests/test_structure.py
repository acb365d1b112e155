"""The structure of `src/headframe`: no files import each other in a circle."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"


@cache
def modules() -> dict[str, Path]:
    """Each module's file, by dotted name."""
    found = {}
    for file in sorted((SOURCE / "headframe").rglob("*.py")):
        *parents, name = file.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parents if name == "__init__" else [*parents, name])] = file
    return found


def imports(file: Path) -> set[str]:
    """The modules of headframe that a file imports, within functions and for type checking as well."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                found.add(dotted if dotted in modules() else node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found & modules().keys()


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {name: imports(file) - {name} for name, file in modules().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
