"""What a careful person would say of the data before trusting the metrics."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.models.versions import Task
from worker import cells
from worker.training import value_warnings
from worker.training.columns import Column, filled, plain
from worker.training.target import Target

FEW_ROWS: Final = 50
TINY_CLASS: Final = 5
RARE_SHARE: Final = 0.01
MAX_CELLS_COMPARED: Final = 20_000_000
"""Looking for duplicates reads everything once more; above this it is left out."""

LOOKED_AT: Final = 1000
MAX_NAMED: Final = 10
SAME: Final = 0.9999


def find(table: pa.Table, told: Sequence[Column], target_name: str, target: Target) -> list[str]:
    """Sentences, the most telling first."""
    used = [column for column in told if column.content is not None]
    doubted = value_warnings.find(table, told, target_name, target)
    kept = table.take(pa.array(target.rows))
    return [
        *_leaks(kept, used, target_name, target),
        *_missing_targets(table, target_name, target),
        *_classes(target),
        *_duplicates(kept, used, target_name),
        *doubted,
        *_few_rows(target),
        *_unused(told),
    ]


def _leaks(kept: pa.Table, used: Sequence[Column], target_name: str, target: Target) -> list[str]:
    said = []
    for column in used:
        values = plain(kept.column(column.name))
        if _is_the_target(values, target):
            said.append(
                f"Leakage? The column {column.name!r} says the same as the target {target_name!r}:"
                " the metrics will be too good to be true."
            )
        elif target.task is Task.CLASSIFICATION and _determines(values, target):
            said.append(
                f"Leakage? Each value of the column {column.name!r} comes with one class only:"
                f" is it known before {target_name!r} is?"
            )
    return said


def _is_the_target(values: pa.ChunkedArray, target: Target) -> bool:
    if target.task is Task.CLASSIFICATION:
        # A look at some of the rows decides for nearly every column.
        return all(_say_the_same(values[:rows], target.values[:rows]) for rows in (LOOKED_AT, len(values)))
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return False
    numbers = values.cast(pa.float64(), safe=False).to_numpy()
    is_there = np.isfinite(numbers)
    if is_there.sum() < 3 or np.ptp(numbers[is_there]) == 0 or np.ptp(target.values[is_there]) == 0:
        return False
    with np.errstate(all="ignore"):  # numbers near the largest that there are
        related = np.corrcoef(numbers[is_there], target.values[is_there])[0, 1]
    return bool(abs(related) >= SAME)


def _say_the_same(values: pa.ChunkedArray, labels: npt.NDArray[Any]) -> bool:
    written = np.array([cells.label(value) or "" for value in values.to_pylist()])
    return bool(np.mean(written == labels) >= SAME)


def _determines(values: pa.ChunkedArray, target: Target) -> bool:
    """Whether equal values always come with the same class, often enough for that to mean something."""
    distinct = len(filled(values).unique())
    if distinct < 2 or distinct > len(values) / 4 or values.null_count > len(values) / 2:
        return False
    pairs = pa.table({"value": values, "label": pa.array(target.values.tolist())})
    per_value = pairs.group_by("value").aggregate([("label", "count_distinct"), ("label", "count")])
    counts = per_value.column("label_count").to_numpy()
    is_pure = per_value.column("label_count_distinct").to_numpy() == 1
    # A value that is there once proves nothing.
    return bool(is_pure.all() and counts[counts > 1].sum() >= 0.9 * len(values))


def _missing_targets(table: pa.Table, name: str, target: Target) -> list[str]:
    missing = table.num_rows - len(target.rows)
    return [f"{missing} rows have no {name!r} and were left out."] if missing else []


def _classes(target: Target) -> list[str]:
    if target.task is not Task.CLASSIFICATION:
        return []
    labels, counts = np.unique(target.values, return_counts=True)
    said = []
    tiny = [
        f"{str(label)!r} ({count})" for label, count in zip(labels, counts, strict=True) if count < TINY_CLASS
    ]
    if tiny:
        said.append(f"Classes with fewer than {TINY_CLASS} rows can hardly be learnt: {_named(tiny)}.")
    share = counts.min() / counts.sum()
    if share < RARE_SHARE and counts.min() >= TINY_CLASS:
        said.append(
            f"The class {str(labels[counts.argmin()])!r} has {share:.2%} of the rows: look at F1 rather than"
            " at accuracy, and consider balance_classes."
        )
    return said


def _duplicates(kept: pa.Table, used: Sequence[Column], target_name: str) -> list[str]:
    names = [*(column.name for column in used), target_name]
    if kept.num_rows * len(names) > MAX_CELLS_COMPARED:
        return []
    # Positions for names: `group_by` would take a dot for a path.
    compared = pa.table(
        [plain(kept.column(name)) for name in names], names=[str(place) for place in range(len(names))]
    )
    distinct = compared.group_by(compared.column_names).aggregate([]).num_rows
    doubled = kept.num_rows - distinct
    if doubled == 0:
        return []
    return [f"{doubled} of the rows are copies of others, so some that are held out may be learnt from too."]


def _few_rows(target: Target) -> list[str]:
    rows = len(target.rows)
    if rows >= FEW_ROWS:
        return []
    return [f"Only {rows} rows: the metrics say little, another seed may give quite different ones."]


def _unused(told: Sequence[Column]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for column in told:
        if column.content is None:
            reasons.setdefault(column.reason, []).append(repr(column.name))
    return [f"Columns {reason}: {_named(names)}." for reason, names in reasons.items()]


def _named(things: Sequence[Any]) -> str:
    more = "" if len(things) <= MAX_NAMED else f" and {len(things) - MAX_NAMED} more"
    return ", ".join(map(str, things[:MAX_NAMED])) + more


def class_balance(target: Target, train: npt.NDArray[np.intp]) -> list[dict[str, Any]]:
    """How many rows each class has to learn from and held out, the most frequent first."""
    is_train = np.zeros(len(target.values), dtype=bool)
    is_train[train] = True
    labels, places = np.unique(target.values, return_inverse=True)
    rows = np.bincount(places)
    learnt = np.bincount(places, weights=is_train).astype(int)
    return [
        {
            "label": str(labels[place]),
            "rows": int(rows[place]),
            "train_rows": int(learnt[place]),
            "validation_rows": int(rows[place] - learnt[place]),
        }
        for place in np.argsort(-rows, kind="stable")
    ]
