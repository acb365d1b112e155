"""Change the code a little, one place at a time, and tell which changes the tests do not notice.

`make mutants ROOMS=gates,ledger SAMPLE=40 SEED=1`: the tests of a room run once and note which lines each of them
runs. Then each change that was drawn is made in the memory of a forked process, never in a file, and the tests that
run its line are run there, the fastest first, until one fails. What makes a child fail without any change is left out.

Only bodies of functions are changed, and only what a test runs in its own process can be noticed: fixtures of a
session, and programs that a test starts, run the code as it is. Texts, messages and annotations are left alone.
"""

import argparse
import ast
import copy
import functools
import gc
import itertools
import math
import os
import random
import signal
import sys
import time
import traceback
import types
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from _pytest.runner import runtestprotocol
from coverage import Coverage
from mutants_equal import EQUAL
from mutants_forks import Forks

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src" / "headframe"

ROOMS = (
    "evaluation", "gates", "ledger", "promotion", "datasets", "data_versions", "training", "tasks", "stages",
    "code_dependencies",
)  # fmt: skip

TESTS: dict[str, tuple[str, ...]] = {
    "ledger": ("ledger", "promotion/test_sequences.py"),
    "promotion": (
        "promotion/test_sequences.py",
        "promotion/test_actions.py",
        "promotion/test_gate_and_promote.py",
        "promotion/test_pages.py",
        "promotion/test_served.py",
        "promotion/test_attacks.py",
    ),
    "serving": ("serving", "promotion/test_served.py"),
    "tasks": ("tasks", "evaluation/test_evaluate.py"),
    "training": tuple(
        f"training/test_{name}.py"
        for name in (
            "cost",
            "epochs",
            "learners",
            "network",
            "program",
            "progress",
            "resume",
            "schedules",
            "training_files",
        )
    ),
    "examples": ("examples", "series/test_windows_and_gaps.py", "training/test_network.py"),
    "features": ("features", "prediction"),
    "prediction": ("prediction", "registry/test_parity.py"),
    "datasets/splits": ("datasets/test_splits.py", "datasets/test_split_edges.py"),
    "datasets/hashing": ("datasets/test_hashing.py", "datasets/test_digest_edges.py"),
    "data_versions": ("datasets",),
    "stages": ("test_stages.py",),
    "code_dependencies": ("test_code_dependencies.py",),
    "digests": ("test_digests.py", "config/test_identity.py"),
}
"""Below `tests/`, what is to notice changes of a room; without an entry the folder of its name."""

SECONDS = 20.0  # beside five times what the tests took before, after which a child counts as hung, so as noticed

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {
    "min": "max", "max": "min", "any": "all", "all": "any", "ceil": "floor", "floor": "ceil", "sorted": "list",
    "minimum": "maximum", "maximum": "minimum", "flatnonzero": "asarray", "argmax": "argmin", "first": "last",
}  # fmt: skip
LOOKS = ("tasks/plots.py",)  # how something is drawn: colours, sizes and places are no promises

GUARDS = ("strict", "indent", "encoding")
"""Options that change nothing where all is well: iterables of one length, files that are parsed, a locale of UTF-8."""

TEXT = (ast.JoinedStr, ast.List, ast.Tuple)


# What can be changed


@dataclass(frozen=True)
class Change:
    """One place in a function that becomes another.

    Attributes:
        room: of the file.
        file: below `src/headframe`.
        line: where it stands.
        number: of the change among those of its file.
        was: the source as it is.
        becomes: what stands there instead.
    """

    room: str
    file: str
    line: int
    number: int
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.was}  ->  {self.becomes}"


def changes_of(room: str) -> list[Change]:
    """Return what can be changed in a room, a folder or one file of `src/headframe`."""
    single = SOURCE / f"{room}.py"
    files = [single] if single.is_file() else sorted((SOURCE / room).rglob("*.py"))
    assert files, f"{room} is no room of {SOURCE}"
    found = []
    for file in files:
        name = file.relative_to(SOURCE).as_posix()
        if name in LOOKS:
            continue
        for number, (_, node, new) in enumerate(_places(ast.parse(_source(name)))):
            line = node.lineno if hasattr(node, "lineno") else node.target.lineno
            found.append(Change(room, name, line, number, _text(node), _text(new)))
    return found


@functools.cache
def _source(file: str) -> str:
    """Return a file as it was when it was first read: what is imported does not change with it either."""
    return (SOURCE / file).read_text(encoding="utf-8")


