"""The candidates of a training: one that the request names, or several that compete."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.jobs.algorithms.catalogue import Name
from app.jobs.algorithms.choice import propose
from app.jobs.algorithms.hyperparameters import Hyperparameters
from app.jobs.params import TrainModelParams
from app.models.versions import Task
from worker.context import BadInput
from worker.training import learners


@dataclass(frozen=True)
class Candidate:
    """An algorithm and its hyperparameters."""

    algorithm: str
    params: Hyperparameters


@dataclass(frozen=True)
class Candidates:
    """At least one candidate. `why` is the reason for these, None if the request names them."""

    all: tuple[Candidate, ...]
    why: str | None


@dataclass(frozen=True)
class DataShape:
    """The size of the training data: the rows to learn from, the columns used, and the classes."""

    task: Task
    rows: int
    columns: int
    text_columns: int
    classes: int


def find(params: TrainModelParams, data: DataShape) -> Candidates:
    """Return the candidates. Raises BadInput for an algorithm of another task, and for invalid params."""
    if params.candidates:
        wanted = [_candidate(found.algorithm, found.params, params, data.task) for found in params.candidates]
        return Candidates(tuple(wanted), None)
    if params.algorithm != Name.AUTO:
        return Candidates((_candidate(params.algorithm, params.params, params, data.task),), None)
    choice = propose(
        data.task,
        rows=data.rows,
        columns=data.columns,
        text_columns=data.text_columns,
        classes=data.classes,
    )
    proposed = tuple(
        Candidate(
            proposal.name,
            _parse(proposal.name, {**params.params, **proposal.params}).for_epochs(params.epochs),
        )
        for proposal in choice.proposals
    )
    return Candidates(proposed, choice.why)


def _candidate(name: str, values: dict[str, Any], params: TrainModelParams, task: Task) -> Candidate:
    algorithm = learners.algorithm(name)
    if task not in algorithm.tasks:
        raise BadInput(
            f"{algorithm.name} is not for {task}, the task of the target {params.target!r};"
            " choose another algorithm or set task"
        )
    return Candidate(algorithm.name, _parse(algorithm.name, values))


def _parse(name: str, values: dict[str, Any]) -> Hyperparameters:
    try:
        return learners.algorithm(name).params.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors() if fault["loc"])
        raise BadInput(f"params of {name}: {faults}") from None
