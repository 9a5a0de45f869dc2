"""What algorithms look like over HTTP."""

from typing import Any

from typing_extensions import TypedDict

from app.jobs.algorithms.catalogue import Algorithm
from app.models.versions import Task


class AlgorithmView(TypedDict):
    """One algorithm. `params` is the JSON Schema of what it may be told."""

    name: str
    tasks: list[Task]
    sentence: str
    params: dict[str, Any]


class AlgorithmList(TypedDict):
    """All algorithms."""

    items: list[AlgorithmView]


def algorithm_view(algorithm: Algorithm) -> AlgorithmView:
    """The algorithm as a client sees it."""
    return AlgorithmView(
        name=algorithm.name,
        tasks=list(algorithm.tasks),
        sentence=algorithm.sentence,
        params=algorithm.params.model_json_schema(),
    )
