"""The learners, each by the name of its algorithm."""

from collections.abc import Callable
from typing import Any, Final

from app.jobs.algorithms.catalogue import Name
from app.jobs.algorithms.hyperparameters import Hyperparameters
from worker.training.features import Shape
from worker.training.learners.bayes import BayesLearner
from worker.training.learners.boosting import BoostingLearner
from worker.training.learners.forest import ForestLearner
from worker.training.learners.learner import Learner, TrainingData
from worker.training.learners.linear import LinearLearner
from worker.training.learners.network import NetworkLearner
from worker.training.learners.ridge import RidgeLearner

__all__ = ["SHAPES", "Learner", "TrainingData", "start"]

SHAPES: Final = {
    Name.LOGISTIC_REGRESSION: Shape.SCALED,
    Name.LINEAR_SVM: Shape.SCALED,
    Name.MULTINOMIAL_NB: Shape.COUNTS,
    Name.RANDOM_FOREST: Shape.TREES,
    Name.HIST_GRADIENT_BOOSTING: Shape.BINS,
    Name.RIDGE: Shape.SCALED,
    Name.MLP: Shape.DENSE,
}
"""What each algorithm wants its rows to be."""

_LEARNERS: Final[dict[Name, Callable[[Any, TrainingData], Learner]]] = {
    Name.LOGISTIC_REGRESSION: lambda params, training_data: LinearLearner(
        Name.LOGISTIC_REGRESSION, params, training_data
    ),
    Name.LINEAR_SVM: lambda params, training_data: LinearLearner(Name.LINEAR_SVM, params, training_data),
    Name.MULTINOMIAL_NB: BayesLearner,
    Name.RANDOM_FOREST: ForestLearner,
    Name.HIST_GRADIENT_BOOSTING: BoostingLearner,
    Name.RIDGE: RidgeLearner,
    Name.MLP: NetworkLearner,
}


def start(name: Name, params: Hyperparameters, training_data: TrainingData) -> Learner:
    """A learner that has learnt nothing yet. Raises TooLargeToTrain."""
    return _LEARNERS[name](params, training_data)
