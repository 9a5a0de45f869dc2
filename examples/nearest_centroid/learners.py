"""How it learns: centroids start at the mean of their class and move away from rows of other classes.

T. Kohonen, "Learning Vector Quantization", 1995 (LVQ1).
"""

from typing import Any, Final

import numpy as np
from sklearn.neighbors import NearestCentroid

from examples.nearest_centroid.algorithms import NearestCentroidParams
from worker.training.features import Shape
from worker.training.learners import LearnerSpec, TrainingData


class NearestCentroidLearner:
    """An epoch is one pass over the rows, in an order that depends on the seed and the epoch only."""

    ended = None

    def __init__(self, params: NearestCentroidParams, data: TrainingData) -> None:
        self._step = params.step
        self._data = data
        self._class_of_row = np.searchsorted(data.classes, data.truth)
        self._centroids = np.stack([data.rows[data.truth == label].mean(axis=0) for label in data.classes])

    def learn(self, epoch: int) -> None:
        """Move the nearest centroid towards each row of its class, and away from each row of another."""
        order = np.random.default_rng(self._data.seed_of(epoch)).permutation(len(self._data.truth))
        for place in order:
            row = self._data.rows[place]
            nearest = np.square(self._centroids - row).sum(axis=1).argmin()
            direction = 1 if nearest == self._class_of_row[place] else -1
            self._centroids[nearest] += direction * self._step / epoch * (row - self._centroids[nearest])

    def state(self) -> Any:
        """Return the centroids. No random state: each epoch derives its own."""
        return self._centroids

    def restore(self, state: Any) -> None:
        """Continue from these centroids."""
        self._centroids = state

    def estimator(self) -> Any:
        """Return scikit-learn's own class, which the `sklearn` runtime loads and checks."""
        fitted = NearestCentroid()
        fitted.classes_ = self._data.classes
        fitted.centroids_ = self._centroids
        fitted.n_features_in_ = self._centroids.shape[1]
        fitted.class_prior_ = np.full(len(fitted.classes_), 1 / len(fitted.classes_))
        fitted.within_class_std_dev_ = np.ones(fitted.n_features_in_)
        return fitted


LEARNERS: Final = {"nearest_centroid": LearnerSpec(Shape.DENSE, NearestCentroidLearner)}
