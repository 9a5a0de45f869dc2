"""What a learner is: one algorithm at work, one epoch at a time."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.class_weight import compute_sample_weight

from app.models.versions import Task
from worker.training.features import Matrix

EPOCH_ROWS: Final = 2000
"""Where an epoch is passes over the rows, it is as many as fit into so many rows, one at least.

A hundred rows once are too few steps for anything to be seen.
"""

PASS_ROWS: Final = 250
"""Smaller tables are repeated within a pass: one call of scikit-learn costs as much as hundreds of rows."""


@dataclass(frozen=True)
class TrainingData:
    """What a learner learns from, the same in every attempt at a job.

    `categorical` are the places of categories that are numbered, not encoded.
    """

    task: Task
    rows: Matrix
    truth: npt.NDArray[Any]
    epochs: int
    seed: int
    categorical: tuple[int, ...] = ()

    @cached_property
    def classes(self) -> npt.NDArray[Any]:
        """The labels, in the order of the estimator's scores."""
        return np.unique(self.truth)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """The mean and the spread of the values of a regression."""
        with np.errstate(over="ignore"):  # the loss will not be a number, and that is said
            return float(self.truth.mean()), float(self.truth.std())

    @cached_property
    def scaled(self) -> npt.NDArray[np.float64]:
        """The values of a regression, centred, with a spread of one."""
        mean, spread = self.scale
        return np.asarray((self.truth - mean) / spread, dtype=np.float64)

    def weights(self, *, balance: bool) -> npt.NDArray[np.float64] | None:
        """The weight of each row, if rows differ."""
        if not balance or self.task is Task.REGRESSION:
            return None
        return np.asarray(compute_sample_weight("balanced", self.truth), dtype=np.float64)

    def seed_of(self, epoch: int) -> int:
        """What an epoch draws from: so nothing hidden has to be kept between epochs."""
        return self._seeds(epoch, 1)[0]

    def seeds_of_passes(self, epoch: int) -> list[int]:
        """What each pass of an epoch draws from. With few rows an epoch is several passes."""
        return self._seeds(epoch, max(1, EPOCH_ROWS // (self._repeats * len(self.truth))))

    @cached_property
    def rows_of_pass(self) -> Matrix:
        """The rows that one pass learns from: all of them, and each as often as the others."""
        if self._repeats == 1:
            return self.rows
        if sparse.issparse(self.rows):
            return sparse.vstack([self.rows] * self._repeats, format="csr")
        return np.tile(self.rows, (self._repeats, 1))

    def repeated(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of the rows, for the rows of a pass."""
        return np.tile(values, self._repeats)

    @cached_property
    def _repeats(self) -> int:
        return max(1, PASS_ROWS // len(self.truth))

    def share(self, whole: int, epoch: int) -> int:
        """How much of a whole there is after this epoch."""
        return -(-whole * epoch // self.epochs)

    def _seeds(self, epoch: int, count: int) -> list[int]:
        drawn: list[int] = np.random.SeedSequence((self.seed, epoch)).generate_state(count).tolist()
        return drawn


class Learner(Protocol):
    """One algorithm at work. Epochs count from 1.

    `state` is all that has been learnt, as estimators, arrays and plain values that skops can keep; a learner
    of the same lessons that is given it with `restore` goes on exactly as this one would have.
    """

    def learn(self, epoch: int) -> None:
        """One epoch."""
        ...

    def state(self) -> Any:
        """What has been learnt so far."""
        ...

    def restore(self, state: Any) -> None:
        """Take over what has been learnt."""
        ...

    def estimator(self) -> Any:
        """The model as it is now, in the units of the target. Not to be changed."""
        ...

    @property
    def ended(self) -> str | None:
        """Why more epochs would change nothing, as a sentence."""
        ...
