"""A model that brings code of its own is asked in a process of its own, which knows that code in one version only.

The process that runs a flow has imported the project's packages as they are now. A model that was packaged with an
earlier version of them would answer there with code that it was not trained with.

`python -m headframe.registry.isolated QUESTION.json ANSWER.json` is that process.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headframe import errors
from headframe.errors import HeadframeError
from headframe.registry.signature import CODE
from headframe.telemetry import switch_off

STDERR = 2  # what a model's code prints must not stand in the answer of the command


def ask(function: Callable[..., Any], model: Path, **arguments: Any) -> Any:
    """Call a function that opens a packaged model; in a process of its own if the model brings code.

    Args:
        function: of a module of Headframe's; takes `model` as a string and the arguments, gives what JSON can spell.
        model: the folder that holds `MLmodel`.
        arguments: what JSON can spell; anything large lies in files that they name.

    Raises:
        HeadframeError: or the one of its kinds that the function raised, or the model's own code failed.
    """
    if not (model / CODE).is_dir():
        return function(model=str(model), **arguments)
    with tempfile.TemporaryDirectory() as scratch:
        question, answer = Path(scratch) / "question.json", Path(scratch) / "answer.json"
        asked = {"model": str(model), **arguments}
        content = {"module": function.__module__, "function": function.__name__, "arguments": asked}
        question.write_text(json.dumps(content), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-P", "-m", "headframe.registry.isolated", str(question), str(answer)],
            env={**os.environ, "PYTHONPATH": _search_path(model / CODE), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=STDERR,
            check=False,
        )
        if not answer.is_file():
            msg = f"the process that asked the model in {model} ended with code {done.returncode} and no answer"
            raise HeadframeError(msg)
        said = json.loads(answer.read_bytes())
    if "error" in said:
        raise getattr(errors, said["error"], HeadframeError)(said["sentence"])
    return said["answer"]


def main(question: Path, answer: Path) -> None:
    """Answer one question."""
    switch_off()
    asked = json.loads(question.read_bytes())
    said: dict[str, Any]
    try:
        function = getattr(importlib.import_module(asked["module"]), asked["function"])
        said = {"answer": function(**asked["arguments"])}
    except HeadframeError as error:
        said = {"error": type(error).__name__, "sentence": str(error)}
    except Exception as error:  # code that comes with a model may fail in any way
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        sentence = f"the code that the model brings fails with {reason} ({last.filename}, line {last.lineno})"
        said = {"error": "HeadframeError", "sentence": sentence}
    answer.write_text(json.dumps(said), encoding="utf-8")


def _search_path(code: Path) -> str:
    """Give `PYTHONPATH` without folders that hold another version of a package in `code`."""
    own = [folder.name for folder in code.iterdir() if folder.is_dir()]
    inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.pathsep.join(path for path in inherited if not any((Path(path) / name).is_dir() for name in own))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever asked says that it was interrupted
    main(Path(sys.argv[1]), Path(sys.argv[2]))
