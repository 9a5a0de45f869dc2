"""Multilayer perceptrons."""

import copy
from typing import Any, Final

from sklearn.neural_network import MLPClassifier, MLPRegressor

from app.jobs.algorithms.hyperparameters import Network
from app.models.versions import Task
from worker.training.learners.learner import TrainingData

NEVER: Final = 2**31 - 1


class NetworkLearner:
    """A multilayer perceptron; Adam's moments are part of the estimator, and so of the state."""

    ended = None

    def __init__(self, params: Network, training_data: TrainingData) -> None:
        self._training_data = training_data
        self._weights = training_data.weights(params)
        self._network: Any = (MLPClassifier if training_data.task is Task.CLASSIFICATION else MLPRegressor)(
            hidden_layer_sizes=tuple(params.hidden_layer_sizes),
            activation=params.activation,
            alpha=params.alpha,
            learning_rate_init=params.learning_rate,
            batch_size=min(params.batch_size, len(training_data.truth)),
            # Otherwise it counts epochs of its own and stops silently.
            n_iter_no_change=NEVER,
        )

    def learn(self, epoch: int) -> None:
        """Run the passes of one epoch."""
        training_data = self._training_data
        for seed in training_data.seeds_of_passes(epoch):
            self._network.set_params(random_state=seed)
            if training_data.task is Task.CLASSIFICATION:
                self._network.partial_fit(
                    training_data.rows_of_pass,
                    training_data.repeated(training_data.truth),
                    None if self._weights is None else training_data.repeated(self._weights),
                    training_data.classes,
                )
            else:
                self._network.partial_fit(
                    training_data.rows_of_pass, training_data.repeated(training_data.scaled)
                )

    def state(self) -> Any:
        """Return the estimator, without the generator, which the next epoch replaces."""
        kept = copy.copy(self._network)
        del kept._random_state
        return kept

    def restore(self, state: Any) -> None:
        """Continue with this estimator."""
        self._network = state

    def estimator(self) -> Any:
        """Return the estimator; the last layer of a regressor is scaled to units of the target."""
        fitted = copy.copy(self._network)
        # Needed only for further training, and half of the artifact.
        for name in ("_optimizer", "_random_state"):
            fitted.__dict__.pop(name, None)
        if self._training_data.task is Task.REGRESSION:
            mean, spread = self._training_data.scale
            fitted.coefs_ = [*self._network.coefs_[:-1], self._network.coefs_[-1] * spread]
            fitted.intercepts_ = [
                *self._network.intercepts_[:-1],
                self._network.intercepts_[-1] * spread + mean,
            ]
        return fitted
