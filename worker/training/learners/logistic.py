"""Multinomial logistic regression."""

import math
import warnings
from typing import Any, Final

from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from app.jobs.algorithms.hyperparameters import Logistic
from worker.training import memory
from worker.training.learners.learner import TrainingData

VECTORS: Final = 28
"""L-BFGS keeps ten pairs of vectors as long as the coefficients, and computes with a few more."""


class LogisticLearner:
    """Logistic regression; an epoch is `steps` iterations, which start from the last coefficients."""

    def __init__(self, params: Logistic, training_data: TrainingData) -> None:
        classes = len(training_data.classes)
        coefficients = (1 if classes == 2 else classes) * training_data.rows.shape[1]
        memory.ensure_available("logistic regression", 8 * VECTORS * coefficients)
        rows = len(training_data.truth)
        alpha = 1 / rows if params.alpha is None else params.alpha
        l1_ratio = {"l2": 0.0, "l1": 1.0, "elasticnet": params.l1_ratio}[params.penalty]
        self._training_data = training_data
        self._weights = training_data.weights(params)
        self._steps = params.steps
        self._iterations = 0
        self._model: Any = LogisticRegression(
            C=math.inf if alpha == 0 else 1 / (alpha * rows),
            l1_ratio=l1_ratio,
            solver="lbfgs" if l1_ratio == 0 else "saga",
            max_iter=params.steps,
            warm_start=True,
        )

    def learn(self, epoch: int) -> None:
        """Run the iterations of one epoch."""
        self._model.set_params(random_state=self._training_data.seed_of(epoch))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the next epoch continues
            self._model.fit(self._training_data.rows, self._training_data.truth, self._weights)
        self._iterations = int(self._model.n_iter_.max())

    def state(self) -> Any:
        """Return the estimator, and the iterations of the last epoch."""
        return {"model": self._model, "iterations": self._iterations}

    def restore(self, state: Any) -> None:
        """Continue with this estimator."""
        self._model, self._iterations = state["model"], state["iterations"]

    def estimator(self) -> Any:
        """Return the estimator."""
        return self._model

    @property
    def ended(self) -> str | None:
        """Return a reason when it has converged."""
        return "it has converged" if 0 < self._iterations < self._steps else None
