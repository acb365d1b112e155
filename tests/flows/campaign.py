"""Files of a finished project changed one at a time, and what each command then makes of it.

A *flip* changes one bit and neither size nor time of change. An *edit* changes a value and puts right every checksum
over it that needs no key. `used silently` is a command that ends well, warns of nothing, and returns or leaves behind
something else than in the project as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from runs import SMALL, ForkedRuns
from snapshot import Snapshot

from headframe.config.project import Project
from headframe.data_versions.dvc_files import object_file, tracked_files
from headframe.digests import file_digest

OUTCOMES = ("not used", "healed", "named", "used silently", "traceback")
CHANGING = {"locks", "dvc", "mlflow.db", "ledger.db", "last.ckpt", ".cost.json", "promote"}
"""What an undisturbed command writes to, what differs between equal trainings, and why a champion became one."""
COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", *SMALL),
    "predict": ("predict", "digits", "digits", "scored.parquet"),
    "serve": ("serve", "digits", "--port", "0"),
    "verify": ("models", "verify", "digits"),
    "recompute": ("models", "verify", "digits", "--recompute"),
    "reproduce": ("reproduce", "digits/1"),
}


def kind_of(path: Path) -> str:
    """What a file of a project is, whatever its digests are called."""
    parts = ["*" if re.fullmatch(r"(m-)?[0-9a-f]{2,64}(\.dir)?|[0-9]+", part) else part for part in path.parts]
    parts[-1] = re.sub(r"^[0-9a-f]{16}\.", "*.", parts[-1])
    return re.sub(r"(\*/)+", "*/", "/".join(parts)).replace(".headframe/", "")


def files_of(root: Path) -> dict[str, list[Path]]:
    """The files that Headframe, MLflow and DVC keep in a project, by their kind."""
    found = defaultdict(list)
    for top in (root / ".headframe", root / "data", root / ".dvc" / "cache", root / "data.dvc"):
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            about = path.relative_to(root)
            if path.is_file() and path.stat().st_size and "locks" not in about.parts and path.suffix != ".lock":
                found[kind_of(about)].append(path)
    return dict(found)


def write_unseen(file: Path, content: bytes) -> None:
    """Write to a file as if nobody had: with its former mode and time of change."""
    about = file.stat()
    file.chmod(0o644)
    file.write_bytes(content)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    file.chmod(about.st_mode & 0o777)


def flip(file: Path, draw: random.Random) -> None:
    """Change one bit of a file."""
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    write_unseen(file, bytes(content))


def relabel(root: Path, draw: random.Random) -> None:
    """Change a label of the table, and every sha256 that `dataset.json` has of it (row 1 of the issue)."""
    folder = root / "data" / "digits"
    file = folder / "table.parquet"
    rows = pq.read_table(file)
    labels = rows["digit"].to_pylist()
    place = draw.randrange(len(labels))
    labels[place] = (labels[place] + 1) % 10
    at = rows.schema.get_field_index("digit")
    pq.write_table(rows.set_column(at, rows.schema.field(at), pa.array(labels, rows.schema.field(at).type)), file)
    replace_digest(folder / "dataset.json", "table.parquet")


def replace_digest(about: Path, name: str) -> None:
    content = json.loads(about.read_bytes())
    content["files"][name] = file_digest(about.parent / name)
    write_unseen(about, (json.dumps(content, indent=2) + "\n").encode())


def changed_value(value: Any, draw: random.Random) -> Any:
    """Another value of the same type and, where it can be, of the same length."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return int(str(value)[:-1] + str((int(str(value)[-1]) + 1) % 10))
    if isinstance(value, float):
        return value + 0.5 if value < 0.5 else value - 0.5
    if not value:
        return "x"
    place = draw.randrange(len(value))
    return value[:place] + ("0" if value[place] != "0" else "1") + value[place + 1 :]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in JSON."""
    if isinstance(value, dict):
        return [each for key, inner in value.items() for each in leaves(inner, (*path, key))]
    if isinstance(value, list):
        return [each for place, inner in enumerate(value) for each in leaves(inner, (*path, place))]
    return [path]


def edit_json(file: Path, draw: random.Random) -> None:
    """Change one value of a JSON file, and put right what its neighbours say of its sha256."""
    before = file_digest(file)
    content = json.loads(file.read_bytes())
    content = content or {"x": 1}
    *way, last = draw.choice(leaves(content))
    inner = content
    for part in way:
        inner = inner[part]
    inner[last] = changed_value(inner[last], draw)
    write_unseen(file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    put_right(file, before)


def put_right(file: Path, before: str) -> None:
    """Write the new sha256 of a file wherever a JSON file beside or above it names the old one."""
    after = file_digest(file)
    for folder in list(file.parents)[:4]:
        for other in folder.glob("*.json"):
            text = other.read_text(encoding="utf-8")
            if other != file and before in text:
                write_unseen(other, text.replace(before, after).encode())


def edit_database(file: Path, draw: random.Random) -> None:
    """Change one value of one row, as somebody can who may write to the file; a trigger does not stop them."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for (trigger,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            connection.execute(f'drop trigger "{trigger}"')
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        filled = [each for each in tables if connection.execute(f'select count(*) from "{each}"').fetchone()[0]]
        table = draw.choice([each for each in filled if not each.startswith(("alembic", "sqlite_"))])
        columns = [row[1] for row in connection.execute(f'pragma table_info("{table}")')]
        rows = connection.execute(f'select rowid, * from "{table}"').fetchall()
        row = draw.choice(rows)
        known = [place for place in range(len(columns)) if row[place + 1] is not None]
        place = draw.choice(known)
        value = changed_value(row[place + 1], draw) if not isinstance(row[place + 1], bytes) else b"x"
        try:
            connection.execute(f'update "{table}" set "{columns[place]}" = ? where rowid = ?', (value, row[0]))
        except sqlite3.IntegrityError:
            connection.execute(f'delete from "{table}" where rowid = ?', (row[0],))


