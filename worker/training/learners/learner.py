"""The protocol of learners. A learner runs one algorithm, one epoch at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.class_weight import compute_sample_weight

from app.jobs.algorithms.hyperparameters import Balanced
from app.models.versions import Task
from worker.context import BadInput
from worker.training.features import Matrix, Shape

EPOCH_ROWS: Final = 2000
"""Rows in an epoch, for algorithms whose epoch is a number of passes over the rows; at least one pass.

One pass over a hundred rows is too few steps to change the loss visibly.
"""

PASS_ROWS: Final = 250
"""Smaller tables are repeated within a pass: one call into scikit-learn costs as much as hundreds of rows."""


@dataclass(frozen=True)
class TrainingData:
    """The data of a training, identical in every attempt at the job. Learners must not change it.

    `truth` are the values of the target. `categorical` are the indices of columns with ordinal categories.
    """

    task: Task
    rows: Matrix
    truth: npt.NDArray[Any]
    epochs: int
    seed: int
    categorical: tuple[int, ...] = ()

    @cached_property
    def classes(self) -> npt.NDArray[Any]:
        """The labels, sorted: the order of an estimator's scores."""
        return np.unique(self.truth)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the target of a regression."""
        with np.errstate(over="ignore"):  # the trainer reports a loss that is not a number
            return float(self.truth.mean()), float(self.truth.std())

    @cached_property
    def scaled(self) -> npt.NDArray[np.float64]:
        """The target of a regression with mean 0 and standard deviation 1."""
        mean, spread = self.scale
        return np.asarray((self.truth - mean) / spread, dtype=np.float64)

    def weights(self, params: Balanced) -> npt.NDArray[np.float64] | None:
        """Return the weight of each row, or None if all weigh the same. Raises BadInput."""
        if self.task is Task.REGRESSION or not (params.balance_classes or params.class_weights):
            return None
        named = params.class_weights or {}
        if unknown := sorted(named.keys() - set(self.classes.tolist())):
            raise BadInput(f"class_weights: no training row has the class {unknown[0]!r}")
        per_class = np.array([named.get(label, 1.0) for label in self.classes.tolist()])
        weights = per_class[np.searchsorted(self.classes, self.truth)]
        if params.balance_classes:
            weights = weights * compute_sample_weight("balanced", self.truth)
        return np.asarray(weights, dtype=np.float64)

    def seed_of(self, epoch: int) -> int:
        """Return the seed of an epoch. Since it is derived, no random state is carried between epochs."""
        return self._seeds(epoch, 1)[0]

    def seeds_of_passes(self, epoch: int) -> list[int]:
        """Return the seed of each pass of an epoch. With few rows, an epoch has several passes."""
        return self._seeds(epoch, max(1, EPOCH_ROWS // (self._repeats * len(self.truth))))

    @cached_property
    def rows_of_pass(self) -> Matrix:
        """The rows of one pass: all rows, each repeated equally often."""
        if self._repeats == 1:
            return self.rows
        if sparse.issparse(self.rows):
            return sparse.vstack([self.rows] * self._repeats, format="csr")
        return np.tile(self.rows, (self._repeats, 1))

    def repeated(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Repeat values of the rows as `rows_of_pass` repeats the rows."""
        return np.tile(values, self._repeats)

    @cached_property
    def _repeats(self) -> int:
        return max(1, PASS_ROWS // len(self.truth))

    def share(self, whole: int, epoch: int) -> int:
        """Return how many of `whole` units are done after this epoch, rounded up."""
        return -(-whole * epoch // self.epochs)

    def _seeds(self, epoch: int, count: int) -> list[int]:
        drawn: list[int] = np.random.SeedSequence((self.seed, epoch)).generate_state(count).tolist()
        return drawn


class Learner(Protocol):
    """One algorithm at work on one `TrainingData`. Epochs count from 1.

    A new learner with the same params and data, to which `state` is given by `restore`, must continue exactly
    as this one would: an attempt may end after any epoch.
    """

    def learn(self, epoch: int) -> None:
        """Run one epoch."""
        ...

    def state(self) -> Any:
        """Return everything learnt so far: arrays, plain values, and estimators of trusted types.

        skops writes it, and reads it with the checks that uploads pass.
        """
        ...

    def restore(self, state: Any) -> None:
        """Continue from this state."""
        ...

    def estimator(self) -> Any:
        """Return the model as it is now: a scikit-learn estimator of a trusted type, in units of the target.

        The caller does not change it, and does not use it after the next epoch.
        """
        ...

    @property
    def ended(self) -> str | None:
        """Return why more epochs would change nothing, as a clause; None while training can continue."""
        ...


@dataclass(frozen=True)
class LearnerSpec:
    """A learner in the registry: how it wants the rows encoded, and a function that creates it.

    `start(params, training_data)` gets the validated hyperparameters. It may raise TooLargeToTrain. With
    `keeps_best_epoch`, the model is that of the epoch with the lowest validation loss, else that of the last
    one. If an algorithm `divides_by_epochs`, more epochs divide the same work, and the model is the same.
    """

    shape: Shape
    start: Callable[[Any, TrainingData], Learner]
    keeps_best_epoch: bool = True
    divides_by_epochs: bool = False
