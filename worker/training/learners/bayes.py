"""Multinomial naive Bayes."""

from typing import Any

from sklearn.naive_bayes import MultinomialNB

from app.jobs.algorithms.hyperparameters import MultinomialBayes
from worker.training.learners.learner import TrainingData


class BayesLearner:
    """Multinomial naive Bayes; ends after one pass, because a second one would count the same rows again."""

    def __init__(self, params: MultinomialBayes, training_data: TrainingData) -> None:
        self._training_data = training_data
        self._weights = training_data.weights(params)
        self._counter: Any = MultinomialNB(alpha=params.alpha, fit_prior=params.fit_prior)

    def learn(self, epoch: int) -> None:
        """Count all rows."""
        self._counter.fit(self._training_data.rows, self._training_data.truth, self._weights)

    def state(self) -> Any:
        """Return the estimator."""
        return self._counter

    def restore(self, state: Any) -> None:
        """Continue with this estimator."""
        self._counter = state

    def estimator(self) -> Any:
        """Return the estimator."""
        return self._counter

    @property
    def ended(self) -> str | None:
        """Return a reason after the first pass."""
        return "naive Bayes has counted every row" if hasattr(self._counter, "classes_") else None
