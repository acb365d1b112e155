"""What runs is the source as it stands, although byte code of an earlier one may pass for it."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from headframe.cli.context import open_project
from headframe.config.project import Project
from headframe.processes import call_isolated

NAME = "answering"


def edited_within_a_second(folder: Path) -> ModuleType:
    """Return a module that was compiled, and whose source was changed since to equal size and time."""
    file = folder / f"{NAME}.py"
    file.write_text("def answer(): return 1\n")
    about = file.stat()
    module = importlib.import_module(NAME)
    file.write_text("def answer(): return 2\n")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    return module


@pytest.fixture
def folder(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's `src`, from which this process imports as Python does by itself."""
    source = project.root / "src"
    source.mkdir(exist_ok=True)
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(sys, "path", [str(source), *sys.path])
    monkeypatch.setattr(
        sys, "path_hooks", [hook for hook in sys.path_hooks if hook.__module__ != "headframe.own_source"]
    )
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    return source


def test_an_isolated_program_runs_the_source(folder: Path) -> None:
    module = edited_within_a_second(folder)
    assert call_isolated(module.answer, {}, subject="the code", python_path=str(folder)) == 2


def test_a_command_imports_the_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited_within_a_second(folder)
    monkeypatch.delitem(sys.modules, NAME)
    open_project()
    assert importlib.import_module(NAME).answer() == 2
    monkeypatch.delitem(sys.modules, NAME)
