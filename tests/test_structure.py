"""The structure of `src/headframe`: no circles, no room or file that outgrows the others, one name for one thing."""

import ast
from collections import Counter, defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
LARGEST_ROOM = 0.10  # share of all lines
LONGEST_FILE = 400  # lines
SAME_MEANING = {
    "add_commands",  # of each group of commands in cli/
    "main",  # of each program
}
"""Functions that mean the same in each module that has one."""


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


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {name: imports(file) - {name} for name, file in modules().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_room_holds_more_than_a_tenth_of_the_code() -> None:
    rooms: Counter[str] = Counter()
    for file in modules().values():
        room, *rest = file.relative_to(SOURCE / "headframe").parts
        rooms[room if rest else "top level"] += lines(file)
    total = sum(rooms.values())
    assert {room: count for room, count in rooms.items() if count > LARGEST_ROOM * total} == {}


def test_a_long_file_says_why() -> None:
    long = {name: file for name, file in modules().items() if lines(file) > LONGEST_FILE}
    unexplained = [name for name, file in long.items() if "400 lines" not in "".join(file.read_text()[:1000])]
    assert unexplained == []


@pytest.mark.parametrize("node_type", [ast.ClassDef, ast.FunctionDef])
def test_one_name_is_one_thing(node_type: type[ast.ClassDef] | type[ast.FunctionDef]) -> None:
    places = defaultdict(list)
    for name, file in modules().items():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, node_type) and not node.name.startswith("_") and node.name not in SAME_MEANING:
                places[node.name].append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
