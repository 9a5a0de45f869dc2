"""Multinomial naive Bayes."""

from typing import Any

from sklearn.naive_bayes import MultinomialNB

from app.jobs.algorithms.hyperparameters import MultinomialBayes
from worker.training.learners.learner import TrainingData


class BayesLearner:
    """Counts once; a second pass would count the same rows again."""

    def __init__(self, params: MultinomialBayes, training_data: TrainingData) -> None:
        self._training_data = training_data
        self._weights = training_data.weights(balance=params.balance_classes)
        self._counter: Any = MultinomialNB(alpha=params.alpha, fit_prior=params.fit_prior)

    def learn(self, epoch: int) -> None:
        """The pass."""
        self._counter.fit(self._training_data.rows, self._training_data.truth, self._weights)

    def state(self) -> Any:
        """The estimator."""
        return self._counter

    def restore(self, state: Any) -> None:
        """Take over an estimator."""
        self._counter = state

    def estimator(self) -> Any:
        """The estimator."""
        return self._counter

    @property
    def ended(self) -> str | None:
        """It has learnt all there is once it has counted."""
        return "naive Bayes has counted every row" if hasattr(self._counter, "classes_") else None
