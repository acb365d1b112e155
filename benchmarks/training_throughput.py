"""Training throughput of the program against a plain PyTorch loop on the same batches."""

import statistics
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from benchmarks.measurement import ROOT, Measurement, seconds
from headframe.config.build import build
from headframe.config.load import load_plan
from headframe.config.plan.learner import LearnerConfig
from headframe.config.project import Project
from headframe.examples.batches import Batches, TensorExamples
from headframe.examples.encode import Examples
from headframe.examples.framing import RowFraming
from headframe.examples.seeds import seed_of
from headframe.features.images import Images
from headframe.tasks.classification import Classification
from headframe.tasks.dense import TARGET
from headframe.training.checkpoints import CheckpointFile
from headframe.training.network import train_network
from headframe.training.progress import Reporter

REPETITIONS = 5
CLASSES = 10


@dataclass(frozen=True)
class Case:
    """A network and made-up images to train it on."""

    name: str
    overrides: tuple[str, ...]
    side: int  # pixels
    examples: int
    goal: float

    def learner(self) -> LearnerConfig:
        given = ["dataset=digits", "scheduler=one_cycle", "trainer.threads=1", "trainer.accelerator=cpu"]
        return load_plan([*given, *self.overrides], Project(ROOT)).learner

    def data(self) -> tuple[Examples, Classification]:
        draw = np.random.default_rng(0)
        validating = self.examples // 10
        rows = self.examples + validating
        inputs = draw.standard_normal((rows, 1, self.side, self.side), dtype=np.float32)
        target = draw.integers(0, CLASSES, rows)
        encoder = Images()
        encoder.restore({"columns": ["image"], "shape": [1, self.side, self.side], "mean": [0.0], "deviation": [1.0]})
        task = Classification()
        task.restore({"column": "label", "type": "int64", "classes": [*range(CLASSES)], "counts": [1] * CLASSES})
        numbers = np.arange(rows)
        train, validation, copies = np.split(numbers, [self.examples, rows])
        framing = RowFraming()
        reads = framing.reads(pa.table({"number": numbers}))
        examples = Examples(encoder, inputs, {TARGET: target}, framing, reads, train, validation, copies)
        return examples, task


CASES = (
    Case(
        "CNN, 28 x 28 pixels, batches of 64",
        ("model=cnn", "trainer.max_epochs=2", "trainer.batch_size=64"),
        side=28,
        examples=3200,
        goal=0.98,
    ),
    Case(
        "tiny MLP, 8 x 8 pixels, batches of 32",
        ("model=mlp", "model.hidden=[64]", "trainer.max_epochs=20", "trainer.batch_size=32"),
        side=8,
        examples=3200,
        goal=0.85,
    ),
)


SILENT = Reporter(steps=lambda *_: None, line=lambda _: None)


def plain(learner: LearnerConfig, examples: Examples, task: Classification) -> torch.nn.Module:
    """Train as one would by hand: the same steps, schedule and validation, and nothing else."""
    torch.manual_seed(seed_of(learner.seed, "weights"))
    network: torch.nn.Module = build(learner.model, examples.encoder.spec(), task.outputs)
    device = torch.device("cpu")
    rows = TensorExamples(examples, device)
    size, settings = learner.trainer.batch_size, learner.trainer
    batches = Batches(torch.from_numpy(examples.train), batch_size=size, seed=learner.seed, device=device)
    optimizer = build(learner.optimizer, network.parameters())
    total = settings.max_epochs * batches.steps_per_epoch
    scheduler = build(learner.scheduler, optimizer, total_steps=total, steps_per_epoch=batches.steps_per_epoch)
    validation = torch.from_numpy(examples.validation)
    for epoch in range(settings.max_epochs):
        network.train()
        for step in range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch):
            inputs, targets = rows.take(batches.at(step))
            target = targets[TARGET]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs), target).backward()
            optimizer.step()
            scheduler.step()
        network.eval()
        with torch.inference_mode():
            torch.cat([network(rows.take(part).inputs) for part in validation.split(settings.evaluation_batch_size)])
    return network


def ratio(case: Case, repetitions: int = REPETITIONS) -> float:
    """Give the program's throughput as a share of the plain loop's; the median of alternating pairs."""
    learner, (examples, task) = case.learner(), case.data()
    torch.set_num_threads(1)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repetitions + 1):
            file = CheckpointFile(Path(folder) / f"{number}.ckpt", "benchmark")
            by_hand = seconds(lambda: plain(learner, examples, task))
            program = seconds(partial(train_network, learner, task, examples, file, SILENT))
            found.append(by_hand / program)
    return statistics.median(found[1:])  # the first pair warms up


def measure() -> list[Measurement]:
    """Measure each case; the share includes start, validation and checkpoints of the program."""
    rows = []
    for case in CASES:
        share = ratio(case)
        rows.append(
            Measurement(
                what=f"training throughput: {case.name}",
                figure=f"{share:.2f}",
                against="a plain PyTorch loop on the same batches",
                goal=f">= {case.goal}",
                met=share >= case.goal,
            )
        )
    return rows
