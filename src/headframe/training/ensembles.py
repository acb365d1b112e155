"""Train the members of an ensemble side by side, then combine them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from headframe.config.build import build
from headframe.config.members import member_learners
from headframe.config.plan.learner import Learner
from headframe.config.plan.model import ModelConfig
from headframe.errors import HeadframeError
from headframe.examples.prepare import PreparedData, prepare
from headframe.prediction.bundle import ModelManifest, load_predictor, save_ensemble
from headframe.prediction.layout import BUNDLE, MEMBERS, RESULT
from headframe.prediction.predictor import EnsemblePredictor, Predictor
from headframe.processes import describe_exit
from headframe.training.cost import ResourceUsage
from headframe.training.learner import is_network, train_learner
from headframe.training.outcome import scores_of, write_history, write_measured, write_probe
from headframe.training.progress import Display
from headframe.training.result import Result, TrainingJob, begin, conclude, finished


@dataclass(frozen=True)
class Leaf:
    """A member that is no ensemble itself.

    Attributes:
        name: its path of names, such as `cnn` or `images/cnn-1`.
        learner: what to train.
        folder: where.
        identity: digest of everything that decides what comes of it.
    """

    name: str
    learner: Learner
    folder: Path
    identity: str


def leaves(learner: Learner, work: TrainingJob, folder: Path, name: str = "") -> Iterator[Leaf]:
    """Take an ensemble apart, however deep; a learner that is none is its own only leaf."""
    members = member_learners(learner)
    if not members:
        yield Leaf(name, learner, folder, work.identity(learner))
    for member, inner in members.items():
        yield from leaves(inner, work, folder / MEMBERS / member, f"{name}/{member}" if name else member)


def train_ensemble(learner: Learner, work: TrainingJob, folder: Path, display: Display, meter: ResourceUsage) -> Result:
    """Train all members, in processes of their own where there are several to train, and combine them.

    Args:
        learner: whose model is an ensemble.
        work: the data side of the plan.
        folder: where it is written; members that are finished in it are taken as they are.
        display: shows how it goes on.
        meter: counts in the processes of members.

    Raises:
        HeadframeError: or one of its kinds: what a member or the combiner ended with.
    """
    prepared = _prepared(work)
    waiting = []
    for leaf in leaves(learner, work, folder):
        if finished(leaf.folder, leaf.identity):
            display.line(leaf.name, "finished earlier")
        else:
            waiting.append(leaf)
    if len(waiting) == 1 or _processes_at_once(waiting) == 1:
        for leaf in waiting:
            _train_leaf(leaf, prepared, display)
    elif waiting:
        _MemberPool(work, display, meter).train(waiting)
    return _combine(learner, work, prepared, folder)


def _prepared(work: TrainingJob) -> PreparedData:
    return prepare(work.dataset, work.task, work.table())


def _train_leaf(leaf: Leaf, prepared: PreparedData, display: Display) -> None:
    try:
        train_learner(leaf.learner, prepared, leaf.identity, leaf.folder, display.reporter(leaf.name))
    except HeadframeError as error:
        raise _of_member(leaf, error) from error


def _of_member(leaf: Leaf, error: HeadframeError) -> HeadframeError:
    """Say which member an error is about."""
    return type(error)(f"member {leaf.name}: {error}")


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processes_at_once(waiting: list[Leaf]) -> int:
    """How many of these members can be trained side by side; those who share a GPU take turns."""
    if any(_on_gpu(leaf.learner) for leaf in waiting):
        return 1
    widest = max((leaf.learner.trainer.threads for leaf in waiting), default=1)
    return max(1, _cores() // widest)


def _on_gpu(learner: Learner) -> bool:
    assert isinstance(learner.model, ModelConfig)  # noqa: S101 - a leaf
    return learner.trainer.accelerator != "cpu" and is_network(learner.model) and torch.cuda.is_available()


class _MemberPool:
    """Processes, one a member, as many at once as the machine has cores for."""

    def __init__(self, work: TrainingJob, display: Display, meter: ResourceUsage) -> None:
        self.work = work
        self.display = display
        self.meter = meter
        self.context = multiprocessing.get_context("forkserver")
        self.running: dict[Connection, tuple[Leaf, BaseProcess]] = {}

    def train(self, waiting: list[Leaf]) -> None:
        at_once = _processes_at_once(waiting)
        heavy = any(isinstance(leaf.learner.model, ModelConfig) and is_network(leaf.learner.model) for leaf in waiting)
        # The server that members are forked from imports Lightning once for all of them.
        self.context.set_forkserver_preload(
            ["headframe.training.learner", *(["headframe.training.network"] if heavy else [])]
        )
        queue = list(waiting)
        try:
            while queue or self.running:
                while queue and len(self.running) < at_once:
                    self._start(queue.pop(0))
                for ready in wait(list(self.running)):
                    assert isinstance(ready, Connection)  # noqa: S101 - nothing else is waited for
                    self._hear(ready)
        finally:
            for _, process in self.running.values():
                process.kill()
            for _, process in self.running.values():
                process.join()

    def _start(self, leaf: Leaf) -> None:
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_member, args=(theirs, leaf, self.work), name=leaf.name)
        process.start()
        theirs.close()
        self.running[ours] = (leaf, process)

    def _hear(self, connection: Connection) -> None:
        leaf, process = self.running[connection]
        try:
            kind, *said = connection.recv()
        except EOFError:
            kind, said = "lost", []
        match kind:
            case "steps":
                self.display.steps(leaf.name, *said)
            case "line":
                self.display.line(leaf.name, *said)
            case "failed":
                raise _of_member(leaf, said[0])
            case _:
                del self.running[connection]
                process.join()
                if kind == "done":
                    self.meter.others.append(said[0])
                else:
                    msg = f"member {leaf.name} {describe_exit(process.exitcode)}; start again, and it goes on"
                    raise HeadframeError(msg)


class _Line:
    """Sends what a member reports to the process that shows it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def steps(self, done: int, total: int) -> None:
        self._connection.send(("steps", done, total))

    def line(self, text: str) -> None:
        self._connection.send(("line", text))


