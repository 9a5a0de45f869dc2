"""The catalogue of algorithms: the built-in ones, and those that plugins add."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Final

from app.core.plugins import ExtensionPoint
from app.jobs.algorithms import hyperparameters
from app.jobs.algorithms.hyperparameters import Hyperparameters
from app.models.versions import Task


class Name(StrEnum):
    """Names of the built-in algorithms; `auto` leaves the choice to the data."""

    AUTO = "auto"
    LOGISTIC_REGRESSION = "logistic_regression"
    LINEAR_SVM = "linear_svm"
    MULTINOMIAL_NB = "multinomial_nb"
    RANDOM_FOREST = "random_forest"
    HIST_GRADIENT_BOOSTING = "hist_gradient_boosting"
    RIDGE = "ridge"
    MLP = "mlp"


@dataclass(frozen=True)
class Algorithm:
    """An algorithm as users see it: its tasks, when to use it (one sentence), and its hyperparameters.

    The worker's half, the learner, is in `worker.training.learners`.
    """

    name: str
    tasks: tuple[Task, ...]
    sentence: str
    params: type[Hyperparameters]


_BOTH: Final = (Task.CLASSIFICATION, Task.REGRESSION)

ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm(
            Name.LOGISTIC_REGRESSION,
            (Task.CLASSIFICATION,),
            "A linear model with probabilities; strong on text, and easy to explain.",
            hyperparameters.Logistic,
        ),
        Algorithm(
            Name.LINEAR_SVM,
            _BOTH,
            "A linear model with a wide margin; robust on text, but its scores are not probabilities.",
            hyperparameters.Linear,
        ),
        Algorithm(
            Name.MULTINOMIAL_NB,
            (Task.CLASSIFICATION,),
            "Naive Bayes on word counts; trains in one pass, a baseline that is hard to beat on few rows.",
            hyperparameters.MultinomialBayes,
        ),
        Algorithm(
            Name.RANDOM_FOREST,
            _BOTH,
            "Many independent trees; good on tables without tuning, up to some ten thousand rows.",
            hyperparameters.RandomForest,
        ),
        Algorithm(
            Name.HIST_GRADIENT_BOOSTING,
            _BOTH,
            "Trees that correct each other; the most accurate on larger tables, also with missing values.",
            hyperparameters.HistGradientBoosting,
        ),
        Algorithm(
            Name.RIDGE,
            (Task.REGRESSION,),
            "Least squares with a penalty; hard to beat on few rows, and easy to explain.",
            hyperparameters.Ridge,
        ),
        Algorithm(
            Name.MLP,
            _BOTH,
            "A neural network; finds interactions of columns, and needs numbers and some thousand rows.",
            hyperparameters.Network,
        ),
    )
}

ADDED: Final = ExtensionPoint[Algorithm](
    "algorithms", "algorithm", lambda value: isinstance(value, Algorithm), name_of=attrgetter("name")
)


def load(plugins: Iterable[str]) -> dict[str, Algorithm]:
    """Return all algorithms by name. Raises ConfigurationError if a plugin is wrong."""
    return {**ALGORITHMS, **ADDED.load(plugins, taken={*ALGORITHMS, Name.AUTO})}
