"""What in the columns may not be what it seems: how values are written, and what they were taken for."""

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
from worker.training.columns import DATE_LIKE, MARKS, Column, filled, plain
from worker.training.target import Target

MAX_DISTINCT: Final = 10_000
MAX_SHOWN: Final = 3
FEW_CODES: Final = 20
FIRST_DAY, LAST_DAY = 19000101, 21001231

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
_ADVICE: Final = "write them as 1234.5 to have them used as numbers"


def find(shown: pa.Table, told: Sequence[Column], target_name: str, target: Target) -> list[str]:
    """Sentences that name the column, what is odd about it, and what can be done."""
    said: list[str] = []
    codes: list[str] = []
    for column in told:
        values = plain(shown.column(column.name))
        if column.missing:
            said.append(_taken_for_missing(column.name, values, column.missing))
        if column.content in (Content.TEXT, Content.CATEGORY) and pa.types.is_string(values.type):
            said += _of_texts(column.name, values, f"used as {column.content}")
        said += _of_large(column, values)
        said += _of_dates_as_numbers(column, values)
        codes += _codes(column, values)
    if codes:
        said.append(
            f"Few different whole numbers, used as numbers: {', '.join(map(repr, codes[:10]))}."
            ' If they are codes, declare them: "columns": {"…": "category"}.'
        )
    said += _of_target(target_name, plain(shown.column(target_name)), target)
    times = [column.name for column in told if column.content is Content.DATE]
    if times:
        said.append(
            f"The rows to measure by are held out at random, though there is a time ({times[0]!r}):"
            " if the model is to predict later rows, the metrics are too good."
        )
    return said


def _of_texts(name: str, values: pa.ChunkedArray, use: str) -> Iterator[str]:
    distinct = filled(values).unique().to_pylist()[:MAX_DISTINCT]
    marks = sorted({value.strip() for value in distinct} & MARKS)
    numbers = [value for value in distinct if NUMBER.fullmatch(value)]
    others = [value for value in distinct if not NUMBER.fullmatch(value) and value.strip() not in MARKS]
    if marks:
        yield (
            f"{name!r} has {_shown(marks)} among its values, which count as any other. If that is how missing"
            " values are written, upload the dataset with null_values."
        )
    if numbers and 2 * len(numbers) >= len(distinct):
        total = len(filled(values))
        count = pc.sum(pc.is_in(values, pa.array(numbers))).as_py() if len(distinct) < MAX_DISTINCT else None
        said = "most" if count is None else f"{count} of {total}"
        if others:
            yield f"{name!r} is {use}: {said} values are numbers, others are {_shown(others)}."
        elif not marks:
            yield f"{name!r} is {use}: as numbers {_shown(numbers)} would not come back as they are written."
    for pattern, what in _SHAPES:
        if _most(distinct, pattern):
            yield f"{name!r} looks like {what} ({_shown(distinct)}); it is {use}: {_ADVICE}."
            break
    if _most(distinct, DATE_LIKE):
        yield (
            f"{name!r} looks like dates ({_shown(distinct)}), whose order is not known; it is {use}:"
            " write them as 2024-12-31."
        )
    yield from _variants(name, distinct)


def _variants(name: str, distinct: Sequence[str]) -> Iterator[str]:
    alike: dict[str, list[str]] = {}
    for value in distinct:
        alike.setdefault(" ".join(value.split()).casefold(), []).append(value)
    several = [values for values in alike.values() if len(values) > 1]
    if several:
        more = "" if len(several) == 1 else f", and {len(several) - 1} more such"
        yield f"{name!r} has values that differ only in case or spaces: {_shown(several[0])}{more}."


def _of_target(name: str, values: pa.ChunkedArray, target: Target) -> Iterator[str]:
    if target.missing:
        yield _taken_for_missing(name, values, target.missing)
    if target.task is not Task.CLASSIFICATION:
        return
    marks = sorted(set(target.classes) & MARKS)
    if marks:
        yield (
            f"The target {name!r} has the class {_shown(marks)}. If that is how missing values are written,"
            " upload the dataset with null_values."
        )
    yield from _variants(f"the target {name}", target.classes)


def _taken_for_missing(name: str, values: pa.ChunkedArray, marks: Sequence[str]) -> str:
    count = pc.sum(pc.is_in(pc.utf8_trim_whitespace(values), pa.array(marks))).as_py()
    return f"{name!r}: {_shown(marks)} is taken for missing in {count} rows, because all else is numbers."


def _of_large(column: Column, values: pa.ChunkedArray) -> Iterator[str]:
    if column.content is not Content.NUMBER or not pa.types.is_floating(values.type):
        return
    large = filled(values).filter(pc.greater(pc.abs(filled(values)), cells.MAX_NUMBER))
    if len(large):
        said = f"{len(large)} values beyond ±{cells.MAX_NUMBER:g}, like {large[0].as_py():g},"
        yield f"{column.name!r} has {said} which are taken for missing."


def _of_dates_as_numbers(column: Column, values: pa.ChunkedArray) -> Iterator[str]:
    if not pa.types.is_integer(values.type) or not len(filled(values)):
        return
    found = filled(values).unique().to_numpy()[:MAX_DISTINCT]
    months, days = found // 100 % 100, found % 100
    are_dates = (found >= FIRST_DAY) & (found <= LAST_DAY) & (months >= 1) & (months <= 12) & (days >= 1)
    if bool(np.all(are_dates & (days <= 31))):
        yield (
            f"{column.name!r} looks like dates written as numbers ({found[0]}): write them as 2024-12-31"
            " to have them used as days."
        )


def _codes(column: Column, values: pa.ChunkedArray) -> Iterator[str]:
    if (
        column.content is not Content.NUMBER
        or not pa.types.is_integer(values.type)
        or "declared" in column.reason
    ):
        return
    distinct = len(filled(values).unique())
    if 2 < distinct <= FEW_CODES and distinct * 10 <= len(values):
        yield column.name


def _most(distinct: Sequence[str], pattern: re.Pattern[str]) -> bool:
    """Whether nine of ten values are written so."""
    looked_at = distinct[:1000]
    return sum(pattern.fullmatch(value.strip()) is not None for value in looked_at) >= 0.9 * max(
        len(looked_at), 1
    )


def _shown(values: Sequence[Any]) -> str:
    more = "" if len(values) <= MAX_SHOWN else ", …"
    return ", ".join(cells.shown(value) for value in values[:MAX_SHOWN]) + more
