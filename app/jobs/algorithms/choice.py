"""Propose the algorithms that compete when a training leaves the choice to the data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.jobs.algorithms.catalogue import Name
from app.models.versions import Task

MAX_PROPOSALS: Final = 4
FEW_ROWS: Final = 40
"""With fewer rows the differences between algorithms are chance."""

FOREST_ROWS: Final = 200_000
"""With more rows a forest takes more time and memory than boosting, and is no more accurate."""

BOOSTING_ROWS: Final = 2_000_000
MANY_COLUMNS: Final = 2000
MANY_CLASSES: Final = 50
"""Boosting grows a tree for each class in each round."""

TEXT_STRENGTH: Final = 10.0
"""The inverse penalty of a logistic regression over words: weights of TF-IDF are small, and need to grow."""


@dataclass(frozen=True)
class Proposal:
    """An algorithm that may fit the data, with the hyperparameters that differ from its defaults."""

    name: Name
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """The algorithms to compare, the simplest first; `why` these, as a sentence."""

    proposals: tuple[Proposal, ...]
    why: str


def propose(task: Task, *, rows: int, columns: int, text_columns: int, classes: int) -> Choice:
    """Return the algorithms that fit data of this shape. `rows` counts those to learn from."""
    is_classification = task is Task.CLASSIFICATION
    linear = Proposal(Name.LOGISTIC_REGRESSION if is_classification else Name.RIDGE)
    forest, boosting = Proposal(Name.RANDOM_FOREST), Proposal(Name.HIST_GRADIENT_BOOSTING)
    if text_columns == columns:
        return _propose_for_texts(task, rows, linear)
    if rows < FEW_ROWS:
        return Choice((linear,), f"With {rows} rows, a linear model generalises best.")
    if rows > BOOSTING_ROWS:
        return Choice((linear,), f"With {rows} rows, only a linear model trains in acceptable time.")
    if columns > MANY_COLUMNS:
        trees = forest if is_classification else boosting
        return Choice((linear, trees), f"With {columns} columns, few algorithms train in acceptable time.")
    if rows > FOREST_ROWS:
        return Choice((linear, boosting), f"With {rows} rows, few algorithms train in acceptable time.")
    if classes > MANY_CLASSES:
        return Choice((linear, forest), f"With {classes} classes, boosting would take long.")
    return Choice((linear, forest, boosting), "These are the most accurate on tables without tuning.")


def _propose_for_texts(task: Task, rows: int, linear: Proposal) -> Choice:
    why = "The rows are texts, and linear models over words are accurate and fast."
    if task is Task.REGRESSION:
        return Choice((linear, Proposal(Name.LINEAR_SVM)) if rows >= FEW_ROWS else (linear,), why)
    strong = Proposal(Name.LOGISTIC_REGRESSION, {"alpha": 1 / (TEXT_STRENGTH * rows)})
    if rows < FEW_ROWS:
        return Choice((strong,), why)
    return Choice((strong, Proposal(Name.LINEAR_SVM), Proposal(Name.MULTINOMIAL_NB)), why)
