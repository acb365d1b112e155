"""Train the members of an ensemble side by side, then combine them."""

import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from headframe.config.build import build
from headframe.config.members import member_learners
from headframe.config.plan.learner import TrainingJob
from headframe.config.plan.model import ModelConfig
from headframe.config.project import Project
from headframe.errors import HeadframeError
from headframe.examples.prepare import PreparedData
from headframe.exhaustion import exhausted, quiet_when_exhausted
from headframe.library_warnings import shorten_warnings
from headframe.prediction.bundle import ModelManifest, load_predictor, save_ensemble
from headframe.prediction.layout import BUNDLE, MEMBERS, RESULT, copies_left_out
from headframe.prediction.predictor import EnsemblePredictor, Predictor
from headframe.prediction.threads import limited_threads
from headframe.processes import cores, describe_exit, reason_of
from headframe.training.cost import ResourceUsage
from headframe.training.outcome import predicted, write_outcome
from headframe.training.progress import Display, Reporter
from headframe.training.result import Result, begin, conclude, finished, identity_of
from headframe.training.single import is_network, prepare_job, train_learner

SERVER_LOST = 255
"""What multiprocessing reports of a process whose forkserver is gone."""


@dataclass(frozen=True)
class MemberJob:
    """A learner in an ensemble that is no ensemble itself.

    Attributes:
        name: its path of names, such as `cnn` or `images/cnn-1`.
        job: what is trained.
        folder: where.
        identity: digest of everything that decides the outcome.
    """

    name: str
    job: TrainingJob
    folder: Path
    identity: str

    @property
    def is_network(self) -> bool:
        """Whether the member is a network."""
        return isinstance(self.job.learner.model, ModelConfig) and is_network(self.job.learner.model)


def members_of(job: TrainingJob, root: Path, folder: Path, name: str = "") -> Iterator[MemberJob]:
    """Yield the members of an ensemble, however deep; a learner that is no ensemble is its own only member."""
    members = member_learners(job.learner)
    if not members:
        yield MemberJob(name, job, folder, identity_of(job, root))
    for member, learner in members.items():
        path = f"{name}/{member}" if name else member
        yield from members_of(job.with_learner(learner), root, folder / MEMBERS / member, path)


def train_ensemble(job: TrainingJob, project: Project, folder: Path, display: Display, usage: ResourceUsage) -> Result:
    """Train all members, in processes of their own where there are several to train, and combine them.

    Members that are finished in the folder are kept. The usage counts the processes of members.

    Raises:
        HeadframeError: or one of its kinds: what a member or the combiner ended with.
    """
    prepared = prepare_job(job, project, folder)
    waiting = []
    for member in members_of(job, project.root, folder):
        if finished(member.folder, member.identity):
            display.line(member.name, "finished earlier")
        else:
            waiting.append(member)
    if len(waiting) == 1 or _processes_at_once(waiting) == 1:
        for member in waiting:
            _train_member(member, prepared, display)
    elif waiting:
        _MemberPool(project, display, usage).train(waiting)
    return _combine(job, project, prepared, folder)


def _train_member(member: MemberJob, prepared: PreparedData, display: Display) -> None:
    try:
        train_learner(member.job, prepared, member.identity, member.folder, display.reporter(member.name))
    except HeadframeError as error:
        raise _with_name(member, error) from error


def _with_name(member: MemberJob, error: HeadframeError) -> HeadframeError:
    return type(error)(f"member {member.name}: {error}")


