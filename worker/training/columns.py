"""Infer what the columns of a table hold, and choose the columns that a model learns from."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets import reading
from app.datasets.canonical_text import NUMBER, number_fault
from app.datasets.conversion.columns import INDEX, json_type
from app.datasets.conversion.columns import declared as was_declared
from app.datasets.options import Declared
from worker import cells
from worker.cells import BadCell, Content
from worker.context import BadInput

FEW_CATEGORIES: Final = 20
MAX_CATEGORIES: Final = 1000
MAX_CATEGORY_CHARACTERS: Final = 200
MIN_ROWS_FOR_IDS: Final = 20
"""In fewer rows, the values of any column may all differ by chance."""

ID_SHARE: Final = 0.95
"""The least share of different values among ids: a file may hold the same row twice."""

_ID_NAME: Final = re.compile(
    r"(?i:(.*[^a-z])?(id|uuid|guid|key|index|rownum|row_number)|unnamed: 0)|.*[a-z](Id|ID)"
)
_ROW_INDEX: Final = re.compile(r"Unnamed: [0-9]+|__index_level_[0-9]+__|__null_dask_index__")
"""The names that pandas and Dask give to an unnamed index."""

MISSING_MARKERS: Final = frozenset(
    {
        *("NA", "N/A", "n/a", "na", "#N/A", "<NA>", "NULL", "null", "Null", "None", "none", "NaN", "nan"),
        *("NAN", "?", "-", "--", ".", "\\N", "inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity"),
    }
)
"""Texts that programs and people write in place of a missing value."""

DATE_LIKE: Final = re.compile(r"[0-9]{1,4}[/.-][0-9]{1,2}[/.-][0-9]{1,4}([ T][0-9:.]+)?")
"""Dates whose order of day, month and year is ambiguous."""

_NO_FEATURES: Final[dict[str, str]] = {
    Declared.ID: "not used: declared as an id",
    INDEX: "not used: index of a pandas DataFrame",
    Declared.IGNORE: "not used: declared as ignored",
}
_CONTENTS: Final[dict[str, Content]] = {
    Declared.NUMBER: Content.NUMBER,
    Declared.CATEGORY: Content.CATEGORY,
    Declared.TEXT: Content.TEXT,
    Declared.BOOLEAN: Content.BOOLEAN,
    Declared.TIMESTAMP: Content.DATE,
}

_CODE: Final = re.compile(r"(?=.*[0-9])[A-Za-z0-9_.:#/+=-]{1,64}")


@dataclass(frozen=True)
class Column:
    """A column and its use. Without `content` it is not used; `reason` explains the decision to the user.

    `is_stored_as_text` says that the file has texts for its numbers, booleans or dates. `missing_markers`
    are the texts that mark a missing number.
    """

    name: str
    content: Content | None
    reason: str
    is_stored_as_text: bool = False
    missing_markers: tuple[str, ...] = ()

    @property
    def expected_type(self) -> str:
        """The type that the column needs in rows to predict: `number`, `category`, `text` or `any`."""
        if self.is_stored_as_text or self.content in (Content.BOOLEAN, Content.DATE):
            return "any"
        return self.used_as or "any"

    @property
    def used_as(self) -> str | None:
        """The form that the model sees: `number`, `category` or `text`; None if the column is not used."""
        if self.content in (Content.BOOLEAN, Content.DATE):
            return Content.NUMBER.value
        return None if self.content is None else self.content.value


def infer_columns(
    table: pa.Table,
    target: str,
    features: Sequence[str] | None,
    declared: Mapping[str, str] | None = None,
) -> list[Column]:
    """Return every column but the target, used or not, in the order in which the model will take them.

    `features` are the columns to use; None means all useful ones. `declared` are the types that the request
    declares, which take precedence over those declared at the upload of the dataset. Raises BadInput if no
    column is useful.
    """
    names = [name for name in table.column_names if name != target] if features is None else list(features)
    inferred = [
        _infer_column(
            table.schema.field(name),
            table.column(name),
            (declared or {}).get(name) or was_declared(table.schema.field(name)),
            is_requested=features is not None,
        )
        for name in names
    ]
    if not any(column.content for column in inferred):
        reasons = "; ".join(f"{column.name}: {column.reason}" for column in inferred[:10])
        raise BadInput(f"no column is useful as a feature ({reasons or 'the target is the only column'})")
    return inferred


def check_names(table: pa.Table, target: str, features: Sequence[str]) -> None:
    """Raise BadInput unless the table has the target and all features, and each is named once."""
    known = set(table.column_names)
    for name in (target, *features):
        if name not in known:
            existing = ", ".join(table.column_names[:20])
            raise BadInput(f"the rows have no column {name!r}; their columns are: {existing}")
    if target in features:
        raise BadInput(f"the target {target!r} cannot be one of the features")
    if len(set(features)) < len(features):
        raise BadInput("a feature is named twice")


def read(column: Column, stored: pa.ChunkedArray, field: pa.Field | None = None) -> npt.NDArray[Any]:
    """Return the values of a used column as a model takes them: floats with NaN for missing, or objects.

    Texts and categories are exactly as the file has them; `field` records how they were written. Raises
    BadInput for a value that does not fit the declared type.
    """
    try:
        return _read(column, field or pa.field(column.name, stored.type), stored)
    except BadCell as error:
        raise BadInput(
            f"column {column.name!r} ({column.reason}): {error}; correct the value or declare another type"
        ) from None


def _read(column: Column, field: pa.Field, stored: pa.ChunkedArray) -> npt.NDArray[Any]:
    if column.content is Content.TEXT or column.content is Content.CATEGORY:
        parse = cells.PARSERS[column.content]
        objects = np.empty(len(stored), dtype=object)
        objects[:] = [parse(value) for value in reading.values_as_written(field, decode(stored))]
        return objects
    values = decode(reading.typed(field, stored))
    if pa.types.is_temporal(values.type):
        zone = values.type.tz if pa.types.is_timestamp(values.type) else None
        in_microseconds = values.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
        return _to_floats(in_microseconds) / (cells.SECONDS_OF_A_DAY * 1e6)
    if column.content is not None and (_is_text(values.type) or column.content is Content.DATE):
        markers = column.missing_markers
        parse = cells.number_parser(markers) if markers else cells.PARSERS[column.content]
        return np.fromiter((parse(value) for value in values.to_pylist()), np.float64, len(values))
    return _to_floats(values)


def drop_missing(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values without null, empty texts, NaN and infinity."""
    present = values.drop_null()
    if _is_text(present.type):
        return present.filter(pc.not_equal(pc.utf8_trim_whitespace(present), ""))
    if pa.types.is_floating(present.type):
        return present.filter(pc.is_finite(present))
    return present


