"""Algorithms as the API shows them."""

from typing import Any

from typing_extensions import TypedDict

from app.jobs.algorithms.catalogue import Algorithm
from app.models.versions import Task


class AlgorithmView(TypedDict):
    """One algorithm. `params` is the JSON Schema of its hyperparameters."""

    name: str
    tasks: list[Task]
    sentence: str
    params: dict[str, Any]


class AlgorithmList(TypedDict):
    """All algorithms."""

    items: list[AlgorithmView]


def algorithm_view(algorithm: Algorithm) -> AlgorithmView:
    """Return the algorithm as the API shows it."""
    return AlgorithmView(
        name=algorithm.name,
        tasks=list(algorithm.tasks),
        sentence=algorithm.sentence,
        params=algorithm.params.model_json_schema(),
    )
