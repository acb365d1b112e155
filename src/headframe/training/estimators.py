"""Train one estimator that follows scikit-learn's interface."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

from threadpoolctl import threadpool_limits

from headframe.config.build import build, look_up
from headframe.config.plan.learner import Learner
from headframe.examples.encode import Examples
from headframe.prediction.estimator import EstimatorModel
from headframe.tasks.base import Task
from headframe.training.progress import Reporter


def train_estimator(learner: Learner, task: Task, examples: Examples, reporter: Reporter) -> EstimatorModel:
    """Fit an estimator on the training examples.

    Args:
        learner: what to train; an estimator that draws gets its seed unless the plan fixes `random_state`.
        task: fitted; its weights of examples stand for the weights in a network's loss.
        examples: encoded; windows are laid out flat.
        reporter: gets the estimator's warnings.

    Raises:
        ConfigurationError: the estimator refuses its settings or this kind of target.
        DataError: inputs are not numbers.
    """
    component = learner.model
    takes_seed = "random_state" in inspect.signature(look_up(component.target)).parameters
    if takes_seed and component.arguments.get("random_state") is None:
        component = component.model_copy(update={"random_state": learner.seed})
    estimator: Any = build(component)
    model = EstimatorModel(estimator, task.outputs, classifies=task.predicts_probabilities)
    target = examples.targets(examples.train)
    with threadpool_limits(learner.trainer.threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(examples.windows(examples.train), target, task.example_weights(target))
    for text in dict.fromkeys(str(warning.message).partition("\n")[0] for warning in caught):
        reporter.line(f"{type(estimator).__name__} warns: {text}")
    reporter.steps(1, 1)
    return model
