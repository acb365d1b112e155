"""Train one learner that is no ensemble, into its folder."""

import inspect
import warnings
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from headframe.config.build import build, class_of
from headframe.config.plan.learner import LearnerConfig, TrainingJob
from headframe.config.plan.model import ModelConfig
from headframe.config.project import Project
from headframe.datasets.table import open_version
from headframe.examples.encode import Examples, encode
from headframe.examples.prepare import PreparedData, prepare
from headframe.examples.storage import Storage
from headframe.miners.base import EstimatorModel, estimator_model
from headframe.prediction.bundle import ModelManifest, save_model
from headframe.prediction.layout import BUNDLE
from headframe.prediction.predictor import make_predictor
from headframe.tasks.base import Task
from headframe.training.checkpoints import CheckpointFile
from headframe.training.outcome import write_outcome
from headframe.training.progress import Reporter
from headframe.training.result import CHECKPOINT, Result, begin, conclude
from headframe.training.state import Epoch


def is_network(component: ModelConfig) -> bool:
    """Return whether a model is a network; anything else has scikit-learn's methods."""
    if component.target.startswith("sklearn."):
        return False
    from torch import nn  # noqa: PLC0415 - scikit-learn's own are known by their name

    return issubclass(class_of(component), nn.Module)


def prepare_job(job: TrainingJob, project: Project, folder: Path, processes: int = 1) -> PreparedData:
    """Prepare the data of a job for a training in a folder, beside others; see `Storage`.

    Raises:
        HeadframeError: or one of its kinds, as `prepare` and `open_version` raise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = open_version(project.root, job.dataset.name, job.table)
    return prepare(job.dataset, job.task, table, Storage(folder, processes))


def train_learner(job: TrainingJob, prepared: PreparedData, identity: str, folder: Path, reporter: Reporter) -> Result:
    """Train a network or an estimator, which is no ensemble, and write all files of its folder.

    An unfinished training of the same identity in the folder is continued.

    Raises:
        HeadframeError: or one of its kinds, for what a user can fix.
    """
    begin(folder)
    learner, task = job.learner, prepared.task
    examples = encode(prepared, learner)
    encoder = examples.encoder
    dataset, framing = prepared.dataset, examples.framing
    schema = prepared.schema(framing)
    copies = tuple(examples.copies.tolist())
    if copies:
        reporter.line(f"{len(copies):,} training or validation rows are copies for its features, and left out")
    contract = dataset.contract.columns
    manifest = ModelManifest(
        dataset.name, schema, dataset.reader, contract, learner, prepared.component, copies, prepared.series
    )
    reader = build(dataset.reader)
    history: list[Epoch] = []
    parameters, device = 0, "cpu"
    model: Any
    assert isinstance(learner.model, ModelConfig)  # noqa: S101 - members of ensembles are trained one by one
    if is_network(learner.model):
        # Lightning costs seconds, which estimators need not pay.
        from headframe.training.network import train_network  # noqa: PLC0415 - imports lightning

        trained = train_network(learner, task, examples, CheckpointFile(folder / CHECKPOINT, identity), reporter)
        model, device, history = trained.method, str(trained.device), trained.history
        parameters = sum(each.numel() for each in trained.method.network.parameters() if each.requires_grad)
    else:
        model = _train_estimator(learner, task, examples, reporter)
    save_model(folder / BUNDLE, manifest, encoder, task, model)
    predictor = make_predictor(
        schema,
        reader,
        task,
        encoder,
        model,
        contract=contract,
        framing=framing,
        batch_size=learner.trainer.evaluation_batch_size,
        device=device,
    )
    with threadpool_limits(learner.trainer.threads):
        # A registered model is loaded on a CPU, so that is where its probe is predicted, whatever trained it.
        on_cpu = make_predictor(schema, reader, task, encoder, model, contract=contract, framing=framing)
        write_outcome(folder, prepared, predictor, on_cpu, history)
    return conclude(folder, identity, job.table, epochs=len(history), parameters=parameters, copies=len(copies))


def _train_estimator(learner: LearnerConfig, task: Task, examples: Examples, reporter: Reporter) -> EstimatorModel[Any]:
    """Fit an estimator of scikit-learn's interface on the training examples, which are laid out as a whole.

    An estimator that draws gets the learner's seed unless the plan fixes `random_state`. Examples weigh as
    their class does in a network's loss. The reporter gets the estimator's warnings.

    Raises:
        ConfigurationError: the estimator refuses its settings or this kind of target.
        DataError: inputs are not numbers.
    """
    component = learner.model
    takes_seed = "random_state" in inspect.signature(class_of(component)).parameters
    if takes_seed and component.arguments.get("random_state") is None:
        component = component.model_copy(update={"random_state": learner.seed})
    estimator: Any = build(component)
    model = estimator_model(estimator, task, examples.encoder.feature_names)
    with threadpool_limits(learner.trainer.threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(examples.inputs_of(examples.train), examples.targets(examples.train))
        model.calibrate(examples.inputs_of(examples.validation), examples.targets(examples.validation))
    for text in dict.fromkeys(str(warning.message).partition("\n")[0] for warning in caught):
        reporter.line(f"{type(estimator).__name__} warns: {text}")
    reporter.steps(1, 1)
    return model