def changed_tree(change: Change) -> ast.Module:
    """Return a file's syntax tree with the change made."""
    tree = ast.parse(_source(change.file))
    (parent, key, index), node, new = list(_places(tree))[change.number]
    if isinstance(new, ast.expr | ast.stmt):
        ast.copy_location(new, node)
    if index is None:
        setattr(parent, key, new)
    else:
        getattr(parent, key)[index] = new
    return ast.fix_missing_locations(tree)


def can_be_made(change: Change) -> bool:
    """Whether functions can take their changed code: it uses the same variables of functions around it."""
    used = []
    for tree in (ast.parse(_source(change.file)), changed_tree(change)):
        code = compile(tree, change.file, "exec", dont_inherit=True)
        used.append({place: len(each.co_freevars) for place, each in _codes(code).items()})
    return all(used[0].get(place) == count for place, count in used[1].items())


def _codes(code: types.CodeType) -> dict[tuple[str, int], types.CodeType]:
    """Return the code of all functions by name and first line."""
    found = {(code.co_qualname, code.co_firstlineno): code}
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            found |= _codes(each)
    return found


def _text(node: ast.AST) -> str:
    """Return a node as one short line of source; of a branch its first line."""
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 110 else f"{text[:107]}..."


Place = tuple[tuple[ast.AST, str, int | None], ast.AST, ast.AST]


def _places(tree: ast.Module) -> Iterator[Place]:
    """Yield where a node hangs, the node, and what may stand in its place; always in the same order."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nested = {id(each) for child in node.body for each in ast.walk(child) if isinstance(each, ast.FunctionDef)}
            for index, statement in enumerate(node.body):
                yield from _at(node, "body", index, statement, nested)


def _at(parent: ast.AST, key: str, index: int | None, node: ast.AST, nested: set[int]) -> Iterator[Place]:
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.ClassDef) or id(node) in nested:
        return
    if isinstance(node, ast.Expr) and (isinstance(node.value, ast.Constant) or _logs(node.value)):
        return
    if isinstance(node, ast.keyword) and node.arg in GUARDS:
        return
    for new in _others(node):
        yield (parent, key, index), node, new
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "format_spec", "ctx"):
            continue
        for at, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                yield from _at(node, name, at, child, nested)


def _others(node: ast.AST) -> Iterator[ast.AST]:  # noqa: PLR0912 - a table of what may stand for what
    """Yield what may stand in the place of a node."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            yield ast.Compare(node.left, [COMPARISONS[type(op)]()], node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
            for index in range(len(node.values)):
                rest = node.values[:index] + node.values[index + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.BinOp(op=op) if type(op) in OPERATIONS and not (_is_text(node.left) or _is_text(node.right)):
            yield ast.BinOp(node.left, OPERATIONS[type(op)](), node.right)
        case ast.BinOp(op=ast.Div()) if _is_number(node.left) or _is_number(node.right):
            yield ast.BinOp(node.left, ast.Mult(), node.right)
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield ast.Constant(node.value + 1)
        case ast.Constant(value=float()):
            yield ast.Constant(node.value * 2 or 1.0)
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.If():
            yield ast.If(ast.Constant(value=False), node.body, node.orelse)
        case ast.comprehension(ifs=[_, *_]):
            yield ast.comprehension(node.target, node.iter, [], node.is_async)
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.Call():
            yield from _other_calls(node)


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    """Yield the call of a related function, and the call without one of its options."""
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "A")
    if name in NAMES:
        new = copy.deepcopy(node.func)
        setattr(new, "id" if isinstance(new, ast.Name) else "attr", NAMES[name])
        yield ast.Call(new, node.args, node.keywords)
    if name[0].islower():  # classes mostly require what they are given
        for index, keyword in enumerate(node.keywords):
            if keyword.arg is not None and keyword.arg not in GUARDS:
                yield ast.Call(node.func, node.args, node.keywords[:index] + node.keywords[index + 1 :])


def _logs(node: ast.expr) -> bool:
    """Whether a call writes a line for people who operate a server."""
    return isinstance(node, ast.Call) and getattr(getattr(node.func, "value", None), "id", "") == "log"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, TEXT) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_number(node: ast.AST) -> bool:
    """Whether a node is computed with; `/` joins paths, too."""
    arithmetic = (ast.Mult, ast.Sub, ast.Add, ast.Pow)
    return (
        (isinstance(node, ast.Constant) and isinstance(node.value, int | float))
        or (isinstance(node, ast.BinOp) and isinstance(node.op, arithmetic))
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("len", "float", "int", "sum"))
    )


# What the tests notice


