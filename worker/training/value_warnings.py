"""Warn about ambiguous values: missing-value markers, number formats, codes and dates."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.canonical_text import NUMBER
from app.models.versions import Task
from worker import cells
from worker.cells import Content
from worker.training.columns import DATE_LIKE, MISSING_MARKERS, Column, decode, drop_missing
from worker.training.target import Target

MAX_DISTINCT: Final = 10_000
MAX_PREVIEWED: Final = 3
FEW_CODES: Final = 20
FIRST_DAY, LAST_DAY = 19000101, 21001231
"""Integers in this range may be dates, written as YYYYMMDD."""

_SHAPES: Final = (
    (re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?"), "numbers with thousands separators"),
    (
        re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]+"),
        "numbers with decimal commas and thousands separators",
    ),
    (
        re.compile(r"[+-]?[0-9]{1,3}([ '\u00a0\u202f][0-9]{3})+([.,][0-9]+)?"),
        "numbers with thousands separators",
    ),
    (re.compile(r"[+-]?[0-9]+,[0-9]+"), "numbers with decimal commas"),
    (re.compile(r"[+-]?[0-9.,]+ ?%"), "percentages"),
    (
        re.compile(r"[$€£¥] ?[+-]?[0-9.,]+|[+-]?[0-9.,]+ ?([$€£¥]|USD|EUR|GBP|NOK|SEK|DKK)"),
        "amounts of money",
    ),
)
_ADVICE: Final = "To have them used as numbers, write them like 1234.5."


def find(shown: pa.Table, columns: Sequence[Column], target_name: str, target: Target) -> list[str]:
    """Return warnings that name the column, what is suspicious about its values, and how to correct it."""
    warnings: list[str] = []
    codes: list[str] = []
    for column in columns:
        values = decode(shown.column(column.name))
        if column.missing_markers:
            warnings.append(_describe_markers(column.name, values, column.missing_markers))
        if column.content in (Content.TEXT, Content.CATEGORY) and pa.types.is_string(values.type):
            warnings += _check_texts(column.name, values, f"used as {column.content}")
        warnings += _check_large_numbers(column, values)
        warnings += _check_dates_as_numbers(column, values)
        codes += _find_codes(column, values)
    if codes:
        warnings.append(
            f"Used as numbers, though few different integers: {', '.join(map(repr, codes[:10]))}."
            ' If they are codes, declare them: "columns": {"…": "category"}.'
        )
    warnings += _check_target(target_name, decode(shown.column(target_name)), target)
    return warnings


def _check_texts(name: str, values: pa.ChunkedArray, use: str) -> Iterator[str]:
    distinct = drop_missing(values).unique().to_pylist()[:MAX_DISTINCT]
    markers = sorted({value.strip() for value in distinct} & MISSING_MARKERS)
    numbers = [value for value in distinct if NUMBER.fullmatch(value)]
    others = [
        value for value in distinct if not NUMBER.fullmatch(value) and value.strip() not in MISSING_MARKERS
    ]
    if markers:
        yield (
            f"{name!r} has the value {_preview(markers)}, which counts like any other."
            " If it marks missing values, upload the dataset with null_values."
        )
    if numbers and 2 * len(numbers) >= len(distinct):
        total = len(drop_missing(values))
        count = pc.sum(pc.is_in(values, pa.array(numbers))).as_py() if len(distinct) < MAX_DISTINCT else None
        share = "most" if count is None else f"{count} of {total}"
        if others:
            yield f"{name!r} is {use}: {share} values are numbers, others are {_preview(others)}."
        elif not markers:
            yield (
                f"{name!r} is {use}, because numbers would not keep how its values are written, like"
                f" {_preview(numbers)}."
            )
    for pattern, what in _SHAPES:
        if _most_match(distinct, pattern):
            yield f"{name!r} looks like {what} ({_preview(distinct)}), but is {use}. {_ADVICE}"
            break
    if _most_match(distinct, DATE_LIKE):
        yield (
            f"{name!r} looks like dates ({_preview(distinct)}), but is {use},"
            " because the order of day and month is ambiguous. Write dates like 2024-12-31."
        )
    yield from _find_variants(repr(name), distinct)


def _find_variants(name: str, distinct: Sequence[str]) -> Iterator[str]:
    variants: dict[str, list[str]] = {}
    for value in distinct:
        variants.setdefault(" ".join(value.split()).casefold(), []).append(value)
    repeated = [values for values in variants.values() if len(values) > 1]
    if repeated:
        more = "" if len(repeated) == 1 else f", and {len(repeated) - 1} more such groups"
        yield f"{name} has values that differ only in case or spaces: {_preview(repeated[0])}{more}."


def _check_target(name: str, values: pa.ChunkedArray, target: Target) -> Iterator[str]:
    if target.missing_markers:
        yield _describe_markers(name, values, target.missing_markers)
    if target.task is not Task.CLASSIFICATION:
        return
    markers = sorted(set(target.classes) & MISSING_MARKERS)
    if markers:
        yield (
            f"The target {name!r} has the class {_preview(markers)}."
            " If it marks missing values, upload the dataset with null_values."
        )
    yield from _find_variants(f"The target {name!r}", target.classes)


def _describe_markers(name: str, values: pa.ChunkedArray, markers: Sequence[str]) -> str:
    count = pc.sum(pc.is_in(pc.utf8_trim_whitespace(values), pa.array(markers))).as_py()
    return f"{name!r}: {_preview(markers)} counts as missing in {count} rows, since all others are numbers."


def _check_large_numbers(column: Column, values: pa.ChunkedArray) -> Iterator[str]:
    if column.content is not Content.NUMBER or not pa.types.is_floating(values.type):
        return
    present = drop_missing(values)
    large = present.filter(pc.greater(pc.abs(present), cells.MAX_NUMBER))
    if len(large):
        example = f"like {large[0].as_py():g}"
        limit = f"±{cells.MAX_NUMBER:g}"
        yield f"{column.name!r}: {len(large)} values beyond {limit}, {example}, count as missing."


def _check_dates_as_numbers(column: Column, values: pa.ChunkedArray) -> Iterator[str]:
    if not pa.types.is_integer(values.type):
        return
    present = drop_missing(values)
    if not len(present):
        return
    numbers = present.unique().to_numpy()[:MAX_DISTINCT]
    months, days = numbers // 100 % 100, numbers % 100
    are_dates = (numbers >= FIRST_DAY) & (numbers <= LAST_DAY) & (months >= 1) & (months <= 12) & (days >= 1)
    if bool(np.all(are_dates & (days <= 31))):
        yield (
            f"{column.name!r} looks like dates written as numbers ({numbers[0]})."
            " To have them used as dates, write them like 2024-12-31."
        )


def _find_codes(column: Column, values: pa.ChunkedArray) -> Iterator[str]:
    if (
        column.content is not Content.NUMBER
        or not pa.types.is_integer(values.type)
        or "declared" in column.reason
    ):
        return
    distinct = len(drop_missing(values).unique())
    if 2 < distinct <= FEW_CODES and distinct * 10 <= len(values):
        yield column.name


def _most_match(distinct: Sequence[str], pattern: re.Pattern[str]) -> bool:
    """Return whether nine of ten values match a pattern."""
    sample = distinct[:1000]
    return sum(pattern.fullmatch(value.strip()) is not None for value in sample) >= 0.9 * max(len(sample), 1)


def _preview(values: Sequence[Any]) -> str:
    more = "" if len(values) <= MAX_PREVIEWED else ", …"
    return ", ".join(cells.preview(value) for value in values[:MAX_PREVIEWED]) + more
