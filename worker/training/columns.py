"""What the columns of a table hold, told by their content, and which of them a model should not see."""

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
"""With fewer rows values may all differ by chance."""

_ID_NAME: Final = re.compile(
    r"(?i:(.*[^a-z])?(id|uuid|guid|key|index|rownum|row_number)|unnamed: 0)|.*[a-z](Id|ID)"
)
_ROW_INDEX: Final = re.compile(r"Unnamed: [0-9]+|__index_level_[0-9]+__|__null_dask_index__")
"""What pandas and Dask call an index that has no name."""

MARKS: Final = frozenset(
    {
        *("NA", "N/A", "n/a", "na", "#N/A", "<NA>", "NULL", "null", "Null", "None", "none", "NaN", "nan"),
        *("NAN", "?", "-", "--", ".", "\\N", "inf", "-inf", "Inf", "-Inf", "Infinity", "-Infinity"),
    }
)
"""How programs and people write that a value is missing."""

DATE_LIKE: Final = re.compile(r"[0-9]{1,4}[/.-][0-9]{1,2}[/.-][0-9]{1,4}([ T][0-9:.]+)?")
"""Dates in the order of some country, which cannot be told from another's."""

_NO_FEATURES: Final[dict[str, str]] = {
    Declared.ID: "not used: declared an id",
    INDEX: "not used: the index of a pandas frame",
    Declared.IGNORE: "not used: declared to be ignored",
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
    """A column and what is made of it. One without content is not used; `reason` says why so or so.

    `is_written` says that its values are texts, though not their meaning. `missing` are the texts that mark a
    missing number.
    """

    name: str
    content: Content | None
    reason: str
    is_written: bool = False
    missing: tuple[str, ...] = ()

    @property
    def expects(self) -> str:
        """What the type of a column must be to fit, as far as the type can tell."""
        if self.is_written or self.content in (Content.BOOLEAN, Content.DATE):
            return "any"
        return self.used_as or "any"

    @property
    def used_as(self) -> str | None:
        """How a model sees it: `number`, `category`, `text`, or not at all."""
        if self.content in (Content.BOOLEAN, Content.DATE):
            return Content.NUMBER.value
        return None if self.content is None else self.content.value


def tell_apart(
    table: pa.Table,
    target: str,
    features: Sequence[str] | None,
    declared: Mapping[str, str] | None = None,
) -> list[Column]:
    """Every column but the target, used or not, in the order in which a model will take them.

    `features` are those to use, None for all that are of use. `declared` is what the client says of columns;
    it goes before what was said when the dataset was uploaded. Raises BadInput if no column is left.
    """
    names = [name for name in table.column_names if name != target] if features is None else list(features)
    told = [
        _tell(
            table.schema.field(name),
            table.column(name),
            (declared or {}).get(name) or was_declared(table.schema.field(name)),
            is_asked_for=features is not None,
        )
        for name in names
    ]
    if not any(column.content for column in told):
        reasons = "; ".join(f"{column.name}: {column.reason}" for column in told[:10])
        raise BadInput(f"no column is left to learn from ({reasons or 'the target is the only one'})")
    return told


def read(column: Column, stored: pa.ChunkedArray, field: pa.Field | None = None) -> npt.NDArray[Any]:
    """The values of a used column as a model takes them: floats with NaN for missing, or objects.

    Texts and categories are as they were written; `field` says what is kept of that. Raises
    BadInput for what is not what the client says.
    """
    try:
        return _read(column, field or pa.field(column.name, stored.type), stored)
    except BadCell as error:
        raise BadInput(f"column {column.name!r}, which is {column.reason}: {error}") from None


def _read(column: Column, field: pa.Field, stored: pa.ChunkedArray) -> npt.NDArray[Any]:
    if column.content is Content.TEXT or column.content is Content.CATEGORY:
        reader = cells.READERS[column.content]
        found = np.empty(len(stored), dtype=object)
        found[:] = [reader(value) for value in reading.written_values(field, plain(stored))]
        return found
    values = plain(reading.typed(field, stored))
    if pa.types.is_temporal(values.type):
        zone = values.type.tz if pa.types.is_timestamp(values.type) else None
        in_microseconds = values.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
        return _floats(in_microseconds) / (cells.SECONDS_OF_A_DAY * 1e6)
    if column.content is not None and (_is_text(values.type) or column.content is Content.DATE):
        reader = cells.without(column.missing) if column.missing else cells.READERS[column.content]
        return np.fromiter((reader(value) for value in values.to_pylist()), np.float64, len(values))
    return _floats(values)


def filled(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values that are not missing; an empty text is."""
    kept = values.drop_null()
    if _is_text(kept.type):
        return kept.filter(pc.not_equal(pc.utf8_trim_whitespace(kept), ""))
    if pa.types.is_floating(kept.type):
        return kept.filter(pc.is_finite(kept))
    return kept


def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values without what is only a way to store them: dictionaries, other kinds of text."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    return values


def _tell(field: pa.Field, values: pa.ChunkedArray, declared: str | None, *, is_asked_for: bool) -> Column:
    name = field.name
    if declared == Declared.IGNORE or (declared in _NO_FEATURES and not is_asked_for):
        return Column(name, None, _NO_FEATURES[declared])
    if not is_asked_for and _ROW_INDEX.fullmatch(name):
        return Column(name, None, "not used: they are named like the row index that pandas writes")
    values = plain(values)
    if json_type(field) is not None or not _is_usable(values.type):
        kind = json_type(field) or values.type
        return Column(name, None, f"not used: {kind} is no type that can be learnt from")
    kept = filled(values)
    if len(kept) == 0:
        return Column(name, None, "not used: all values are missing")
    if declared is not None and (content := _CONTENTS.get(declared)) is not None:
        return Column(name, content, f"declared a {declared}", _is_text(kept.type))
    distinct = kept.unique()
    if len(distinct) == 1 and len(kept) == len(values):
        return Column(name, None, "not used: constant, the same in every row")
    if not is_asked_for and (reason := _id_reason(name, kept, distinct)):
        return Column(name, None, reason)
    if _is_text(kept.type) and (missing := marks_among(distinct.to_pylist())):
        said = f"numbers, where {', '.join(map(repr, missing))} is taken for missing"
        return Column(name, Content.NUMBER, said, is_written=True, missing=missing)
    content, reason = _content(kept, distinct)
    is_written = _is_text(kept.type) and content not in (Content.TEXT, Content.CATEGORY)
    return Column(name, content, reason, is_written)


def marks_among(distinct: Collection[str]) -> tuple[str, ...]:
    """The marks for what is missing among texts of which all others are numbers; none if they are not."""
    marks = sorted({text.strip() for text in distinct} & MARKS)
    if not marks:
        return ()
    others = [text for text in distinct if text.strip() not in MARKS]
    return tuple(marks) if others and are_numbers(others) else ()


def are_numbers(distinct: Collection[str]) -> bool:
    """Whether different texts are all numbers, and would not be codes or versions."""
    return all(NUMBER.fullmatch(text) for text in distinct) and number_fault(distinct) is None


def _content(kept: pa.ChunkedArray, distinct: pa.Array) -> tuple[Content, str]:
    kind = kept.type
    if pa.types.is_boolean(kind):
        return Content.BOOLEAN, "true and false"
    if pa.types.is_temporal(kind):
        return Content.DATE, "dates; used as days since 1970"
    if not _is_text(kind):
        return Content.NUMBER, "numbers"
    values = distinct.to_pylist()
    if all(value.strip().lower() in cells.BOOLEANS for value in values):
        return Content.BOOLEAN, "true and false, written as text"
    if are_numbers(values):
        return Content.NUMBER, "numbers, written as text"
    if all(_is_date(value) for value in values):
        return Content.DATE, "dates, written as text; used as days since 1970"
    return _category_or_text(values, len(kept))


def _category_or_text(distinct: list[str], rows: int) -> tuple[Content, str]:
    """Categories repeat, texts do not; what is short may repeat less."""
    words = sum(len(value.split()) for value in distinct) / len(distinct)
    longest = max(map(len, distinct))
    share = len(distinct) / rows
    said = f"{len(distinct)} different values in {rows} rows"
    repeats = share <= 0.2 or (share <= 0.5 and words < 3) or (len(distinct) <= FEW_CATEGORIES and words < 2)
    if repeats and len(distinct) <= MAX_CATEGORIES and longest <= MAX_CATEGORY_CHARACTERS:
        return Content.CATEGORY, said
    return Content.TEXT, f"{said}, {words:.1f} words on average"


def _id_reason(name: str, kept: pa.ChunkedArray, distinct: pa.Array) -> str | None:
    """Why a column only names its rows; None if it may say more."""
    rows = len(kept)
    if rows < MIN_ROWS_FOR_IDS or len(distinct) < rows:
        return None
    if pa.types.is_integer(kept.type):
        if _ID_NAME.fullmatch(name):
            return "not used: it is named like an id, and is different in every row"
        steps = np.diff(kept.to_numpy())
        return "not used: it counts the rows" if bool(np.all(steps == 1)) else None
    if not _is_text(kept.type):
        return None
    values = distinct.to_pylist()
    if all(map(DATE_LIKE.fullmatch, values)):
        return None
    if all(_CODE.fullmatch(value) for value in values) and not all(map(_is_number_or_date, values)):
        return "not used: it looks like an id, a code that is different in every row"
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


def _floats(values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    with np.errstate(invalid="ignore"):
        found[~(np.abs(found) <= cells.MAX_NUMBER)] = np.nan
    return found


def ensure_there(table: pa.Table, target: str, features: Sequence[str]) -> None:
    """Raise BadInput unless all these columns are there, each once."""
    known = set(table.column_names)
    for name in (target, *features):
        if name not in known:
            there = ", ".join(table.column_names[:20])
            raise BadInput(f"there is no column {name!r}; there are: {there}")
    if target in features:
        raise BadInput(f"the target {target!r} cannot be one of the features")
    if len(set(features)) < len(features):
        raise BadInput("a feature is named twice")
