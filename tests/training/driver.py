"""Trainings in forked processes, so that Lightning is imported once for all of them.

`tests/warm.py` imports everything, and calls `respond` with one request a line: it forks, lets the child run the
training program, and responds with the child's exit code, or minus the signal that killed it. A request is JSON:
`arguments` of the program, the `log` for what it prints, and `kill`: nothing, or where it kills itself by SIGKILL.
"""

import importlib
import json
import multiprocessing
import os
import pkgutil
import signal
import sys
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SECONDS = 240.0
"""How long a training may take before it is taken to hang."""


def kill_self(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_around(function: Any, when: Any, *, first: bool) -> Any:
    """Wrap a function or method so that the process dies before (or after) it whenever `when` holds."""

    def wrapped(*given: Any, **named: Any) -> Any:
        if first and when(*given):
            kill_self()
        result = function(*given, **named)
        if not first and when(*given):
            kill_self()
        return result

    return wrapped


def arrange_kill(kill: str) -> None:
    """Arrange a kill, such as `step 7`, `validation 2`, `write 3`, `search 4`, `conclude`; `mapped ...`: on files."""
    from headframe.examples import storage
    from headframe.methods import translation
    from headframe.training import checkpoints, ensembles, network, single
    from headframe.training.module import MethodModule

    checkpoints.WORK_PER_SAVE = 0  # every checkpoint that can be written is
    if kill.startswith("mapped"):  # as if there were hardly any memory
        storage.SHARE = 0
        storage.AT_ONCE = 100
        kill = kill.removeprefix("mapped").strip()
    place, _, text = kill.partition(" ")
    number = int(text) if text.isdigit() else 0
    match place:
        case "step":  # after the optimiser's step, before anything is recorded of it
            MethodModule._update = _killed_around(
                MethodModule._update, lambda module, *_: module.state.step + 1 == number, first=False
            )
        case "validation":  # in the middle of measuring an epoch
            MethodModule.validate = _killed_around(
                MethodModule.validate, lambda module, *_: len(module.state.history) + 1 == number, first=False
            )
        case "epoch":  # right after the checkpoint of an epoch's end
            network.Checkpointing.on_train_epoch_end = _killed_around(
                network.Checkpointing.on_train_epoch_end,
                lambda _, trainer, module: len(module.state.history) == number,
                first=False,
            )
        case "write":  # half-way through writing a checkpoint
            written = [0]

            def fsync(handle: int) -> None:
                written[0] += 1
                if written[0] == number:
                    os.ftruncate(handle, 100)
                    kill_self()

            os.fsync = fsync
        case "serial":  # members one after the other, in one process
            assert callable(ensembles._processes_at_once)
            ensembles._processes_at_once = lambda _: 1
        case "fork":  # members in processes, without the seconds that a server of their own takes
            _fork(ensembles)
        case "member":  # the ensemble dies while its second member trains
            _fork(ensembles)
            ensembles._MemberPool._receive = _killed_around(
                ensembles._MemberPool._receive,
                lambda pool, connection: pool.running[connection][0].name == text,
                first=True,
            )
            ensembles._train_member = _killed_around(
                ensembles._train_member, lambda member, *_: member.name == text, first=True
            )
        case "dies" | "exits" | "errs":  # one member ends without a result, the ensemble lives
            _fork(ensembles)
            begin, end = (
                ensembles.train_learner,
                {"dies": kill_self, "exits": lambda: os._exit(3), "errs": lambda: 1 / 0},
            )
            ensembles.train_learner = lambda job, prepared, identity, folder, reporter: (
                end[place]() if folder.name == text else begin(job, prepared, identity, folder, reporter)
            )
        case "search":  # before one of its beam searches
            searches = count(1)
            translation.beam_search = _killed_around(
                translation.beam_search, lambda *_: next(searches) == number, first=True
            )
        case "conclude":  # everything is written but the result
            single.conclude = kill_self


def _fork(ensembles: Any) -> None:
    context = multiprocessing.get_context("fork")
    ensembles.multiprocessing = SimpleNamespace(
        get_context=lambda _: context, parent_process=multiprocessing.parent_process
    )


def run(request: dict[str, Any]) -> int:
    """Run the training program in this process; return its exit code."""
    with Path(os.devnull).open() as nothing, Path(request["log"]).open("a") as log:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if request["kill"] is not None:
        arrange_kill(request["kill"])
    from headframe.training.__main__ import main as program

    code = program(request["arguments"])
    for name in ("prefect", "hydra", "omegaconf", "mlflow"):
        if name in sys.modules:
            print(f"the program imported {name}")
    return code


def exit_code(child: int) -> int | None:
    """Wait for a child; None where it had to be killed since it hangs."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def import_everything() -> None:
    """Import what trainings need, and read the code that decides their results, which is remembered."""
    from headframe.code_dependencies import code_dependencies

    for package in ("headframe.datasets.readers", "headframe.features", "headframe.models", "headframe.tasks"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    training = [f"headframe.training.{name}" for name in ("__main__", "network", "ensembles", "schedules")]
    for name in (*training, "skops.io", "sklearn.ensemble", "sklearn.linear_model"):
        importlib.import_module(name)
    code_dependencies([name for name in sys.modules if name.startswith("headframe.")], Path("none"))


def respond(line: str) -> str:
    """Run the training program in a fork as a request asks for; return its exit code as JSON."""
    child = os.fork()
    if child == 0:
        code = 1  # as Python ends with an error that nobody catches
        try:
            code = run(json.loads(line))
        except BaseException:  # the child must not go on as if it were its parent
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return json.dumps(exit_code(child))
