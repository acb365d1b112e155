"""Train one network: Lightning's trainer around the module, and what happens between its stretches."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor, nn
from typing_extensions import override

from headframe.config.build import build
from headframe.config.plan.learner import Learner
from headframe.config.plan.trainer import TrainerConfig
from headframe.errors import ConfigurationError, DataError, HeadframeError
from headframe.examples.batches import Batches, TensorExamples
from headframe.examples.encode import Examples
from headframe.examples.seeds import seed_of
from headframe.features.base import finite
from headframe.features.spec import IMAGE
from headframe.tasks.base import Task
from headframe.training.checkpoints import CheckpointFile
from headframe.training.course import Epoch, Judge, TrainingState
from headframe.training.module import StepChunks, Steps, SupervisedModule
from headframe.training.progress import Reporter


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its final weights, on the device that trained it, and the history of its epochs."""

    network: nn.Module
    device: torch.device
    history: list[Epoch]


def train_network(
    learner: Learner, task: Task, examples: Examples, checkpoint: CheckpointFile, reporter: Reporter
) -> TrainedNetwork:
    """Train a network, from the checkpoint on where there is one.

    Args:
        learner: what to train.
        task: fitted.
        examples: encoded.
        checkpoint: where the state is kept.
        reporter: gets the progress.

    Raises:
        ConfigurationError: the network, the optimiser or the machine refuses a setting.
        DataError: inputs are not numbers.
        HeadframeError: training diverged, or the device has too little memory.
    """
    if not finite(examples.inputs):
        msg = "the features of training rows hold NaN or infinity; clean the data or take features that fill gaps"
        raise DataError(msg)
    settings = learner.trainer
    device = _device(settings)
    _make_exact(settings.threads)
    try:
        return _Training(learner, task, examples, checkpoint, reporter, device).run()
    except torch.OutOfMemoryError as error:
        msg = f"the GPU has too little memory for this training; lower trainer.batch_size={settings.batch_size}"
        raise HeadframeError(msg) from error


def _device(settings: TrainerConfig) -> torch.device:
    if settings.accelerator == "cuda" and not torch.cuda.is_available():
        msg = "trainer.accelerator is cuda, but this machine has no usable GPU; take auto or cpu"
        raise ConfigurationError(msg)
    on_gpu = settings.accelerator != "cpu" and torch.cuda.is_available()
    if not on_gpu and settings.precision == "16-mixed":
        msg = "trainer.precision=16-mixed needs a GPU, and this machine has none; take auto, 32-true or bf16-mixed"
        raise ConfigurationError(msg)
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def _make_exact(threads: int) -> None:
    """Have equal steps give equal bits."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True)
    # Filling fresh memory costs time, and only networks that read what they never wrote would notice.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


@dataclass
class _Training:
    learner: Learner
    task: Task
    examples: Examples
    checkpoint: CheckpointFile
    reporter: Reporter
    device: torch.device
    course: TrainingState = field(default_factory=TrainingState)

    def __post_init__(self) -> None:
        self.settings = self.learner.trainer
        self.state = self.checkpoint.load() or {}

    def run(self) -> TrainedNetwork:
        settings = self.settings
        # Before building: initial weights are draws, too.
        torch.manual_seed(seed_of(self.learner.seed, "weights") % 2**63)
        network: nn.Module = build(self.learner.model, self.examples.encoder.spec(), self.task.outputs)
        if settings.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._restore(network)
        batches = Batches(
            torch.from_numpy(self.examples.train),
            batch_size=settings.batch_size,
            seed=self.learner.seed,
            device=self.device,
        )
        finished = self.course.step // batches.steps_per_epoch
        if self.course.step:
            where = f"step {self.course.step} of {settings.max_epochs * batches.steps_per_epoch}"
            self.reporter.line(f"going on from {where}")
        if finished < settings.max_epochs and not self.course.over:
            self._fit(network, batches, settings.max_epochs - finished)
        if settings.keep == "best":
            network.load_state_dict(self.course.best)
        return TrainedNetwork(network.to(self.device).eval(), self.device, self.course.history)

    def _restore(self, network: nn.Module) -> None:
        if not self.state:
            return
        network.load_state_dict(self.state["network"])
        self.course = TrainingState(
            step=self.state["step"],
            history=self.state["history"],
            losses=list(self.state["losses"].to(self.device)),
            best=self.state["best"],
            over=self.state["over"],
        )

    def _fit(self, network: nn.Module, batches: Batches, epochs: int) -> None:
        settings, learner, per_epoch = self.settings, self.learner, batches.steps_per_epoch
        total = settings.max_epochs * per_epoch
        steps = Steps(
            examples=TensorExamples(self.examples, self.device),
            batches=batches,
            augmentations=[build(component) for component in learner.features.augment.values()],
            optimizer=lambda parameters: build(learner.optimizer, parameters),
            scheduler=lambda optimizer: build(
                learner.scheduler, optimizer, total_steps=total, steps_per_epoch=per_epoch
            ),
            seed=learner.seed,
            gradient_clip=settings.gradient_clip,
            channels_last=settings.channels_last and self.examples.encoder.spec().names == IMAGE,
        )
        compiled = torch.compile(network) if settings.compile else network
        module = SupervisedModule(network, self.task, steps, self.course, compiled)
        judge = Judge(settings.monitor, self.task.higher_is_better, self.task.primary_metric, settings.early_stopping)
        _quieten()
        trainer = Trainer(
            accelerator=self.device.type,
            devices=[self.device.index] if self.device.type == "cuda" else 1,
            precision=_precision(settings, self.device),
            max_epochs=epochs,
            callbacks=[
                Validation(self.examples, judge, settings.evaluation_batch_size, keep_best=settings.keep == "best"),
                Narration(self.reporter, settings.max_epochs, total, self.task.primary_metric),
                Checkpointing(self.checkpoint, self.state, settings.checkpoint_steps),
            ],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=Path(self.checkpoint.path.parent),
        )
        stretches = StepChunks(self.course, steps_per_epoch=per_epoch, checkpoint_steps=settings.checkpoint_steps)
        trainer.fit(module, train_dataloaders=stretches)


def _precision(settings: TrainerConfig, device: torch.device) -> Any:
    if settings.precision != "auto":
        return settings.precision
    return "bf16-mixed" if device.type == "cuda" else "32-true"


def _quieten() -> None:
    """Keep Lightning's advice to those who write their own scripts away from users of the program."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.")