def _member(connection: Connection, leaf: Leaf, work: TrainingJob) -> None:
    """Train one member; runs in a process of its own."""
    _end_with_parent()
    meter = ResourceUsage()
    try:
        train_learner(leaf.learner, _prepared(work), leaf.identity, leaf.folder, _Line(connection))
    except HeadframeError as error:
        connection.send(("failed", error))
    except BrokenPipeError:
        sys.exit(1)  # nobody listens any more
    except OSError as error:
        connection.send(("failed", HeadframeError(f"{error.filename or leaf.folder}: {error.strerror or error}")))
    else:
        connection.send(("done", meter.read()))


def _end_with_parent() -> None:
    """End this process as soon as its parent has ended, however that came about."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - a member is somebody's child

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _combine(learner: Learner, work: TrainingJob, prepared: PreparedData, folder: Path) -> Result:
    """Fit the combiner on validation rows and write what the folder of an ensemble promises."""
    identity = work.identity(learner)
    done = finished(folder, identity)
    if done is not None:
        return done
    begin(folder)
    results: dict[str, Result] = {}
    members: dict[str, Predictor] = {}
    settings = learner.trainer
    for name, inner in member_learners(learner).items():
        place = folder / MEMBERS / name
        if member_learners(inner):
            results[name] = _combine(inner, work, prepared, place)
        else:
            results[name] = Result.model_validate_json((place / RESULT).read_bytes())
        members[name] = load_predictor(place / BUNDLE, batch_size=settings.evaluation_batch_size, trusted=work.trusted)
    combiner: Any = build(learner.model)
    ensemble = EnsemblePredictor(prepared.task, members, combiner)
    torch.set_num_threads(settings.threads)
    with threadpool_limits(settings.threads):
        numbers, parts = prepared.measured(ensemble.lookback)
        scores = np.stack(
            [scores_of(member, prepared, numbers + ensemble.lookback - member.lookback) for member in members.values()]
        )
        validation = parts == "validation"
        target = prepared.targets(numbers[validation], ensemble.lookback)
        if not prepared.task.predicts_probabilities:
            target = prepared.task.scores(target)
        combiner.fit(scores[:, validation], target, probabilities=prepared.task.predicts_probabilities)
        manifest = ModelManifest(prepared.dataset.name, prepared.schema, learner, prepared.component)
        places = {name: folder / MEMBERS / name / BUNDLE for name in members}
        save_ensemble(folder / BUNDLE, manifest, prepared.task, places, combiner)
        write_measured(folder, prepared, ensemble.lookback, combiner.combine(scores))
        write_probe(folder, ensemble, prepared)
    write_history(folder, [])
    return conclude(
        folder,
        identity,
        prepared.version,
        epochs=max(result.epochs for result in results.values()),
        parameters=sum(result.parameters for result in results.values()),
        members=tuple(members),
    )
