"""A folder that is put back as it was after each of many changes, by copying only what was changed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

State = tuple[int, int, int, int, int]


class Snapshot:
    """A copy of a folder, and the state of each of its files when they were last equal."""

    def __init__(self, folder: Path, copy: Path) -> None:
        shutil.copytree(folder, copy, symlinks=True)
        self.folder, self.copy = folder, copy
        self._states = dict(_states(folder))

    def differing(self) -> set[Path]:
        """Return the files that were changed, added or removed, relative to the folder; the time of change counts."""
        return {path for path, _ in self._states.items() ^ dict(_states(self.folder)).items()}

    def changed(self) -> set[Path]:
        """Return the files whose content differs from that in the copy."""
        return {path for path in self.differing() if _content(self.folder / path) != _content(self.copy / path)}

    def restore(self) -> None:
        """Put the folder back as it was."""
        for path in self.differing():
            target, source = self.folder / path, self.copy / path
            target.unlink(missing_ok=True)
            self._states.pop(path, None)
            if source.is_symlink() or source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
                self._states[path] = _state(target)
        for folder, _, _ in os.walk(self.folder, topdown=False):
            path = Path(folder)
            if not (self.copy / path.relative_to(self.folder)).is_dir():
                path.rmdir()
            elif path.stat().st_mode != (self.copy / path.relative_to(self.folder)).stat().st_mode:
                shutil.copymode(self.copy / path.relative_to(self.folder), path)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _state(file: Path) -> State:
    about = file.lstat()
    return about.st_ino, about.st_size, about.st_mode, about.st_mtime_ns, about.st_ctime_ns


def _states(folder: Path) -> Iterator[tuple[Path, State]]:
    for place, folders, files in os.walk(folder):
        for name in (*files, *(each for each in folders if Path(place, each).is_symlink())):
            yield Path(place, name).relative_to(folder), _state(Path(place, name))
