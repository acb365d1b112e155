"""Train one learner that is no ensemble, into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from headframe.config.build import look_up
from headframe.config.plan.learner import Learner
from headframe.config.plan.model import ModelConfig
from headframe.examples.encode import encode
from headframe.examples.prepare import PreparedData
from headframe.prediction.bundle import ModelManifest, save_model
from headframe.prediction.layout import BUNDLE
from headframe.prediction.predictor import make_predictor
from headframe.training.checkpoints import CheckpointFile
from headframe.training.course import Epoch
from headframe.training.estimators import train_estimator
from headframe.training.outcome import scores_of, write_history, write_measured, write_probe
from headframe.training.progress import Reporter
from headframe.training.result import CHECKPOINT, Result, begin, conclude


def is_network(component: ModelConfig) -> bool:
    """Tell whether a model is a network; anything else is asked for scikit-learn's methods."""
    if component.target.startswith("sklearn."):
        return False
    from torch import nn  # noqa: PLC0415 - scikit-learn's own are known by their name

    made = look_up(component.target)
    return isinstance(made, type) and issubclass(made, nn.Module)


def train_learner(learner: Learner, prepared: PreparedData, identity: str, folder: Path, reporter: Reporter) -> Result:
    """Train a network or an estimator and write everything that its folder promises.

    Args:
        learner: not an ensemble.
        prepared: the data.
        identity: digest of everything that decides the outcome.
        folder: where it is written; an unfinished training of the same identity in it is gone on with.
        reporter: gets the progress.

    Raises:
        HeadframeError: or one of its kinds, for what a user can fix.
    """
    begin(folder)
    examples = encode(prepared, learner)
    task, encoder, threads = prepared.task, examples.encoder, learner.trainer.threads
    manifest = ModelManifest(prepared.dataset.name, prepared.schema, learner, prepared.component)
    history: list[Epoch] = []
    parameters, device = 0, "cpu"
    model: Any
    assert isinstance(learner.model, ModelConfig)  # noqa: S101 - ensembles are taken apart before
    if is_network(learner.model):
        # Lightning costs seconds, which estimators need not pay.
        from headframe.training.network import train_network  # noqa: PLC0415

        trained = train_network(learner, task, examples, CheckpointFile(folder / CHECKPOINT, identity), reporter)
        network, device, history = trained.network, str(trained.device), trained.history
        parameters = sum(tensor.numel() for tensor in network.parameters() if tensor.requires_grad)
        model = network
    else:
        model = train_estimator(learner, task, examples, reporter)
    save_model(folder / BUNDLE, manifest, encoder, task, model)
    predictor = make_predictor(
        prepared.schema, task, encoder, model, batch_size=learner.trainer.evaluation_batch_size, device=device
    )
    with threadpool_limits(threads):
        numbers, _ = prepared.measured(encoder.lookback)
        write_measured(folder, prepared, encoder.lookback, scores_of(predictor, prepared, numbers))
        # A registered model is loaded on a CPU, so that is where the probe must be answered, whatever trained it.
        write_probe(folder, make_predictor(prepared.schema, task, encoder, model), prepared)
    write_history(folder, history)
    return conclude(folder, identity, prepared.version, epochs=len(history), parameters=parameters)
