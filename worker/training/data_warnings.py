"""Warn about training data that makes metrics misleading: leakage, duplicates, rare classes, few rows."""

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.jobs.params import SplitMethod
from app.models.versions import Task
from worker import cells
from worker.cells import Content
from worker.training import value_warnings
from worker.training.columns import Column, decode, drop_missing
from worker.training.split import Split
from worker.training.target import Target

FEW_ROWS: Final = 50
TINY_CLASS: Final = 5
RARE_SHARE: Final = 0.01
MAX_COMPARED_CELLS: Final = 20_000_000
"""The search for duplicates reads all values again. It is skipped for larger tables."""

SAMPLE_ROWS: Final = 1000
MAX_LISTED: Final = 10
SAME: Final = 0.9999
"""The share of equal values, or the correlation, from which a column counts as a copy of the target."""


def find(
    table: pa.Table, columns: Sequence[Column], target_name: str, target: Target, method: SplitMethod
) -> list[str]:
    """Return the warnings, one sentence or two each, the most important first."""
    used = [column for column in columns if column.content is not None]
    value_findings = value_warnings.find(table, columns, target_name, target)
    with_target = table.take(pa.array(target.rows))
    return [
        *_find_leaks(with_target, used, target_name, target),
        *_find_missing_targets(table, target_name, target),
        *_find_small_classes(target),
        *_find_duplicates(with_target, used, target_name),
        *value_findings,
        *_find_ignored_times(columns, method),
        *_find_few_rows(target),
        *_list_unused(columns),
    ]


def _find_leaks(table: pa.Table, used: Sequence[Column], target_name: str, target: Target) -> list[str]:
    warnings = []
    for column in used:
        values = decode(table.column(column.name))
        if _equals_target(values, target):
            warnings.append(
                f"Possible leakage: the column {column.name!r} equals the target {target_name!r}."
                " If it is not known when you predict, leave it out of features."
            )
        elif target.task is Task.CLASSIFICATION and _determines_target(values, target):
            warnings.append(
                f"Possible leakage: each value of the column {column.name!r} occurs with one class only."
                f" If it is not known before {target_name!r}, leave it out of features."
            )
    return warnings


def _equals_target(values: pa.ChunkedArray, target: Target) -> bool:
    if target.task is Task.CLASSIFICATION:
        # The sample decides for nearly every column.
        return all(_equal_labels(values[:rows], target.values[:rows]) for rows in (SAMPLE_ROWS, len(values)))
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return False
    numbers = values.cast(pa.float64(), safe=False).to_numpy()
    is_present = np.isfinite(numbers)
    if is_present.sum() < 3 or np.ptp(numbers[is_present]) == 0 or np.ptp(target.values[is_present]) == 0:
        return False
    with np.errstate(all="ignore"):  # near the largest double, sums overflow
        correlation = np.corrcoef(numbers[is_present], target.values[is_present])[0, 1]
    return bool(abs(correlation) >= SAME)


def _equal_labels(values: pa.ChunkedArray, labels: npt.NDArray[Any]) -> bool:
    canonical = np.array([cells.to_label(value) or "" for value in values.to_pylist()])
    return bool(np.mean(canonical == labels) >= SAME)


def _determines_target(values: pa.ChunkedArray, target: Target) -> bool:
    """Return whether equal values always have the same class, and enough values repeat to tell."""
    distinct = len(drop_missing(values).unique())
    if distinct < 2 or distinct > len(values) / 4 or values.null_count > len(values) / 2:
        return False
    pairs = pa.table({"value": values, "label": pa.array(target.values.tolist())})
    per_value = pairs.group_by("value").aggregate([("label", "count_distinct"), ("label", "count")])
    counts = per_value.column("label_count").to_numpy()
    is_pure = per_value.column("label_count_distinct").to_numpy() == 1
    # A value that occurs once is no evidence.
    return bool(is_pure.all() and counts[counts > 1].sum() >= 0.9 * len(values))


