"""Runs the training program in a forked process, and kills it by SIGKILL where `kill` names.

Handed to `runpy.run_path` with `arguments`, `kill` and `log` in its globals.
"""

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any


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
    """Arrange a kill, such as `step 7`, `validation 2`, `epoch 2`, `write 3`, `conclude 1`."""
    from headframe.training import checkpoints, ensembles, network, single
    from headframe.training.module import SupervisedModule

    checkpoints.WORK_PER_SAVE = 0  # every checkpoint that can be written is
    place, _, text = kill.partition(" ")
    number = int(text) if text.isdigit() else 0
    match place:
        case "step":  # after the optimiser's step, before anything is recorded of it
            SupervisedModule._update = _killed_around(
                SupervisedModule._update, lambda module, *_: module.state.step + 1 == number, first=False
            )
        case "validation":  # in the middle of measuring an epoch
            SupervisedModule.outputs = _killed_around(
                SupervisedModule.outputs, lambda module, *_: len(module.state.history) + 1 == number, first=False
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
            ensembles._cores = lambda: 1
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
        case "conclude":  # everything is written but the result
            single.conclude = kill_self


def _fork(ensembles: Any) -> None:
    context = multiprocessing.get_context("fork")
    ensembles.multiprocessing = SimpleNamespace(
        get_context=lambda _: context, parent_process=multiprocessing.parent_process
    )


def main() -> None:
    given = globals()
    with Path(given["log"]).open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if given["kill"] is not None:
        arrange_kill(given["kill"])
    from headframe.training.__main__ import main as program

    code = program(given["arguments"])
    for name in ("prefect", "hydra", "omegaconf", "mlflow"):
        if name in sys.modules:
            print(f"the program imported {name}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
