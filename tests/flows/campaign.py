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
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from runs import SMALL, ForkedRuns

from headframe.config.project import Project
from headframe.data_versions.dvc_files import object_file, tracked_files
from headframe.digests import file_digest

OUTCOMES = ("not used", "healed", "named", "used silently", "traceback")
CHANGING = {"locks", "dvc", "mlflow.db", "ledger.db"}  # parts of .headframe that an undisturbed command writes to
COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", *SMALL),
    "predict": ("predict", "digits", "digits", "scored.parquet"),
    "serve": ("predict", "digits/1", "digits", "scored.parquet"),  # opens a version as the service does
    "verify": ("models", "verify", "digits", "--recompute"),
    "reproduce": ("reproduce", "digits/1"),
}


def kind_of(path: Path) -> str:
    """What a file of a project is, whatever its digests are called."""
    parts = ["*" if re.fullmatch(r"(m-)?[0-9a-f]{2,64}(\.dir)?|[0-9]+", part) else part for part in path.parts]
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


@dataclass
class Campaign:
    """A project with a champion, what each command returns of it undisturbed, and the count of what was found.

    Attributes:
        project: where commands run.
        pristine: a copy that nobody changes.
        forked: runs the commands.
    """

    project: Project
    pristine: Path
    forked: ForkedRuns
    undisturbed: dict[str, tuple[Any, dict[str, str]]] = field(default_factory=dict)
    count: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)

    def restore(self) -> None:
        """Put the project back as it was."""
        shutil.rmtree(self.project.root)
        shutil.copytree(self.pristine, self.project.root, symlinks=True)

    def ask(self, what: str, change: Edit, seed: str, commands: tuple[str, ...]) -> dict[str, str]:
        """Change something and ask commands, each in the project as it was but for that; return each one's outcome."""
        found = {}
        for command in commands:
            self.reference(command)
            self.restore()
            change(self.project.root, random.Random(seed))
            changed = self._differing()
            found[command] = self._outcome(command, changed)
            self.count[what, command, found[command]] += 1
            if found[command] in ("used silently", "traceback"):
                self.silent.append(f"{found[command]}: {what} ({seed}), {command}: {sorted(changed)}")
        return found

    def reference(self, command: str) -> tuple[Any, dict[str, str]]:
        """What a command returns and leaves behind where nothing was changed."""
        if command not in self.undisturbed:
            self.restore()
            code, document, stderr = self.forked.run(self.project, *COMMANDS[command])
            assert code == 0, stderr
            self.undisturbed[command] = comparable(document), self._kept()
        return self.undisturbed[command]

    def _outcome(self, command: str, changed: set[Path]) -> str:
        expected, kept = self.undisturbed[command]
        before = {path: path.read_bytes() for path in changed}
        code, document, stderr = self.forked.run(self.project, *COMMANDS[command])
        if "Traceback" in stderr:
            return "traceback"
        if code or _warned(stderr):
            return "named"
        root = self.project.root
        healed = {path for path in changed if not path.is_file() or path.read_bytes() != before[path]}
        as_changed = {path.relative_to(root).as_posix() for path in changed - healed}
        left = {name for name, sha256 in self._kept().items() if kept.get(name, sha256) != sha256} - as_changed
        if comparable(document) != expected or left:
            return "used silently"
        return "healed" if healed else "not used"

    def _differing(self) -> set[Path]:
        """The files that a change has changed."""
        root = self.project.root
        return {
            path
            for path in root.rglob("*")
            if path.is_file()
            and (
                not (self.pristine / path.relative_to(root)).is_file()
                or path.read_bytes() != (self.pristine / path.relative_to(root)).read_bytes()
            )
        }

    def _kept(self) -> dict[str, str]:
        """The sha256 of what commands must not change: tables, their versions, results of steps, packages."""
        root = self.project.root
        names = {path.relative_to(root): path for files in files_of(root).values() for path in files}
        return {name.as_posix(): file_digest(path) for name, path in names.items() if not CHANGING & {*name.parts[1:2]}}

    def table(self) -> str:
        """What was found, a line for each kind of file."""
        kinds = sorted({what for what, _, _ in self.count})
        lines = [f"{'kind':58} {'asked':>6} " + " ".join(f"{each:>14}" for each in OUTCOMES)]
        for kind in [*kinds, "all"]:
            numbers = [
                sum(n for (what, _, found), n in self.count.items() if found == each and kind in (what, "all"))
                for each in OUTCOMES
            ]
            lines.append(f"{kind[-58:]:58} {sum(numbers):6} " + " ".join(f"{each:14}" for each in numbers))
        for asked in COMMANDS:
            numbers = [sum(n for (_, c, found), n in self.count.items() if (c, found) == (asked, e)) for e in OUTCOMES]
            lines.append(f"asked: {asked:51} {sum(numbers):6} " + " ".join(f"{each:14}" for each in numbers))
        return "\n".join(lines)


VARYING = ("seconds", "time", "created", "elapsed", "entry", "target")


def comparable(value: Any) -> Any:
    """What a command returned, without what differs between equal commands."""
    if isinstance(value, dict):
        return {key: comparable(inner) for key, inner in value.items() if key not in VARYING}
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    return value


def _warned(stderr: str) -> bool:
    """Whether a line says that something is not as it was written."""
    words = ("made again", "damaged", "is replaced", "stored again", "was changed", "written again", "is missing")
    return any(word in stderr for word in words)
