"""Ridge regression by conjugate gradients.

Each step is one pass over the rows and minimises along one more direction, so that as many steps as columns
give the exact solution, and far fewer come close: M.R. Hestenes and E. Stiefel, "Methods of Conjugate
Gradients for Solving Linear Systems", 1952. It solves the normal equations (ZᵀZ + P)w = Zᵀy, where Z has a
column of ones for the intercept, which is not penalised; the diagonal is the preconditioner.
"""

from typing import Any, Final

import numpy as np
from sklearn.linear_model import Ridge as RidgeEstimator

from app.jobs.algorithms.hyperparameters import Ridge
from worker.training.learners.learner import TrainingData
from worker.training.outputs import Floats

EXACT: Final = 1e-12
"""The solution counts as exact when the error has fallen to this share of the initial error."""


class RidgeLearner:
    """Ridge regression; an epoch is `steps` steps."""

    def __init__(self, params: Ridge, training_data: TrainingData) -> None:
        self._params = params
        self._rows = training_data.rows
        self._mean, self._spread = training_data.scale
        width = self._rows.shape[1] + 1
        self._penalty = np.full(width, params.alpha)
        self._penalty[-1] = 0.0
        self._diagonal = self._squares() + self._penalty
        self._diagonal[self._diagonal == 0.0] = 1.0
        self._weights = np.zeros(width)
        self._residual = self._multiply_transposed(training_data.scaled)
        self._start = float(self._residual @ (self._residual / self._diagonal))
        self._direction = self._residual / self._diagonal

    def learn(self, epoch: int) -> None:
        """Run the steps of one epoch."""
        for _ in range(self._params.steps):
            if self.ended:
                return
            self._step()

    def state(self) -> Any:
        """Return the weights, the residual (under the key of older checkpoints) and the next direction."""
        return {"weights": self._weights, "left": self._residual, "direction": self._direction}

    def restore(self, state: Any) -> None:
        """Continue from this state."""
        self._weights, self._residual, self._direction = (
            state["weights"],
            state["left"],
            state["direction"],
        )

    def estimator(self) -> Any:
        """Return scikit-learn's ridge with these coefficients, in units of the target."""
        fitted = RidgeEstimator(alpha=self._params.alpha, solver="cholesky")
        fitted.coef_ = self._weights[:-1] * self._spread
        fitted.intercept_ = float(self._weights[-1] * self._spread + self._mean)
        fitted.n_features_in_ = len(fitted.coef_)
        return fitted

    @property
    def ended(self) -> str | None:
        """Return a reason at the exact solution."""
        is_exact = self._error() <= EXACT * self._start
        return "the exact solution is found" if is_exact else None

    def _step(self) -> None:
        error = self._error()
        product = self._multiply_transposed(self._multiply(self._direction)) + self._penalty * self._direction
        length = error / float(self._direction @ product)
        self._weights = self._weights + length * self._direction
        self._residual = self._residual - length * product
        self._direction = self._residual / self._diagonal + (self._error() / error) * self._direction

    def _error(self) -> float:
        return float(self._residual @ (self._residual / self._diagonal))

    def _multiply(self, weights: Floats) -> Floats:
        product: Floats = self._rows @ weights[:-1] + weights[-1]
        return product

    def _multiply_transposed(self, values: Floats) -> Floats:
        return np.append(np.asarray(self._rows.T @ values), values.sum())

    def _squares(self) -> Floats:
        rows = self._rows
        squares = (
            np.einsum("ij,ij->j", rows, rows) if isinstance(rows, np.ndarray) else rows.multiply(rows).sum(0)
        )
        return np.append(np.asarray(squares, dtype=np.float64).ravel(), float(rows.shape[0]))