def _find_missing_targets(table: pa.Table, name: str, target: Target) -> list[str]:
    missing = table.num_rows - len(target.rows)
    return [f"{missing} rows have no value for {name!r} and were left out."] if missing else []


def _find_small_classes(target: Target) -> list[str]:
    if target.task is not Task.CLASSIFICATION:
        return []
    labels, counts = np.unique(target.values, return_counts=True)
    warnings = []
    tiny = [
        f"{str(label)!r} ({count})" for label, count in zip(labels, counts, strict=True) if count < TINY_CLASS
    ]
    if tiny:
        warnings.append(
            f"Classes with fewer than {TINY_CLASS} rows are hard to learn: {_format_list(tiny)}."
            " Add rows or merge these classes."
        )
    share = counts.min() / counts.sum()
    if share < RARE_SHARE and counts.min() >= TINY_CLASS:
        warnings.append(
            f"The class {str(labels[counts.argmin()])!r} has {share:.2%} of the rows: compare F1 rather than"
            " accuracy, and consider balance_classes."
        )
    return warnings


def _find_duplicates(table: pa.Table, used: Sequence[Column], target_name: str) -> list[str]:
    names = [*(column.name for column in used), target_name]
    if table.num_rows * len(names) > MAX_COMPARED_CELLS:
        return []
    # Columns are named by index, because `group_by` takes a dot in a name for a path.
    compared = pa.table(
        [decode(table.column(name)) for name in names], names=[str(index) for index in range(len(names))]
    )
    distinct = compared.group_by(compared.column_names).aggregate([]).num_rows
    duplicates = table.num_rows - distinct
    if duplicates == 0:
        return []
    return [
        f"{duplicates} rows are duplicates of other rows. The same row may be among the training and the"
        " test rows, which makes the metrics too optimistic."
    ]


def _find_ignored_times(columns: Sequence[Column], method: SplitMethod) -> list[str]:
    dates = [column.name for column in columns if column.content is Content.DATE]
    if not dates or method is SplitMethod.TIME:
        return []
    return [
        f"Validation and test rows are chosen at random, although the rows have dates ({dates[0]!r})."
        " If the model is to predict later rows, the metrics are too optimistic: use"
        f' "split": {{"method": "time", "column": {json.dumps(dates[0], ensure_ascii=False)}}}.'
    ]


def _find_few_rows(target: Target) -> list[str]:
    rows = len(target.rows)
    if rows >= FEW_ROWS:
        return []
    return [f"Only {rows} rows: the metrics are unreliable and may change a lot with another seed."]


def _list_unused(columns: Sequence[Column]) -> list[str]:
    names_by_reason: dict[str, list[str]] = {}
    for column in columns:
        if column.content is None:
            names_by_reason.setdefault(column.reason, []).append(repr(column.name))
    return [f"Columns {reason}: {_format_list(names)}." for reason, names in names_by_reason.items()]


def _format_list(items: Sequence[Any]) -> str:
    more = "" if len(items) <= MAX_LISTED else f" and {len(items) - MAX_LISTED} more"
    return ", ".join(map(str, items[:MAX_LISTED])) + more


def class_balance(target: Target, split: Split) -> list[dict[str, Any]]:
    """Count the rows of each class by what they are for, the most frequent class first."""
    labels, indices = np.unique(target.values, return_inverse=True)
    rows, train, validation, test = (
        np.bincount(part, minlength=len(labels))
        for part in (
            indices,
            indices[split.main.train],
            indices[split.main.validation],
            indices[split.test],
        )
    )
    return [
        {
            "label": str(labels[index]),
            "rows": int(rows[index]),
            "train_rows": int(train[index]),
            "validation_rows": int(validation[index]),
            "test_rows": int(test[index]),
        }
        for index in np.argsort(-rows, kind="stable")
    ]
