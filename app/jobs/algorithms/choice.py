"""Choose the algorithm for `auto`, and say why."""

from dataclasses import dataclass
from typing import Final

from app.jobs.algorithms.catalogue import Name
from app.models.versions import Task

FEW_ROWS: Final = 500
FOREST_ROWS: Final = 10_000
"""With more rows a forest takes more time and memory than boosting, and is less accurate."""

BOOSTING_ROWS: Final = 2_000_000
MANY_COLUMNS: Final = 2000


@dataclass(frozen=True)
class Choice:
    """An algorithm, and the reason as a sentence."""

    name: Name
    why: str


def choose(task: Task, *, rows: int, columns: int, text_columns: int) -> Choice:
    """Return the algorithm for a table of this size. `rows` counts the training rows."""
    linear = Name.LOGISTIC_REGRESSION if task is Task.CLASSIFICATION else Name.RIDGE
    if text_columns:
        return Choice(linear, "The rows contain text, and a linear model over words is accurate and fast.")
    if rows < FEW_ROWS:
        return Choice(linear, f"With {rows} training rows, a linear model generalises best.")
    if columns > MANY_COLUMNS:
        return Choice(linear, f"With {columns} columns, a linear model is fast and hard to beat.")
    if rows <= FOREST_ROWS:
        return Choice(
            Name.RANDOM_FOREST,
            f"With {rows} rows of numbers and categories, a forest is accurate without tuning.",
        )
    if rows <= BOOSTING_ROWS:
        return Choice(
            Name.HIST_GRADIENT_BOOSTING,
            f"With {rows} rows of numbers and categories, gradient boosting is the most accurate.",
        )
    return Choice(linear, f"With {rows} rows, only a linear model trains in acceptable time.")