def forge_version(root: Path, draw: random.Random) -> None:
    """Put other rows into DVC's cache and remote, under names that are those of their content."""
    relabel(root, draw)
    cache, remote = root / ".dvc" / "cache", root / ".headframe" / "dvc-remote"
    name, files = tracked_files(root, cache)
    listing = json.loads(object_file(cache, name).read_bytes())
    for entry in listing:
        content = (root / "data" / entry["relpath"]).read_bytes()
        entry["md5"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        _store(content, entry["md5"], cache, remote)
    content = json.dumps(listing, sort_keys=True).encode()
    forged = hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir"
    _store(content, forged, cache, remote)
    pointer = root / "data.dvc"
    write_unseen(pointer, pointer.read_bytes().replace(name.encode(), forged.encode()))
    assert files


def _store(content: bytes, md5: str, *stores: Path) -> None:
    for store in stores:
        file = object_file(store, md5)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


Edit = Callable[[Path, random.Random], None]
DATABASES = (".headframe/mlflow.db", ".headframe/ledger.db")


def edits(root: Path) -> dict[str, Edit]:
    """What can be edited in a project with its checksums put right, by kind."""
    found: dict[str, Edit] = {"labels of data/*/table.parquet": relabel, "a version in DVC": forge_version}
    for kind in files_of(root):
        if kind.endswith(".json"):
            found[kind] = lambda root, draw, kind=kind: edit_json(draw.choice(files_of(root)[kind]), draw)  # type: ignore[misc]
    for name in DATABASES:
        found[name] = lambda root, draw, name=name: edit_database(root / name, draw)  # type: ignore[misc]
    return found


class Finding(NamedTuple):
    """What came of a command after a change.

    Attributes:
        what: the kind of file, and of change.
        seed: of the change.
        command: what was asked.
        outcome: one of `OUTCOMES`.
        code: exit code of the command.
        files: what was changed.
        left: what the command has left behind otherwise than in the project as it was.
        remaining: what it has left as it was changed.
        stderr: what it wrote.
        seconds: what it took.
    """

    what: str
    seed: str
    command: str
    outcome: str
    code: int
    files: list[str]
    left: list[str]
    remaining: list[str]
    stderr: str
    seconds: float


@dataclass
class Campaign:
    """A project with a champion, what each command returns of it undisturbed, and what was found.

    Attributes:
        project: where commands run; as the snapshot has it, whenever nothing is asked.
        snapshot: puts it back.
        forked: runs the commands.
        found: what came of each command after each change.
    """

    project: Project
    snapshot: Snapshot
    forked: ForkedRuns
    undisturbed: dict[str, tuple[Any, dict[str, str]]] = field(default_factory=dict)
    found: list[Finding] = field(default_factory=list)

    def ask(self, what: str, change: Edit, seed: str, commands: Iterable[str]) -> list[Finding]:
        """Change something and ask commands, each in the project as it was but for that; return what came of each."""
        asked = []
        for command in commands:
            self.reference(command)
            change(self.project.root, random.Random(seed))
            try:
                asked.append(self._finding(what, seed, command))
            finally:
                self.snapshot.restore()
        self.found += asked
        return asked

    def reference(self, command: str) -> tuple[Any, dict[str, str]]:
        """What a command returns and leaves behind where nothing was changed."""
        if command not in self.undisturbed:
            code, document, stderr = self._run(command)
            assert code == 0, stderr
            assert not _warned(stderr), stderr
            self.undisturbed[command] = comparable(document), self._kept()
            self.snapshot.restore()
        return self.undisturbed[command]

    def _run(self, command: str) -> tuple[int, Any, str]:
        if command != "serve":
            return self.forked.run(self.project, *COMMANDS[command])
        example = next(self.snapshot.copy.rglob("serving_input_example.json"))
        content = json.loads(example.read_bytes())
        del content["dataframe_split"]["data"][1:]
        return self.forked.served(self.project, *COMMANDS[command], body=json.dumps(content))

    def _finding(self, what: str, seed: str, command: str) -> Finding:
        expected, kept = self.undisturbed[command]
        changed = {path: self.project.root / path for path in self.snapshot.changed()}
        before = {path: file.read_bytes() for path, file in changed.items()}
        begun = time.monotonic()
        code, document, stderr = self._run(command)
        seconds = round(time.monotonic() - begun, 2)
        healed = {path for path, file in changed.items() if not file.is_file() or file.read_bytes() != before[path]}
        as_changed = {path.as_posix() for path in changed.keys() - healed}
        left = {name for name, sha256 in self._kept().items() if kept.get(name, sha256) != sha256} - as_changed
        if "Traceback" in stderr:
            outcome = "traceback"
        elif code:
            outcome = "named"
        elif comparable(document) != expected or left:  # whatever it warns of
            outcome = "used silently"
        elif _warned(stderr):
            outcome = "named"
        else:
            outcome = "healed" if healed else "not used"
        files = sorted(path.as_posix() for path in changed)
        return Finding(what, seed, command, outcome, code, files, sorted(left), sorted(as_changed), stderr, seconds)

    def _kept(self) -> dict[str, str]:
        """The sha256 of what commands must not change: tables, their versions, results of steps, packages."""
        root = self.project.root
        names = {path.relative_to(root): path for files in files_of(root).values() for path in files}
        return {
            name.as_posix(): file_digest(path)
            for name, path in names.items()
            if not CHANGING & {name.name, *name.parts[1:3]}
        }

    def silent(self) -> list[str]:
        """What must not be: a line for each."""
        return [
            f"{each.outcome}: {each.what} ({each.seed}), {each.command}: {each.files}"
            for each in self.found
            if each.outcome in ("used silently", "traceback")
        ]


def verdict(asked: Iterable[Finding]) -> str:
    """What came of a change, by all that were asked: a run heals it, some command names it, or it does not matter."""
    outcomes = {each.outcome for each in asked}
    for worst in ("traceback", "used silently"):
        if worst in outcomes:
            return worst
    if any(each.command == "run" and each.outcome != "not used" and not each.remaining for each in asked):
        return "healed"
    return "named" if "named" in outcomes else "not used"


def table(found: Iterable[Finding]) -> str:
    """What was found, a line for each kind of file."""
    changes = defaultdict(list)
    for each in found:
        changes[each.what, each.seed].append(each)
    rows = Counter((what, verdict(asked)) for (what, _), asked in changes.items())
    rows += Counter(("all", outcome) for _, outcome in rows.elements())
    lines = [f"{'kind':62} {'changes':>8} " + " ".join(f"{each:>14}" for each in OUTCOMES)]
    for kind in sorted({what for what, _ in rows}, key=lambda what: (what == "all", what)):
        numbers = [rows[kind, each] for each in OUTCOMES]
        lines.append(f"{kind[-62:]:62} {sum(numbers):8} " + " ".join(f"{each:14}" for each in numbers))
    return "\n".join(lines)


VARYING = ("seconds", "time", "created", "elapsed", "entry", "target")
NAMED = ("the project's DVC cache", "the project's DVC remote")  # where a reproduction has its data from, as it says


def comparable(value: Any) -> Any:
    """What a command returned, without what differs between equal commands."""
    if isinstance(value, dict):
        # A decision that is made again has another reason: the version is champion already.
        varying = (*VARYING, "reason") if "champion" in value else VARYING
        return {key: comparable(inner) for key, inner in value.items() if key not in varying}
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    return NAMED if value in NAMED else value


def _warned(stderr: str) -> bool:
    """Whether a line says that something is not as it was written."""
    words = (
        "not from the project's",
        "made again",
        "damaged",
        "is replaced",
        "stored again",
        "was changed",
        "written again",
        "is missing",
    )
    return any(word in stderr for word in words)
