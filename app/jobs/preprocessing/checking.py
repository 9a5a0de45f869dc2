"""Checks the steps of a preprocess job against the columns of its datasets, before the job is created.

Each step maps the columns that reach it, types by names, to those that leave it. So the columns of the result
are known beforehand, and only values can fail a job: a text that is no number, a key that occurs twice.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias, assert_never

from app.datasets.column_names import MAX_COLUMNS, name_fault
from app.jobs.preprocessing.errors import BadStep
from app.jobs.preprocessing.steps import (
    PARTS_OF_TIME,
    AnyStep,
    Cast,
    Condition,
    DateParts,
    Deduplicate,
    Drop,
    Fill,
    Filter,
    Join,
    MapValues,
    NormalizeText,
    Operator,
    Rename,
    Sample,
    Scalar,
    Select,
    Split,
    Statistic,
)

Columns: TypeAlias = Mapping[str, str]
"""The types of columns, by their names and in their order."""

TEXT: Final = "text"
INTEGER: Final = "integer"
NUMBER: Final = "number"
BOOLEAN: Final = "boolean"
DATE: Final = "date"
TIMESTAMP: Final = "timestamp"
NESTED: Final = frozenset({"list", "object"})
NUMERIC: Final = frozenset({INTEGER, NUMBER})
TIMES: Final = frozenset({DATE, TIMESTAMP})

CASTS: Final[Mapping[str, frozenset[str]]] = {
    TEXT: frozenset({TEXT, INTEGER, NUMBER, BOOLEAN, DATE, TIMESTAMP}),
    INTEGER: frozenset({TEXT, INTEGER, NUMBER, BOOLEAN}),
    NUMBER: frozenset({TEXT, INTEGER, NUMBER}),
    BOOLEAN: frozenset({TEXT, INTEGER, NUMBER, BOOLEAN}),
    DATE: frozenset({TEXT, DATE, TIMESTAMP}),
    TIMESTAMP: frozenset({TEXT, DATE, TIMESTAMP}),
    "list": frozenset({TEXT}),
    "object": frozenset({TEXT}),
}
"""The types to which each type can be cast."""

MAX_PATTERN_LENGTH: Final = 1000

_ORDERED: Final = frozenset({Operator.LT, Operator.LE, Operator.GT, Operator.GE})
_OF_TEXT: Final = frozenset({Operator.CONTAINS, Operator.MATCHES})
_OF_PRESENCE: Final = frozenset({Operator.IS_MISSING, Operator.IS_PRESENT})

Reject: TypeAlias = Callable[[str, str], NoReturn]
"""Raises BadStep for a field of the step, for this reason."""


def check(steps: Sequence[AnyStep], source: Columns, joined: Sequence[Columns] = ()) -> dict[str, str]:
    """Return the columns of the result. `joined` are those of the datasets of joins, in order.

    Raises BadStep for the first step that does not fit.
    """
    columns = dict(source)
    others = iter(joined)
    for number, step in enumerate(steps, start=1):
        reject = partial(_reject, number, str(step.__struct_config__.tag))
        columns = _after(step, columns, next(others) if isinstance(step, Join) else {}, reject)
        if isinstance(step, Split) and number < len(steps):
            reject("step", "it must be the last step")
        if len(columns) > MAX_COLUMNS:
            reject("columns", f"there would be {len(columns)} columns, more than {MAX_COLUMNS}")
    return columns


def _reject(step: int, name: str, field: str, reason: str) -> NoReturn:
    raise BadStep(step=step, name=name, field=field, reason=reason)


def _after(step: AnyStep, columns: dict[str, str], joined: Columns, reject: Reject) -> dict[str, str]:
    """Return the columns after a step."""
    match step:
        case Select():
            _ensure_exist(step.columns, columns, "columns", reject)
            return {name: columns[name] for name in step.columns}
        case Drop():
            return _drop(step, columns, reject)
        case Rename():
            return _rename(step, columns, reject)
        case Cast():
            return _cast(step, columns, reject)
        case Fill():
            return _fill(step, columns, reject)
        case Filter():
            for index, condition in enumerate(step.conditions):
                _check_condition(condition, f"conditions.{index}", columns, reject)
        case Deduplicate():
            _ensure_exist(step.columns or (), columns, "columns", reject)
        case Sample():
            pass
        case Join():
            return _join(step, columns, joined, reject)
        case DateParts():
            return _date_parts(step, columns, reject)
        case NormalizeText():
            _ensure_types(step.columns, columns, "columns", {TEXT}, reject)
        case MapValues():
            return {**columns, step.column: _mapped_type(step, columns, reject)}
        case Split():
            _check_split(step, columns, reject)
        case never:
            assert_never(never)
    return columns


def _drop(step: Drop, columns: dict[str, str], reject: Reject) -> dict[str, str]:
    _ensure_exist(step.columns, columns, "columns", reject)
    left = {name: kind for name, kind in columns.items() if name not in step.columns}
    if not left:
        reject("columns", "no column would be left")
    return left


def _rename(step: Rename, columns: dict[str, str], reject: Reject) -> dict[str, str]:
    _ensure_exist(step.columns, columns, "columns", reject)
    renamed: dict[str, str] = {}
    for name, kind in columns.items():
        _add(renamed, step.columns.get(name, name), kind, "columns", reject)
    return renamed


def _cast(step: Cast, columns: dict[str, str], reject: Reject) -> dict[str, str]:
    _ensure_exist(step.columns, columns, "columns", reject)
    for name in step.columns:
        if step.to not in CASTS[columns[name]]:
            reject("to", f"{_shown(name)} is {columns[name]}, which cannot be cast to {step.to}")
        if step.format is not None and (columns[name] != TEXT or step.to not in TIMES):
            reject("format", "it is for casts of text to dates or timestamps only")
    return {name: step.to if name in step.columns else kind for name, kind in columns.items()}


def _fill(step: Fill, columns: dict[str, str], reject: Reject) -> dict[str, str]:
    _ensure_exist(step.columns, columns, "columns", reject)
    filled = dict(columns)
    for name in step.columns:
        kind = columns[name]
        if kind in NESTED:
            reject("columns", f"{_shown(name)} is {kind}; only plain values can be filled")
        if step.statistic in (Statistic.MEAN, Statistic.MEDIAN):
            if kind not in NUMERIC:
                reject("statistic", f"{_shown(name)} is {kind}; a {step.statistic} is for numbers")
            filled[name] = NUMBER
        elif step.value is not None and (fault := value_fault(step.value, kind)) is not None:
            reject("value", f"{_shown(name)} is {kind}, and {fault}")
    return filled


def _check_condition(condition: Condition, path: str, columns: Columns, reject: Reject) -> None:
    _ensure_exist([condition.column], columns, f"{path}.column", reject)
    kind = columns[condition.column]
    operator = condition.op
    if operator in _OF_PRESENCE:
        return
    if (
        kind in NESTED
        or (operator in _OF_TEXT and kind != TEXT)
        or (operator in _ORDERED and kind == BOOLEAN)
    ):
        reject(f"{path}.op", f"{operator} does not apply to {_shown(condition.column)}, which is {kind}")
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    for value in values:
        if value is None or (fault := value_fault(value, kind)) is not None:
            reject(f"{path}.value", f"{_shown(condition.column)} is {kind}, and {fault}")
    if operator is Operator.MATCHES and (fault := _pattern_fault(str(condition.value))) is not None:
        reject(f"{path}.value", fault)


def _join(step: Join, columns: dict[str, str], joined: Columns, reject: Reject) -> dict[str, str]:
    _ensure_exist(step.on, columns, "on", reject)
    _ensure_exist(step.on.values(), joined, "on", reject, of="the other dataset has")
    for name, other in step.on.items():
        if family(columns[name]) != family(joined[other]) or columns[name] in NESTED:
            reject("on", f"{_shown(name)} is {columns[name]}, {_shown(other)} is {joined[other]}")
    _ensure_exist(step.columns or (), joined, "columns", reject, of="the other dataset has")
    result = dict(columns)
    for name in added_columns(step, joined):
        _add(result, joined_name(step, name, columns), joined[name], "suffix", reject)
    return result


def added_columns(step: Join, joined: Collection[str]) -> tuple[str, ...]:
    """Return the columns of the other dataset that a join adds."""
    keys = frozenset(step.on.values())
    return step.columns or tuple(name for name in joined if name not in keys)


def joined_name(step: Join, name: str, columns: Collection[str]) -> str:
    """Return the name that a column of the other dataset gets beside these columns."""
    return f"{name}{step.suffix}" if name in columns else name


def _date_parts(step: DateParts, columns: dict[str, str], reject: Reject) -> dict[str, str]:
    _ensure_types([step.column], columns, "column", TIMES, reject)
    result = dict(columns)
    for part in step.parts:
        if columns[step.column] == DATE and part in PARTS_OF_TIME:
            reject("parts", f"{_shown(step.column)} is a date, which has no {part}")
        _add(result, f"{step.prefix}{part}", INTEGER, "prefix", reject)
    return result


def _mapped_type(step: MapValues, columns: Columns, reject: Reject) -> str:
    _ensure_exist([step.column], columns, "column", reject)
    kind = columns[step.column]
    if kind in NESTED:
        reject("column", f"{_shown(step.column)} is {kind}; only plain values can be mapped")
    if _type_of_values(step.mapping.values()) is None:
        reject("mapping", "the new values are not all of one type")
    if (found := mapped_type(step, kind)) is None:
        reject("others", f"{_shown(step.column)} is {kind}; the new values have another type and cannot mix")
    return found


def mapped_type(step: MapValues, kind: str) -> str | None:
    """Return the type of a column of this type after a step; None if the values have several types."""
    found = _type_of_values(step.mapping.values())
    if step.others != "keep" or found in (kind, None):
        return found
    return NUMBER if {found, kind} == NUMERIC else None


def _type_of_values(values: Collection[Scalar]) -> str | None:
    types = {type(value) for value in values}
    if types == {bool}:
        return BOOLEAN
    if types == {int}:
        return INTEGER
    if types <= {int, float}:
        return NUMBER
    return TEXT if types == {str} else None


def _check_split(step: Split, columns: Columns, reject: Reject) -> None:
    if step.column is None:
        return
    if step.by == "time":
        _ensure_types([step.column], columns, "column", TIMES | NUMERIC, reject)
        return
    _ensure_exist([step.column], columns, "column", reject)
    if columns[step.column] in NESTED:
        reject(
            "column", f"{_shown(step.column)} is {columns[step.column]}; only plain values can be compared"
        )


def _ensure_exist(
    names: Collection[str], columns: Columns, field: str, reject: Reject, *, of: str = "the rows have"
) -> None:
    for name in names:
        if name not in columns:
            close = get_close_matches(name, columns, n=1)
            hint = f"; did you mean {_shown(close[0])}?" if close else ""
            reject(field, f"{of} no column {_shown(name)}{hint}")


def _ensure_types(
    names: Collection[str], columns: Columns, field: str, types: Collection[str], reject: Reject
) -> None:
    _ensure_exist(names, columns, field, reject)
    for name in names:
        if columns[name] not in types:
            allowed = " or ".join(sorted(types))
            reject(field, f"{_shown(name)} is {columns[name]}, not {allowed}; cast it first")


def _add(columns: dict[str, str], name: str, kind: str, field: str, reject: Reject) -> None:
    """Add a column. Rejects a name that is not valid or is there already."""
    if (fault := name_fault(name)) is not None:
        reject(field, f"a column {fault}")
    if name in columns:
        reject(field, f"more than one column would be called {_shown(name)}")
    columns[name] = kind


def family(kind: str) -> str:
    """Return the type by which values are compared: integers are numbers."""
    return NUMBER if kind == INTEGER else kind


def value_fault(value: Any, kind: str) -> str | None:
    """Return why a value of a request cannot be a value of a column; None if it can."""
    match kind:
        case "text":
            fits = isinstance(value, str)
        case "boolean":
            fits = isinstance(value, bool)
        case "integer":
            fits = isinstance(value, int) and not isinstance(value, bool)
        case "number":
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            fits = isinstance(value, str) and _reads_as_time(value, kind)
    return None if fits else f"{_shown(value)} is not {'text' if kind == TEXT else f'a valid {kind}'}"


def _reads_as_time(text: str, kind: str) -> bool:
    try:
        read_time(text, kind)
    except ValueError:
        return False
    return True


_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


def read_time(text: str, kind: str) -> datetime:
    """Read a date or a timestamp in ISO 8601. Raises ValueError."""
    pattern = _DATE if kind == DATE else _TIMESTAMP
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


def _pattern_fault(pattern: str) -> str | None:
    """Return why RE2 does not take a pattern; None if it does."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        return f"the pattern is longer than {MAX_PATTERN_LENGTH} characters"
    import pyarrow as pa  # a worker, which checks nothing, need not import it
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except (pa.ArrowInvalid, ValueError) as error:
        return f"the pattern is not valid: {str(error)[:200]}"
    return None


def _shown(value: Any) -> str:
    return repr(value)[:80]