def decode(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values without dictionary encoding, and with all kinds of text as `string`."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    return values


def _infer_column(
    field: pa.Field, values: pa.ChunkedArray, declared: str | None, *, is_requested: bool
) -> Column:
    name = field.name
    if declared == Declared.IGNORE or (declared in _NO_FEATURES and not is_requested):
        return Column(name, None, _NO_FEATURES[declared])
    if not is_requested and _ROW_INDEX.fullmatch(name):
        return Column(name, None, "not used: named like a row index that pandas writes")
    values = decode(values)
    if json_type(field) is not None or not _is_usable(values.type):
        kind = json_type(field) or values.type
        return Column(name, None, f"not used: values of type {kind} are not supported")
    present = drop_missing(values)
    if len(present) == 0:
        return Column(name, None, "not used: all values are missing")
    if declared is not None and (content := _CONTENTS.get(declared)) is not None:
        return Column(name, content, f"declared as a {declared}", _is_text(present.type))
    distinct = present.unique()
    if len(distinct) == 1 and len(present) == len(values):
        return Column(name, None, "not used: the same value in every row")
    if not is_requested and (reason := _id_reason(name, present, distinct)):
        return Column(name, None, reason)
    if _is_text(present.type) and (markers := find_missing_markers(distinct.to_pylist())):
        reason = f"numbers; {', '.join(map(repr, markers))} counts as missing"
        return Column(name, Content.NUMBER, reason, is_stored_as_text=True, missing_markers=markers)
    content, reason = _infer_content(present, distinct)
    is_stored_as_text = _is_text(present.type) and content not in (Content.TEXT, Content.CATEGORY)
    return Column(name, content, reason, is_stored_as_text)


def find_missing_markers(distinct: Collection[str]) -> tuple[str, ...]:
    """Return the missing-value markers among texts, if all other texts are numbers, else nothing."""
    markers = sorted({text.strip() for text in distinct} & MISSING_MARKERS)
    if not markers:
        return ()
    others = [text for text in distinct if text.strip() not in MISSING_MARKERS]
    return tuple(markers) if others and are_numbers(others) else ()


def are_numbers(distinct: Collection[str]) -> bool:
    """Return whether all texts are numbers and do not look like codes or versions."""
    return all(NUMBER.fullmatch(text) for text in distinct) and number_fault(distinct) is None


def _infer_content(present: pa.ChunkedArray, distinct: pa.Array) -> tuple[Content, str]:
    kind = present.type
    if pa.types.is_boolean(kind):
        return Content.BOOLEAN, "true and false"
    if pa.types.is_temporal(kind):
        return Content.DATE, "dates; used as days since 1970"
    if not _is_text(kind):
        return Content.NUMBER, "numbers"
    values = distinct.to_pylist()
    if all(value.strip().lower() in cells.BOOLEANS for value in values):
        return Content.BOOLEAN, "true and false, stored as text"
    if are_numbers(values):
        return Content.NUMBER, "numbers, stored as text"
    if all(_is_date(value) for value in values):
        return Content.DATE, "dates, stored as text; used as days since 1970"
    return _category_or_text(values, len(present))


def _category_or_text(distinct: list[str], rows: int) -> tuple[Content, str]:
    """Categories repeat and texts do not. Short values need to repeat less to count as categories."""
    words = sum(len(value.split()) for value in distinct) / len(distinct)
    longest = max(map(len, distinct))
    share = len(distinct) / rows
    reason = f"{len(distinct)} different values in {rows} rows"
    repeats = share <= 0.2 or (share <= 0.5 and words < 3) or (len(distinct) <= FEW_CATEGORIES and words < 2)
    if repeats and len(distinct) <= MAX_CATEGORIES and longest <= MAX_CATEGORY_CHARACTERS:
        return Content.CATEGORY, reason
    return Content.TEXT, f"{reason}, {words:.1f} words on average"


def _id_reason(name: str, present: pa.ChunkedArray, distinct: pa.Array) -> str | None:
    """Return why a column seems to be an id of its rows; None if it does not."""
    rows = len(present)
    if rows < MIN_ROWS_FOR_IDS or len(distinct) < ID_SHARE * rows:
        return None
    differs = "different in every row" if len(distinct) == rows else "different in nearly every row"
    if pa.types.is_integer(present.type):
        if _ID_NAME.fullmatch(name):
            return f"not used: named like an id, and {differs}"
        steps = np.diff(distinct.to_numpy())
        return "not used: counts the rows" if bool(np.all(steps == 1)) else None
    if not _is_text(present.type):
        return None
    values = distinct.to_pylist()
    if all(map(DATE_LIKE.fullmatch, values)):
        return None
    if all(_CODE.fullmatch(value) for value in values) and not all(map(_is_number_or_date, values)):
        return f"not used: looks like an id, a code that is {differs}"
    return None


def _is_number_or_date(value: str) -> bool:
    return NUMBER.fullmatch(value) is not None or _is_date(value)


def _is_date(value: str) -> bool:
    try:
        datetime.fromisoformat(value.strip())
    except ValueError:
        return False
    return True


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind))


def _is_usable(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_boolean(kind)
        or types.is_date(kind)
        or types.is_timestamp(kind)
        or types.is_string(kind)
        or types.is_null(kind)
    )


def _to_floats(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    floats: npt.NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    with np.errstate(invalid="ignore"):
        floats[~(np.abs(floats) <= cells.MAX_NUMBER)] = np.nan
    return floats
