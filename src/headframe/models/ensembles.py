"""Combine the scores of several models.

A combiner sees scores only: probabilities of classes, or values in the target's own unit. Bagging and deep ensembles
are `Mean` over copies of one member with other rows or seeds, which the plan asks for with `bootstrap` and `copies`.
"""

from abc import ABC, abstractmethod
from typing import Any, final

import numpy as np
from scipy.optimize import minimize
from typing_extensions import override

from headframe.config.ranges import Positive
from headframe.errors import DataError

SMALLEST = 1e-12
"""Probabilities are clipped here before their logarithm."""


class Combiner(ABC):
    """Combines scores of members into scores of the ensemble; fitted on validation rows.

    No member's weights were fitted to these rows, but its best epoch and when to stop may have been chosen on them.
    Fitted values are JSON, in attributes with a trailing underscore.
    """

    @final
    def fit(self, scores: np.ndarray, target: np.ndarray, *, probabilities: bool) -> None:
        """Fit the combination.

        Args:
            scores: (members, examples, classes) probabilities, or (members, examples, ...) values, float64.
            target: int64 (examples,) classes, or values like one member's scores, in the same unit.
            probabilities: whether scores are probabilities of classes, which is what the task predicts.

        Raises:
            DataError: shapes do not fit, or a score is NaN or infinite.
        """
        fits = scores.shape[1:2] == target.shape if probabilities else scores.shape[1:] == target.shape
        if not fits or scores.shape[1] == 0:
            raise DataError(f"scores {scores.shape} of an ensemble's members do not fit targets {target.shape}")
        if not np.isfinite(scores).all():
            which = int(np.argmin(np.isfinite(scores).reshape(len(scores), -1).all(axis=1)))
            raise DataError(f"member {which} of the ensemble (counted from 0) predicts NaN or infinity; train it again")
        self._fit(scores, target, probabilities=probabilities)

    @abstractmethod
    def combine(self, scores: np.ndarray) -> np.ndarray:
        """Combine scores (members, examples, ...) into scores (examples, ...) float64."""

    @final
    def state(self) -> dict[str, Any]:
        """Return what was fitted, as JSON values."""
        return {name[:-1]: value for name, value in vars(self).items() if name.endswith("_")}

    @final
    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            KeyError: the state lacks something that was fitted.
        """
        for name in [name for name in vars(self) if name.endswith("_")]:
            setattr(self, name, state[name[:-1]])

    @abstractmethod
    def _fit(self, scores: np.ndarray, target: np.ndarray, *, probabilities: bool) -> None: ...


class Mean(Combiner):
    """Every member has the same weight (deep ensembles: Lakshminarayanan et al., arXiv:1612.01474)."""

    @override
    def combine(self, scores: np.ndarray) -> np.ndarray:
        return scores.mean(axis=0)

    def _fit(self, scores: np.ndarray, target: np.ndarray, *, probabilities: bool) -> None:
        """Do nothing; there is nothing to fit."""


class Weighted(Combiner):
    """A weighted mean; the weights are not negative, sum to one and have the lowest error on validation rows.

    The error is the logarithmic loss for classes and the squared error for values, each variable measured in its own
    deviation. Both are convex in the weights, so the best ones are unique up to members that always agree.
    """

    def __init__(self) -> None:
        self.weights_: list[float] = []

    def _fit(self, scores: np.ndarray, target: np.ndarray, *, probabilities: bool) -> None:
        members = len(scores)
        if probabilities:
            of_truth = scores[:, np.arange(len(target)), target]

            def error(weights: np.ndarray) -> tuple[float, np.ndarray]:
                mixed = np.maximum(weights @ of_truth, SMALLEST)
                return float(-np.log(mixed).mean()), -(of_truth / mixed).mean(axis=1)

        else:
            deviation = target.reshape(-1, target.shape[-1]).std(axis=0)  # of each variable
            residuals = ((scores - target) / np.where(deviation > 0, deviation, 1.0)).reshape(members, -1)
            products = residuals @ residuals.T / residuals.shape[1]
            products /= max(float(np.trace(products)) / members, SMALLEST)

            def error(weights: np.ndarray) -> tuple[float, np.ndarray]:
                return float(weights @ products @ weights), 2 * products @ weights

        equal = np.full(members, 1 / members)
        found = minimize(
            error,
            equal,
            jac=True,
            method="SLSQP",
            bounds=[(0, 1)] * members,
            constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": np.ones_like},
            options={"ftol": 1e-10, "maxiter": 500},
        ).x
        found = np.clip(found, 0, None)
        best = found / found.sum()
        self.weights_ = (best if error(best)[0] <= error(equal)[0] else equal).tolist()

    @override
    def combine(self, scores: np.ndarray) -> np.ndarray:
        return np.tensordot(np.array(self.weights_), scores, axes=1)


class Stacking(Combiner):
    """A linear model of the members' scores, fitted on validation rows.

    The idea is Wolpert's (Stacked generalization, 1992, https://doi.org/10.1016/S0893-6080(05)80023-1).

    For classes: a logistic regression on the logarithms of all probabilities. For values: a ridge regression of each
    variable, which starts from the members' mean and fits what to add for each member's distance from it, so that
    more regularisation means a plainer mean.

    Args:
        strength: of the regularisation; for classes that of a penalty on squared coefficients (1/C of scikit-learn),
            for values that of a ridge penalty on standardised distances, in examples.
    """

    def __init__(self, strength: Positive = 1.0) -> None:
        if strength <= 0:
            raise ValueError(f"strength is positive, not {strength}")
        self.strength = strength
        self.probabilities_ = False
        self.coefficients_: list[list[float]] = []
        self.intercept_: list[float] = []

    def _fit(self, scores: np.ndarray, target: np.ndarray, *, probabilities: bool) -> None:
        self.probabilities_ = probabilities
        if probabilities:
            self._fit_classes(scores, target)
        else:
            self._fit_values(scores, target)

    def _fit_classes(self, scores: np.ndarray, target: np.ndarray) -> None:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - combining needs no scikit-learn

        if target.min() == target.max():
            msg = "all validation rows are of one class, so stacking cannot be learned from them; use a larger split"
            raise DataError(msg)
        classes = scores.shape[2]
        model = LogisticRegression(C=1 / self.strength, max_iter=2000).fit(_logarithms(scores), target)
        coefficients = np.zeros((classes, model.coef_.shape[1]))
        # A class that validation rows lack gets no probability rather than an invented one.
        intercept = np.full(classes, -1e3)
        if len(model.classes_) == 2:  # noqa: PLR2004 - scikit-learn keeps one row of coefficients for two classes
            coefficients[model.classes_] = np.vstack([-model.coef_ / 2, model.coef_ / 2])
            intercept[model.classes_] = np.concatenate([-model.intercept_ / 2, model.intercept_ / 2])
        else:
            coefficients[model.classes_] = model.coef_
            intercept[model.classes_] = model.intercept_
        self.coefficients_, self.intercept_ = coefficients.tolist(), intercept.tolist()

    def _fit_values(self, scores: np.ndarray, target: np.ndarray) -> None:
        from sklearn.linear_model import Ridge  # noqa: PLC0415 - combining needs no scikit-learn

        middle = scores.mean(axis=0)
        self.coefficients_, self.intercept_ = [], []
        for variable in range(scores.shape[-1]):
            distances = (scores - middle)[..., variable].reshape(len(scores), -1).T
            spread = distances.std(axis=0)
            spread[spread == 0] = 1.0
            rest = (target - middle)[..., variable].ravel()
            model = Ridge(alpha=self.strength).fit(distances / spread, rest)
            self.coefficients_.append((model.coef_ / spread).tolist())
            self.intercept_.append(float(model.intercept_))

    @override
    def combine(self, scores: np.ndarray) -> np.ndarray:
        coefficients, intercept = np.array(self.coefficients_), np.array(self.intercept_)
        if self.probabilities_:
            logits = _logarithms(scores) @ coefficients.T + intercept
            raised = np.exp(logits - logits.max(axis=1, keepdims=True))
            return raised / raised.sum(axis=1, keepdims=True)
        middle = scores.mean(axis=0)
        return middle + np.einsum("m...v,vm->...v", scores - middle, coefficients) + intercept


def _logarithms(scores: np.ndarray) -> np.ndarray:
    """Return (members, examples, classes) probabilities as (examples, members * classes) logarithms."""
    return np.log(np.maximum(scores, SMALLEST)).transpose(1, 0, 2).reshape(scores.shape[1], -1)
