"""The learners, each by the name of its algorithm."""

from collections.abc import Callable
from typing import Any, Final

from app.jobs.algorithms.catalogue import Name
from app.jobs.algorithms.hyperparameters import Hyperparameters
from worker.training.features import Shape
from worker.training.learners.bayes import BayesLearner
from worker.training.learners.boosting import BoostingLearner
from worker.training.learners.forest import ForestLearner
from worker.training.learners.learner import Learner, Lessons
from worker.training.learners.linear import LinearLearner
from worker.training.learners.network import NetworkLearner
from worker.training.learners.ridge import RidgeLearner

__all__ = ["SHAPES", "Learner", "Lessons", "start"]

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

_LEARNERS: Final[dict[Name, Callable[[Any, Lessons], Learner]]] = {
    Name.LOGISTIC_REGRESSION: lambda params, lessons: LinearLearner(
        Name.LOGISTIC_REGRESSION, params, lessons
    ),
    Name.LINEAR_SVM: lambda params, lessons: LinearLearner(Name.LINEAR_SVM, params, lessons),
    Name.MULTINOMIAL_NB: BayesLearner,
    Name.RANDOM_FOREST: ForestLearner,
    Name.HIST_GRADIENT_BOOSTING: BoostingLearner,
    Name.RIDGE: RidgeLearner,
    Name.MLP: NetworkLearner,
}


def start(name: Name, params: Hyperparameters, lessons: Lessons) -> Learner:
    """A learner that has learnt nothing yet. Raises TooLargeToTrain."""
    return _LEARNERS[name](params, lessons)