@dataclass
class Found:
    """What became of a change; `by` is the test that noticed it, `hung`, or nothing."""

    change: Change
    ran: int
    by: str = ""


@dataclass(eq=False)
class Mutants:
    """A plugin of pytest: runs the collected tests once, then again in a forked child for each change.

    Attributes:
        changes: what to try, in this order.
        seconds: after which no other change is begun.
        found: what became of it.
    """

    changes: list[Change]
    seconds: float
    found: list[Found] = field(default_factory=list)
    _seconds: dict[str, float] = field(default_factory=dict)
    _sound: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._coverage = Coverage(data_file=None, config_file=False, include=[f"{SOURCE}/*"])
        self._forks = Forks()
        self._in_forks: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Iterator[Any]:
        """Count what a fixture of several tests runs for all of them, if a child sets it up again."""
        if fixturedef.scope == "function" or self._coverage is not Coverage.current():
            return (yield)
        before = self._context
        if fixturedef.scope == "session":  # it stays as it is for all children
            self._coverage.stop()
        else:
            self._switch(f"fixture {fixturedef.argname}")
        try:
            return (yield)
        finally:
            if fixturedef.scope == "session":
                self._coverage.start()
            self._switch(before)

    def _switch(self, context: str) -> None:
        self._context = context
        self._coverage.switch_context(context)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run everything once, then each change."""
        assert not session.testsfailed, "the tests cannot be collected"
        items = [item for item in session.items if isinstance(item, pytest.Function)]
        self._context = ""
        self._coverage.start()
        for index, item in enumerate(items):
            began = time.perf_counter()
            self._switch(item.nodeid)
            reports = runtestprotocol(item, log=False, nextitem=items[(index + 1) % len(items)])
            self._switch("")
            self._seconds[item.nodeid] = time.perf_counter() - began
            for file, line in self._forks.collect():
                self._in_forks[file][line].add(item.nodeid)
            if bad := [report for report in reports if not report.passed]:
                print(f"left out: {item.nodeid}: {bad[0].longreprtext.splitlines()[-1:]}", flush=True)
                self._sound[item.nodeid] = False
        self._coverage.stop()
        print(f"{len(items)} tests ran in {sum(self._seconds.values()):.0f} s", flush=True)
        by_line = {file: self._tests(items, SOURCE / file) for file in {each.file for each in self.changes}}
        ends = time.monotonic() + self.seconds
        for change in self.changes:
            if time.monotonic() > ends:
                break
            self.found.append(self._try(change, by_line[change.file].get(change.line, [])))
            found = self.found[-1]
            print(f"{'noticed' if found.by else 'NOT NOTICED'} [{found.ran}] {change}  {found.by}", flush=True)
        return True

    def _tests(self, items: list[pytest.Function], file: Path) -> dict[int, list[pytest.Function]]:
        """Return the tests that run each line of a file; those of one module together, as they share fixtures."""
        sharing: defaultdict[str, list[pytest.Function]] = defaultdict(list)
        for item in items:
            sharing[item.nodeid].append(item)
            for name in item.fixturenames:
                sharing[f"fixture {name}"].append(item)

        def rank(item: pytest.Function) -> tuple[float, str, float]:
            return module[item.path], str(item.path), self._seconds[item.nodeid]

        module: dict[Path, float] = {}
        for item in items:
            module[item.path] = min(self._seconds[item.nodeid], module.get(item.path, 1e9))
        lines = self._coverage.get_data().contexts_by_lineno(str(file))
        forked = self._in_forks[str(file)]
        tests = {
            line: {item.nodeid: item for context in {*lines.get(line, ()), *forked[line]} for item in sharing[context]}
            for line in {*lines, *forked}
        }
        return {line: sorted(found.values(), key=rank) for line, found in tests.items()}

    def _try(self, change: Change, tests: list[pytest.Function]) -> Found:
        """Run the tests of a change in a child; a test that fails there without it, too, is left out."""
        while True:
            tests = [item for item in tests if self._sound.get(item.nodeid, True)]
            name = self._child(tests, change) if tests else ""
            failed = next((item for item in tests if item.nodeid == name), None)
            if failed is not None and name not in self._sound:
                self._sound[name] = not self._child([failed], None)
            if failed is None or self._sound[name]:
                return Found(change, len(tests), name)

    def _child(self, tests: list[pytest.Function], change: Change | None) -> str:
        """Return the first test that fails in a forked child, `hung`, or nothing."""
        allowed = SECONDS + 5 * sum(self._seconds[item.nodeid] for item in tests)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setsid()
                if change is not None:
                    apply(change)
                os.write(writing, _first_failure(tests).encode())
                status = 0
            except BaseException:
                os.write(2, traceback.format_exc().encode())
                raise
            finally:
                os._exit(status)
        os.close(writing)
        began = time.monotonic()
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # a child that waits for others does not hang
            if time.monotonic() - began > allowed * busy:
                for process in [*psutil.Process(child).children(recursive=True), psutil.Process(child)]:
                    process.send_signal(signal.SIGKILL)
                os.waitpid(child, 0)
                os.close(reading)
                return "hung"
            time.sleep(0.01)
        assert ended[1] == 0, f"a child ended with {os.waitstatus_to_exitcode(ended[1])} while it tried: {change}"
        with os.fdopen(reading) as stream:
            return stream.read()


def apply(change: Change) -> None:
    """Give every function of the changed file its new code, in this process only, and forget what was remembered."""
    code = compile(changed_tree(change), str(SOURCE / change.file), "exec", dont_inherit=True)
    new = _codes(code)
    gc.unfreeze()  # what is frozen is not listed
    for live in gc.get_objects():  # `isinstance` would ask proxies for what they stand for
        if type(live) is types.FunctionType and live.__code__.co_filename == code.co_filename:
            replaced = new.get((live.__code__.co_qualname, live.__code__.co_firstlineno))
            if replaced is not None and len(replaced.co_freevars) == len(live.__code__.co_freevars):
                live.__code__ = replaced
        elif type(live) is functools._lru_cache_wrapper and live.__module__.startswith("headframe"):
            live.cache_clear()


def _first_failure(tests: list[pytest.Function]) -> str:
    for index, item in enumerate(tests):
        following = tests[index + 1] if index + 1 < len(tests) else None
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=following or item)):
            return item.nodeid
    return ""


def main() -> int:
    """Try a sample of the changes of each room, and print what was noticed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rooms", default=",".join(ROOMS), help="folders or modules of src/headframe, as gates/better")
    parser.add_argument("--sample", type=int, default=20, help="changes of each room; 0 tries all")
    parser.add_argument("--seed", type=int, default=1, help="draws the sample")
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which no other change is begun")
    parser.add_argument("--only", default="", help="changes whose line of the report contains this text")
    asked = parser.parse_args()
    changes, tests = [], set()
    for room in asked.rooms.split(","):
        possible = [each for each in changes_of(room) if asked.only in str(each)]
        shuffled = random.Random(f"{asked.seed} {room}").sample(possible, len(possible))
        drawn = list(itertools.islice(filter(can_be_made, shuffled), asked.sample or None))
        changes += sorted(drawn, key=lambda each: (each.file, each.line, each.number))
        folder = room.partition("/")[0]
        tests |= {str(REPOSITORY / "tests" / name) for name in TESTS.get(room, TESTS.get(folder, (folder,)))}
        print(f"{room}: {len(drawn)} of {len(possible)} changes", flush=True)
    random.Random(asked.seed).shuffle(changes)
    os.chdir(REPOSITORY)
    plugin = Mutants(changes, asked.seconds)
    pytest.main(
        [
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            *sorted(tests),
        ],
        plugins=[plugin],
    )
    report(plugin.found)
    if len(plugin.found) < len(changes):
        print(f"stopped after {len(plugin.found)} of {len(changes)} changes")
        return 1
    return 0


def report(found: list[Found]) -> None:
    """Print, room by room, how many changes were tried and noticed, and those that were not."""
    for each in sorted(found, key=lambda each: (each.change.file, each.change.number)):
        if not each.by:
            reason = equal_because(each.change)
            note = f"[changes nothing: {reason}]" if reason else "" if each.ran else "[no test runs it]"
            print(f"{each.change}  {note}")
    print(f"{'room':18} {'tried':>6} {'equal':>6} {'noticed':>8} {'share':>6}")
    for room in dict.fromkeys(each.change.room for each in found):
        here = [each for each in found if each.change.room == room]
        noticed = sum(bool(each.by) for each in here)
        equal = sum(not each.by and equal_because(each.change) is not None for each in here)
        print(f"{room:18} {len(here):6} {equal:6} {noticed:8} {noticed / max(1, len(here) - equal):6.0%}")


def equal_because(change: Change) -> str | None:
    """Return why a change changes nothing that a test could see; None where it is not known to."""
    place = (change.file, change.was, change.becomes)
    line = _source(change.file).splitlines()[change.line - 1].strip()
    return EQUAL.get(place) or EQUAL.get((*place, line))


if __name__ == "__main__":
    sys.exit(main())
