"""Learners by the name of their algorithm: the built-in ones, and those that plugins add."""

from collections.abc import Iterable
from typing import Final

from app.core.errors import ConfigurationError
from app.core.plugins import ExtensionPoint
from app.jobs.algorithms import catalogue
from app.jobs.algorithms.catalogue import Algorithm, Name
from app.jobs.algorithms.hyperparameters import Hyperparameters
from worker.context import JobError
from worker.training.features import Shape
from worker.training.learners.bayes import BayesLearner
from worker.training.learners.boosting import BoostingLearner
from worker.training.learners.forest import ForestLearner
from worker.training.learners.learner import Learner, LearnerSpec, TrainingData
from worker.training.learners.logistic import LogisticLearner
from worker.training.learners.network import NetworkLearner
from worker.training.learners.ridge import RidgeLearner
from worker.training.learners.svm import SvmLearner

__all__ = [
    "LEARNERS",
    "Learner",
    "LearnerSpec",
    "TrainingData",
    "algorithm",
    "divides_by_epochs",
    "install",
    "keeps_best_epoch",
    "shape",
    "start",
]

LEARNERS: Final[dict[str, LearnerSpec]] = {
    Name.LOGISTIC_REGRESSION: LearnerSpec(Shape.SCALED, LogisticLearner, keeps_best_epoch=False),
    Name.LINEAR_SVM: LearnerSpec(Shape.SCALED, SvmLearner),
    Name.MULTINOMIAL_NB: LearnerSpec(Shape.COUNTS, BayesLearner, keeps_best_epoch=False),
    Name.RANDOM_FOREST: LearnerSpec(
        Shape.TREES, ForestLearner, keeps_best_epoch=False, divides_by_epochs=True
    ),
    Name.HIST_GRADIENT_BOOSTING: LearnerSpec(Shape.BINS, BoostingLearner, divides_by_epochs=True),
    Name.RIDGE: LearnerSpec(Shape.SCALED, RidgeLearner, keeps_best_epoch=False),
    Name.MLP: LearnerSpec(Shape.DENSE, NetworkLearner),
}

ADDED: Final = ExtensionPoint[LearnerSpec](
    "learners", "learner", lambda value: isinstance(value, LearnerSpec)
)

_algorithms: Final[dict[str, Algorithm]] = dict(catalogue.ALGORITHMS)
_learners: Final[dict[str, LearnerSpec]] = dict(LEARNERS)


def install(plugins: Iterable[str]) -> None:
    """Load the algorithms and learners of these plugins, instead of any loaded earlier.

    Raises ConfigurationError if a plugin is wrong, or if an algorithm lacks its learner or the reverse.
    """
    plugins = tuple(plugins)
    algorithms = catalogue.load(plugins)
    learners = {**LEARNERS, **ADDED.load(plugins, taken=LEARNERS)}
    if missing := sorted(algorithms.keys() - learners.keys()):
        raise ConfigurationError(f"PLUGINS: no learner for the algorithm {', '.join(missing)}")
    if missing := sorted(learners.keys() - algorithms.keys()):
        raise ConfigurationError(f"PLUGINS: no algorithm for the learner {', '.join(missing)}")
    _algorithms.clear()
    _algorithms.update(algorithms)
    _learners.clear()
    _learners.update(learners)


def algorithm(name: str) -> Algorithm:
    """Return an algorithm. Raises JobError `unknown_algorithm`: another worker may have it."""
    if name not in _algorithms:
        raise JobError("unknown_algorithm", f"this worker cannot train with {name}")
    return _algorithms[name]


def shape(name: str) -> Shape:
    """Return how the algorithm wants its rows encoded."""
    return _learners[name].shape


def keeps_best_epoch(name: str) -> bool:
    """Return whether the validation rows choose the epoch; otherwise the last one is kept."""
    return _learners[name].keeps_best_epoch


def divides_by_epochs(name: str) -> bool:
    """Return whether epochs only divide the work, so that a single one gives the same model."""
    return _learners[name].divides_by_epochs


def start(name: str, params: Hyperparameters, training_data: TrainingData) -> Learner:
    """Return a new, untrained learner. Raises TooLargeToTrain."""
    return _learners[name].start(params, training_data)
