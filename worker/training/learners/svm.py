"""The linear SVM, by stochastic gradient descent."""

import copy
from typing import Any, Final

import numpy as np
from scipy import sparse
from sklearn.linear_model import SGDClassifier, SGDRegressor

from app.jobs.algorithms.hyperparameters import Linear
from app.models.versions import Task
from worker.training.features import Matrix
from worker.training.learners.learner import TrainingData

# Both have bounded gradients, so that an outlier, which scaling makes of rare values, cannot ruin the model.
LOSSES: Final = {Task.CLASSIFICATION: "hinge", Task.REGRESSION: "epsilon_insensitive"}

EPSILON: Final = 0.05
"""Errors of a regression below this share of the target's standard deviation count as zero."""


class SvmLearner:
    """A linear SVM. The order of the rows in a pass depends on the seed, the epoch and the pass.

    The step size is the inverse of the mean squared length of a row. Constant steps do not converge, so the
    weights are averaged from the second pass on.
    """

    ended = None

    def __init__(self, params: Linear, training_data: TrainingData) -> None:
        is_classifier = training_data.task is Task.CLASSIFICATION
        self._training_data = training_data
        weights = training_data.weights(params)
        self._weights = None if weights is None else training_data.repeated(weights)
        self._sgd: Any = (SGDClassifier if is_classifier else SGDRegressor)(
            loss=LOSSES[training_data.task],
            penalty=params.penalty,
            alpha=params.alpha,
            l1_ratio=params.l1_ratio,
            learning_rate="constant",
            eta0=params.step / _mean_squared_length(training_data.rows),
            average=len(training_data.truth),
            **({} if is_classifier else {"epsilon": EPSILON}),
        )

    def learn(self, epoch: int) -> None:
        """Run the passes of one epoch."""
        training_data = self._training_data
        for seed in training_data.seeds_of_passes(epoch):
            self._sgd.set_params(random_state=seed)
            if training_data.task is Task.CLASSIFICATION:
                truth = training_data.repeated(training_data.truth)
                self._sgd.partial_fit(training_data.rows_of_pass, truth, training_data.classes, self._weights)
            else:
                self._sgd.partial_fit(
                    training_data.rows_of_pass, training_data.repeated(training_data.scaled)
                )

    def state(self) -> Any:
        """Return the estimator."""
        return self._sgd

    def restore(self, state: Any) -> None:
        """Continue with this estimator."""
        self._sgd = state

    def estimator(self) -> Any:
        """Return the estimator; the coefficients of a regressor are scaled to units of the target."""
        if self._training_data.task is Task.CLASSIFICATION:
            return self._sgd
        mean, spread = self._training_data.scale
        fitted = copy.copy(self._sgd)
        fitted.coef_ = self._sgd.coef_ * spread
        fitted.intercept_ = self._sgd.intercept_ * spread + mean
        return fitted


def _mean_squared_length(rows: Matrix) -> float:
    squares = rows.multiply(rows).sum() if sparse.issparse(rows) else np.einsum("ij,ij->", rows, rows)
    return float(squares / rows.shape[0]) + 1.0  # one for the intercept
