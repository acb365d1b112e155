"""Train one network: Lightning's trainer around the module, and what happens between its chunks of steps."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import nn
from typing_extensions import override

from headframe.config.build import build
from headframe.config.members import phase_learners
from headframe.config.plan.learner import LearnerConfig
from headframe.config.plan.trainer import TrainerConfig
from headframe.errors import ConfigurationError, DataError, HeadframeError
from headframe.examples.batches import Batches, TensorExamples
from headframe.examples.encode import Examples
from headframe.examples.seeds import seed_of
from headframe.features.base import finite
from headframe.features.spec import IMAGE
from headframe.methods.base import Method
from headframe.seals import OtherKey
from headframe.tasks.base import Task, with_truth
from headframe.training.checkpoints import CheckpointFile
from headframe.training.module import MethodModule, StepChunks
from headframe.training.progress import Reporter
from headframe.training.state import Epoch, EpochMonitor, TrainingState


@dataclass(frozen=True)
class TrainedNetwork:
    """A method with its network of final weights, on the device that trained it, and the history of its epochs."""

    method: Method[Any]
    device: torch.device
    history: list[Epoch]


def train_network(
    learner: LearnerConfig, task: Task, examples: Examples, checkpoint: CheckpointFile, reporter: Reporter
) -> TrainedNetwork:
    """Train a network to a fitted task, from the checkpoint on where there is one.

    Raises:
        ConfigurationError: the network, the optimiser or the machine refuses a setting.
        DataError: inputs are not numbers.
        HeadframeError: training diverged, or the device has too little memory.
    """
    if not finite(examples.inputs):
        msg = "the features of training rows hold NaN or infinity; clean the data or take features that fill gaps"
        raise DataError(msg)
    try:
        return _train(learner, task, examples, checkpoint, reporter)
    except torch.OutOfMemoryError as error:
        batch_size = learner.trainer.batch_size
        msg = f"the GPU has too little memory for this training; lower trainer.batch_size={batch_size}"
        raise HeadframeError(msg) from error


def _device(settings: TrainerConfig) -> torch.device:
    if settings.accelerator == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("trainer.accelerator is cuda, but this machine has no usable GPU; take auto or cpu")
    on_gpu = settings.accelerator != "cpu" and torch.cuda.is_available()
    if not on_gpu and settings.precision == "16-mixed":
        msg = "trainer.precision=16-mixed needs a GPU, and this machine has none; take auto, 32-true or bf16-mixed"
        raise ConfigurationError(msg)
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def _make_exact(threads: int) -> None:
    """Configure torch so that equal steps give equal bits."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True)
    # Filling fresh memory costs time, and only networks that read what they never wrote would notice.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def _train(
    learner: LearnerConfig, task: Task, examples: Examples, checkpoint: CheckpointFile, reporter: Reporter
) -> TrainedNetwork:
    device = _device(learner.trainer)
    _make_exact(learner.trainer.threads)
    # Before building: initial weights are draws, too.
    torch.manual_seed(seed_of(learner.seed, "weights"))
    network: nn.Module = build(learner.model, examples.spec, task.outputs)
    if learner.trainer.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    saved = None
    try:
        saved = checkpoint.load()
    except OtherKey as error:
        reporter.line(f"training starts from the beginning, not from {checkpoint.path}: {error}")
    history: list[Epoch] = [] if saved is None else saved["earlier"]
    if saved is not None:
        network.load_state_dict(saved["network"])
    rows = TensorExamples(examples, device)
    for number, (name, (settings, trains)) in enumerate(phase_learners(learner).items()):
        if saved is not None and number < saved["phase"]:
            continue
        resumed = saved if saved is not None and number == saved["phase"] else None
        phase = Phase(number, name, settings, trains, history)
        method: Method[Any] = build(settings.method, network, task)
        history = _train_phase(phase, network, method, examples, rows, checkpoint, resumed, reporter)
    method.network = network.to(device).eval()
    with torch.inference_mode():
        validation = torch.split(torch.from_numpy(examples.validation), settings.trainer.evaluation_batch_size)
        method.calibrate(map(rows.take, validation))
    return TrainedNetwork(method, device, history)


