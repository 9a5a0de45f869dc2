"""Histogram gradient boosting."""

from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from app.jobs.algorithms.hyperparameters import HistGradientBoosting
from app.models.versions import Task
from worker.training.learners.learner import Lessons


class BoostingLearner:
    """Each epoch adds its share of the rounds, on top of all before.

    What it draws columns from is part of the estimator, and so of the state. The predictions that a
    round corrects are computed anew at the start of each epoch, whether or not an attempt begins there.
    """

    ended = None

    def __init__(self, params: HistGradientBoosting, lessons: Lessons) -> None:
        is_classifier = lessons.task is Task.CLASSIFICATION
        of_task = HistGradientBoostingClassifier if is_classifier else HistGradientBoostingRegressor
        self._lessons = lessons
        self._rounds = params.max_iter
        self._weights = lessons.weights(balance=params.balance_classes)
        self._boosting: Any = of_task(
            max_iter=1,
            learning_rate=params.learning_rate,
            max_leaf_nodes=params.max_leaf_nodes,
            max_depth=params.max_depth,
            min_samples_leaf=params.min_samples_leaf,
            l2_regularization=params.l2_regularization,
            max_features=params.max_features,
            categorical_features=list(lessons.categorical) or None,
            early_stopping=False,  # the trainer does that, on the rows that it holds out
            random_state=lessons.seed_of(0),
            warm_start=True,
        )

    def learn(self, epoch: int) -> None:
        """Add this epoch's rounds."""
        self._boosting.set_params(max_iter=self._lessons.share(self._rounds, epoch))
        self._boosting.fit(self._lessons.rows, self._lessons.truth, self._weights)

    def state(self) -> Any:
        """The estimator."""
        return self._boosting

    def restore(self, state: Any) -> None:
        """Take over an estimator."""
        self._boosting = state

    def estimator(self) -> Any:
        """The estimator."""
        return self._boosting
