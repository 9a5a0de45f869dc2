"""Histogram gradient boosting."""

import copy
from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from app.jobs.algorithms.hyperparameters import HistGradientBoosting
from app.models.versions import Task
from worker.training.learners.learner import TrainingData


class BoostingLearner:
    """Each epoch adds its share of the rounds.

    The random state for sampling columns is part of the estimator, and so of the state. The predictions that
    a round corrects are recomputed at the start of each epoch, whether or not an attempt begins there.
    """

    ended = None

    def __init__(self, params: HistGradientBoosting, training_data: TrainingData) -> None:
        is_classifier = training_data.task is Task.CLASSIFICATION
        of_task = HistGradientBoostingClassifier if is_classifier else HistGradientBoostingRegressor
        self._training_data = training_data
        self._rounds = params.max_iter
        self._weights = training_data.weights(params)
        self._boosting: Any = of_task(
            max_iter=1,
            learning_rate=params.learning_rate,
            max_leaf_nodes=params.max_leaf_nodes,
            max_depth=params.max_depth,
            min_samples_leaf=params.min_samples_leaf,
            l2_regularization=params.l2_regularization,
            max_features=params.max_features,
            categorical_features=list(training_data.categorical) or None,
            early_stopping=False,  # the trainer stops early, by the rows that it holds out
            random_state=training_data.seed_of(0),
            warm_start=True,
        )

    def learn(self, epoch: int) -> None:
        """Add the rounds of this epoch."""
        self._boosting.set_params(max_iter=self._training_data.share(self._rounds, epoch))
        self._boosting.fit(self._training_data.rows, self._training_data.truth, self._weights)

    def state(self) -> Any:
        """Return the estimator."""
        return self._boosting

    def restore(self, state: Any) -> None:
        """Continue with this estimator."""
        self._boosting = state

    def estimator(self) -> Any:
        """Return the estimator, without the generator, which is needed only for further training."""
        fitted = copy.copy(self._boosting)
        fitted.__dict__.pop("_feature_subsample_rng", None)
        return fitted