@dataclass(frozen=True)
class Phase:
    """One phase of a training.

    Attributes:
        number: from 0.
        name: as the plan has it; empty where it is the only one.
        learner: with the settings of the phase.
        trains: parts of the network whose weights change; none: all.
        earlier: the epochs of the phases before it.
    """

    number: int
    name: str
    learner: LearnerConfig
    trains: tuple[str, ...]
    earlier: list[Epoch]


def _train_phase(  # noqa: PLR0917 - all that a phase works on
    phase: Phase,
    network: nn.Module,
    method: Method[Any],
    examples: Examples,
    rows: TensorExamples,
    checkpoint: CheckpointFile,
    saved: dict[str, Any] | None,
    reporter: Reporter,
) -> list[Epoch]:
    """Train a network in one phase, from its saved state on where there is one; return the history of all epochs."""
    settings, device, state = phase.learner.trainer, rows.device, TrainingState()
    if saved is not None:
        losses = {name: list(each.to(device)) for name, each in saved["losses"].items()}
        state = TrainingState(saved["step"], saved["history"], losses, saved["best"], saved["stopped"])
    still = [part for name, part in network.named_children() if phase.trains and name not in phase.trains]
    frozen = [weight for part in still for weight in part.parameters() if weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(False)
    indices = torch.from_numpy(examples.train)
    batches = Batches(indices, batch_size=settings.batch_size, seed=phase.learner.seed, device=device)
    total = settings.max_epochs * batches.steps_per_epoch
    if state.step:
        reporter.line(f"resuming from step {state.step} of {total}")
    else:
        torch.manual_seed(seed_of(phase.learner.seed, "preparation"))
        network.to(device).eval()
        with torch.inference_mode():
            method.prepare(map(rows.take, torch.split(indices, settings.evaluation_batch_size)))
        network.train()
    epochs = settings.max_epochs - state.step // batches.steps_per_epoch
    if epochs > 0 and not state.stopped:
        module = MethodModule(
            network,
            method,
            phase.learner,
            examples=rows,
            batches=batches,
            state=state,
            channels_last=settings.channels_last and examples.spec.names == IMAGE,
        )
        _silence_lightning()
        trainer = Trainer(
            accelerator=device.type,
            devices=[device.index] if device.type == "cuda" else 1,
            precision=_precision(settings, device),
            max_epochs=epochs,
            callbacks=[
                Validation(examples, settings),
                ProgressReporting(reporter, settings.max_epochs, total, phase.name),
                Checkpointing(checkpoint, saved, settings.checkpoint_steps, phase),
            ],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=Path(checkpoint.path.parent),
        )
        per_epoch, between = batches.steps_per_epoch, settings.checkpoint_steps
        trainer.fit(module, StepChunks(state, steps_per_epoch=per_epoch, checkpoint_steps=between))
    if settings.keep == "best":
        network.load_state_dict(state.best)
    for weight in frozen:
        weight.requires_grad_(True)
    before = len(phase.earlier)
    return phase.earlier + [Epoch(**{**each, "epoch": before + each["epoch"]}) for each in state.history]


def _precision(settings: TrainerConfig, device: torch.device) -> Any:
    if settings.precision != "auto":
        return settings.precision
    return "bf16-mixed" if device.type == "cuda" else "32-true"


def _silence_lightning() -> None:
    """Hide Lightning's advice for people who write their own training scripts."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.")


class Validation(Callback):
    """Measures each finished epoch on validation rows, keeps the best weights and stops when it is time."""

    def __init__(self, examples: Examples, settings: TrainerConfig) -> None:
        self.indices = torch.from_numpy(examples.validation)
        self.targets = examples.targets(examples.validation)
        self.settings = settings

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, MethodModule)  # noqa: S101 - the only module there is
        state, task, settings = pl_module.state, pl_module.method.task, self.settings
        monitor = EpochMonitor(settings.monitor, task.higher_is_better, task.primary_metric, settings.early_stopping)
        loss, predictions = pl_module.validate(self.indices, settings.evaluation_batch_size)
        losses = state.mean_losses(pl_module.batches.sizes())
        epoch = Epoch(
            epoch=len(state.history) + 1,
            train_loss=sum(losses.values()),
            val_loss=loss,
            primary_metric=None if predictions is None else self._primary_metric(task, predictions),
            learning_rate=pl_module.learning_rate,
        )
        if len(losses) > 1:
            epoch["losses"] = losses
        monitor.check(epoch)
        state.history.append(epoch)
        state.losses.clear()
        if settings.keep == "best" and monitor.best(state.history) == len(state.history) - 1:
            state.best = {name: tensor.cpu().clone() for name, tensor in pl_module.network.state_dict().items()}
        if monitor.should_stop(state.history):
            state.stopped = trainer.should_stop = True

    def _primary_metric(self, task: Task, predictions: pa.Table) -> float | None:
        measured = with_truth(task.truth(self.targets), predictions)
        return task.measure(measured, [task.primary_metric]).get(task.primary_metric)


class ProgressReporting(Callback):
    """Reports steps and epochs."""

    def __init__(self, reporter: Reporter, epochs: int, total: int, phase: str) -> None:
        self.reporter = reporter
        self.phase = f"{phase} " if phase else ""
        self.epochs = epochs
        self.total = total

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: range, batch_idx: int) -> None:
        self.reporter.steps(batch.stop, self.total)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        last: Epoch = pl_module.state.history[-1]
        figures = f"train_loss {last['train_loss']:.4f} val_loss {last['val_loss']:.4f}"
        if last["primary_metric"] is not None:
            figures += f" {pl_module.method.task.primary_metric} {last['primary_metric']:.4f}"
        self.reporter.line(f"{self.phase}epoch {last['epoch']}/{self.epochs} {figures}")
        if pl_module.state.stopped:
            self.reporter.line(f"{self.phase}stopped early after epoch {last['epoch']}")


class Checkpointing(Checkpoint):
    """Saves within epochs and after validation, never between an epoch's last step and its validation.

    So the step of a saved state alone shows which epochs are finished and validated.
    """

    def __init__(self, file: CheckpointFile, saved: dict[str, Any] | None, every: int, phase: Phase) -> None:
        self.file = file
        self.saved = saved
        self.every = every
        self.phase = phase

    @override
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        if self.saved is None:
            return
        for move in pl_module.weights:
            pl_module.optimizers_[move].load_state_dict(self.saved["optimizers"][move])
            pl_module.schedulers_[move].load_state_dict(self.saved["schedulers"][move])
        if self.saved["scaler"] is not None:
            trainer.precision_plugin.load_state_dict(self.saved["scaler"])
        pl_module.learning_rate = self.saved["learning_rate"]

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: range, batch_idx: int) -> None:
        if batch.stop % pl_module.batches.steps_per_epoch != 0 and batch.stop % self.every == 0:
            self._save_if_due(trainer, pl_module)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._save_if_due(trainer, pl_module)

    def _save_if_due(self, trainer: Trainer, module: MethodModule) -> None:
        if not self.file.is_due():
            return
        state = module.state
        self.file.save(
            {
                "step": state.step,
                "network": module.network.state_dict(),
                "optimizers": {move: each.state_dict() for move, each in module.optimizers_.items()},
                "schedulers": {move: each.state_dict() for move, each in module.schedulers_.items()},
                "scaler": trainer.precision_plugin.state_dict() or None,
                "learning_rate": module.learning_rate,
                "history": state.history,
                "losses": {name: torch.stack(each) for name, each in state.losses.items()},
                "best": state.best,
                "stopped": state.stopped,
                "phase": self.phase.number,
                "earlier": self.phase.earlier,
            }
        )