def _processes_at_once(waiting: list[MemberJob]) -> int:
    """Return how many of these members can be trained side by side; those that share a GPU take turns."""
    on_gpu = (member.job.learner.trainer.accelerator != "cpu" and member.is_network for member in waiting)
    if any(on_gpu) and torch.cuda.is_available():
        return 1
    widest = max((member.job.learner.trainer.threads for member in waiting), default=1)
    return max(1, cores() // widest)


class _MemberPool:
    """Processes, one a member, as many at once as the machine has cores for."""

    def __init__(self, project: Project, display: Display, usage: ResourceUsage) -> None:
        self.project = project
        self.display = display
        self.usage = usage
        self.context = multiprocessing.get_context("forkserver")
        self.running: dict[Connection, tuple[MemberJob, BaseProcess]] = {}

    def train(self, waiting: list[MemberJob]) -> None:
        at_once = _processes_at_once(waiting)
        # The server that members are forked from imports Lightning once for all of them.
        networks = ["headframe.training.network"] if any(member.is_network for member in waiting) else []
        self.context.set_forkserver_preload(["headframe.training.single", *networks])
        queue = list(waiting)
        try:
            while queue or self.running:
                while queue and len(self.running) < at_once:
                    self._start(queue.pop(0), at_once)
                for ready in wait(list(self.running)):
                    assert isinstance(ready, Connection)  # noqa: S101 - nothing else is waited for
                    self._receive(ready)
        finally:
            for _, process in self.running.values():
                process.kill()
            for _, process in self.running.values():
                process.join()

    def _start(self, member: MemberJob, at_once: int) -> None:
        receiver, sender = self.context.Pipe(duplex=False)
        given = (sender, member, self.project, at_once)
        process = self.context.Process(target=_run_member, args=given, name=member.name)
        process.start()
        sender.close()
        self.running[receiver] = (member, process)

    def _receive(self, connection: Connection) -> None:
        member, process = self.running[connection]
        try:
            kind, *content = connection.recv()
        except (EOFError, OSError):  # the latter within a message
            kind, content = "lost", []
        match kind:
            case "steps":
                self.display.steps(member.name, *content)
            case "line":
                self.display.line(member.name, *content)
            case "failed":
                raise _with_name(member, content[0])
            case _:
                del self.running[connection]
                process.join()
                if kind == "lost":
                    how = describe_exit(process.exitcode)
                    if process.exitcode == SERVER_LOST:
                        how = "is lost, as the process that members are forked from was killed"
                    raise HeadframeError(f"member {member.name} {how}; run again to continue")
                self.usage.others.append(content[0])


def _run_member(connection: Connection, member: MemberJob, project: Project, at_once: int) -> None:
    """Train one member; runs in a process of its own, beside others."""
    _end_with_parent()
    shorten_warnings()
    quiet_when_exhausted()
    usage = ResourceUsage()
    reporter = Reporter(
        steps=lambda done, total: connection.send(("steps", done, total)),
        line=lambda text: connection.send(("line", text)),
    )
    try:
        prepared = prepare_job(member.job, project, member.folder, at_once)
        train_learner(member.job, prepared, member.identity, member.folder, reporter)
    except HeadframeError as error:
        connection.send(("failed", error))
    except BrokenPipeError:
        sys.exit(1)  # the parent has ended
    except Exception as error:
        known = exhausted(error)
        if known is None and isinstance(error, OSError):
            known = HeadframeError(f"{error.filename or member.folder}: {error.strerror or error}")
        if known is None:  # a fault of the model's code
            traceback.print_exc()
            known = HeadframeError(f"it fails with {reason_of(error)}; its traceback is in its output")
        connection.send(("failed", known))
    else:
        connection.send(("done", usage.read()))


def _end_with_parent() -> None:
    """End this process as soon as its parent has ended, for whatever reason."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - a member's process is a child

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _combine(job: TrainingJob, project: Project, prepared: PreparedData, folder: Path) -> Result:
    """Fit the combiner on validation rows and write all files of an ensemble's folder."""
    identity = identity_of(job, project.root)
    done = finished(folder, identity)
    if done is not None:
        return done
    begin(folder)
    learner, task, settings = job.learner, prepared.task, job.learner.trainer
    results: list[Result] = []
    members: dict[str, Predictor] = {}
    bundles: dict[str, Path] = {}
    for name, inner in member_learners(learner).items():
        place = folder / MEMBERS / name
        if member_learners(inner):
            results.append(_combine(job.with_learner(inner), project, prepared, place))
        else:
            results.append(Result.model_validate_json((place / RESULT).read_bytes()))
        bundles[name] = place / BUNDLE
        members[name] = load_predictor(
            bundles[name], batch_size=settings.evaluation_batch_size, trusted=project.packages
        )
    combiner: Any = build(learner.model)
    ensemble = EnsemblePredictor(task, members, combiner)
    with limited_threads(settings.threads):
        positions, splits = prepared.measured(ensemble.framing)
        copies = sorted({row for bundle in bundles.values() for row in copies_left_out(bundle)})
        validation = (splits == "validation") & ~np.isin(positions, copies)
        of_members = [_chosen(predicted(member, prepared, positions), validation) for member in members.values()]
        task.fit_merge(of_members, prepared.targets(positions[validation], ensemble.framing), combiner)
        manifest = ModelManifest(
            prepared.dataset.name,
            prepared.schema(ensemble.framing),
            prepared.dataset.reader,
            prepared.dataset.contract.columns,
            learner,
            prepared.component,
            tuple(copies),
            prepared.series,
        )
        save_ensemble(folder / BUNDLE, manifest, task, bundles, combiner)
        write_outcome(folder, prepared, ensemble, ensemble, [])
    return conclude(
        folder,
        identity,
        job.table,
        epochs=max(result.epochs for result in results),
        parameters=sum(result.parameters for result in results),
        members=tuple(members),
        copies=max(result.copies for result in results),
    )


def _chosen(tables: Iterator[pa.Table], mask: np.ndarray) -> pa.Table:
    """Return those rows of consecutive tables that a mask, bool (rows of all,), chooses."""
    parts, start = [], 0
    for table in tables:
        parts.append(table.filter(pa.array(mask[start : start + table.num_rows])))
        start += table.num_rows
    return pa.concat_tables(parts)