class Validation(Callback):
    """Measures each finished epoch on validation rows, keeps the best weights and stops when it is time."""

    def __init__(self, examples: Examples, judge: Judge, batch_size: int, *, keep_best: bool) -> None:
        self.numbers = torch.from_numpy(examples.validation)
        self.target = examples.targets(examples.validation)
        self.judge = judge
        self.batch_size = batch_size
        self.keep_best = keep_best

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, SupervisedModule)  # noqa: S101 - the only module there is
        course, task = pl_module.course, pl_module.task
        outputs = pl_module.outputs(self.numbers, self.batch_size)
        epoch = Epoch(
            epoch=len(course.history) + 1,
            train_loss=_mean_loss(course.losses, pl_module.steps.batches.sizes()),
            val_loss=float(task.loss(outputs, torch.from_numpy(self.target))),
            primary_metric=self._primary_metric(task, outputs),
            learning_rate=pl_module.learning_rate,
        )
        self.judge.check(epoch)
        course.history.append(epoch)
        course.losses.clear()
        if self.keep_best and self.judge.best(course.history) == len(course.history) - 1:
            course.best = {name: tensor.cpu().clone() for name, tensor in pl_module.network.state_dict().items()}
        if self.judge.is_over(course.history):
            course.over = True
            trainer.should_stop = True

    def _primary_metric(self, task: Task, outputs: Tensor) -> float | None:
        scores = task.scores(outputs.numpy())
        if not finite(scores):
            return None
        predictions = task.predictions(scores, self.target)
        return task.measure(predictions, [task.primary_metric]).get(task.primary_metric)


def _mean_loss(losses: list[Tensor], sizes: Tensor) -> float:
    """Average the losses of batches over their examples."""
    of_batches = torch.stack(losses).cpu().double()
    return float((of_batches * sizes).sum() / sizes.sum())


class Narration(Callback):
    """Tells the reporter about steps and epochs."""

    def __init__(self, reporter: Reporter, epochs: int, total: int, primary_metric: str) -> None:
        self.reporter = reporter
        self.epochs = epochs
        self.total = total
        self.primary_metric = primary_metric

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: range, batch_idx: int) -> None:
        self.reporter.steps(batch.stop, self.total)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        last: Epoch = pl_module.course.history[-1]
        figures = f"train_loss {last['train_loss']:.4f} val_loss {last['val_loss']:.4f}"
        if last["primary_metric"] is not None:
            figures += f" {self.primary_metric} {last['primary_metric']:.4f}"
        self.reporter.line(f"epoch {last['epoch']}/{self.epochs} {figures}")
        if pl_module.course.over:
            self.reporter.line(f"stopped early after epoch {last['epoch']}")


class Checkpointing(Checkpoint):
    """Saves within epochs and after validation, never between an epoch's last step and its validation.

    So a state tells by its step alone which epochs are finished and validated.
    """

    def __init__(self, file: CheckpointFile, state: dict[str, Any], every: int) -> None:
        self.file = file
        self.state = state
        self.every = every

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        if not self.state:
            return
        pl_module.optimizer.load_state_dict(self.state["optimizer"])
        pl_module.scheduler.load_state_dict(self.state["scheduler"])
        if self.state["scaler"] is not None:
            trainer.precision_plugin.load_state_dict(self.state["scaler"])
        pl_module.learning_rate = self.state["learning_rate"]

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: range, batch_idx: int) -> None:
        within = batch.stop % pl_module.steps.batches.steps_per_epoch != 0
        if within and batch.stop % self.every == 0 and self.file.is_due():
            self._save(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self.file.is_due():
            self._save(trainer, pl_module)

    def _save(self, trainer: Trainer, module: SupervisedModule) -> None:
        course = module.course
        self.file.save(
            {
                "step": course.step,
                "network": module.network.state_dict(),
                "optimizer": module.optimizer.state_dict(),
                "scheduler": module.scheduler.state_dict(),
                "scaler": trainer.precision_plugin.state_dict() or None,
                "learning_rate": module.learning_rate,
                "history": course.history,
                "losses": torch.stack(course.losses) if course.losses else torch.zeros(0),
                "best": course.best,
                "over": course.over,
            }
        )
