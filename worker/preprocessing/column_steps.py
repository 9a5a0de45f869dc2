"""The steps that change columns row by row, such as rename, cast and normalize_text."""

import unicodedata
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.canonical_text import to_canonical_text
from app.datasets.conversion.columns import INTEGER, NUMBER, TEXT
from app.jobs.preprocessing import checking
from app.jobs.preprocessing.steps import (
    Cast,
    DatePart,
    DateParts,
    Drop,
    MapValues,
    NormalizeText,
    Rename,
    Select,
)
from worker.preprocessing import casting
from worker.preprocessing.chunk import ARROW_TYPES, Chunk
from worker.preprocessing.operation import Operation

_MAX_SHOWN: Final = 80

PARTS: Final[dict[DatePart, Callable[[Any], pa.ChunkedArray]]] = {
    DatePart.YEAR: pc.year,
    DatePart.QUARTER: pc.quarter,
    DatePart.MONTH: pc.month,
    DatePart.WEEK: pc.iso_week,
    DatePart.DAY: pc.day,
    DatePart.DAY_OF_YEAR: pc.day_of_year,
    DatePart.WEEKDAY: pc.day_of_week,
    DatePart.HOUR: pc.hour,
    DatePart.MINUTE: pc.minute,
    DatePart.SECOND: pc.second,
}


class Selection(Operation):
    """Keeps columns in an order."""

    def __init__(self, number: int, step: Select) -> None:
        super().__init__(number, step)
        self._columns = list(step.columns)

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows with these columns only."""
        return Chunk(chunk.table.select(self._columns), chunk.numbers)


class Removal(Operation):
    """Removes columns."""

    def __init__(self, number: int, step: Drop) -> None:
        super().__init__(number, step)
        self._columns = list(step.columns)

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows without these columns."""
        return Chunk(chunk.table.drop_columns(self._columns), chunk.numbers)


class Renaming(Operation):
    """Renames columns, which stay stored as they are."""

    def __init__(self, number: int, step: Rename) -> None:
        super().__init__(number, step)
        self._names = step.columns

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows under the new names."""
        fields = [field.with_name(self._names.get(field.name, field.name)) for field in chunk.table.schema]
        return Chunk(pa.table(chunk.table.columns, schema=pa.schema(fields)), chunk.numbers)


class Casting(Operation):
    """Converts columns to a type. A column that has the type already stays stored as it is."""

    def __init__(self, number: int, step: Cast) -> None:
        super().__init__(number, step)
        self._step = step

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows with converted values. Raises BadValue."""
        for name in self._step.columns:
            if chunk.kind(name) == self._step.to:
                continue
            if self._step.to == checking.TEXT:
                texts = map(to_canonical_text, chunk.as_written(name))
                chunk = chunk.replaced(name, pa.array(texts, TEXT))
            else:
                values = self._convert(chunk, name)
                chunk = chunk.replaced(name, pa.array(values, ARROW_TYPES[self._step.to]))
        return chunk

    def _convert(self, chunk: Chunk, name: str) -> list[Any]:
        step = self._step
        convert = casting.converter(step.to, step.format)
        known: dict[Any, Any] = {None: None}
        converted: list[Any] = []
        for index, value in enumerate(chunk.values(name)):
            if value not in known:
                try:
                    known[value] = convert(value)
                except (ValueError, OverflowError):
                    if step.on_error == "fail":
                        shown = repr(value)[:_MAX_SHOWN]
                        self.reject(chunk, index, f"{shown} in the column {name!r} is not a valid {step.to}")
                    known[value] = None
            converted.append(known[value])
        return converted


class DatePartsDerivation(Operation):
    """Adds columns with parts of a time."""

    def __init__(self, number: int, step: DateParts) -> None:
        super().__init__(number, step)
        self._step = step

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows with the new columns."""
        times = chunk.typed(self._step.column)
        for part in self._step.parts:
            chunk = chunk.replaced(f"{self._step.prefix}{part}", pc.cast(PARTS[part](times), INTEGER))
        return chunk


class TextNormalization(Operation):
    """Normalises texts."""

    def __init__(self, number: int, step: NormalizeText) -> None:
        super().__init__(number, step)
        self._step = step

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows with normalised texts."""
        for name in self._step.columns:
            known: dict[str | None, str | None] = {None: None}
            texts: list[str | None] = []
            for text in chunk.values(name):
                if text not in known:
                    known[text] = normalized(text, self._step)
                texts.append(known[text])
            chunk = chunk.replaced(name, pa.array(texts, TEXT))
        return chunk


def normalized(text: str, step: NormalizeText) -> str:
    """Return a text as the step leaves it."""
    if step.unicode is not None:
        text = unicodedata.normalize(step.unicode, text)
    if step.remove_accents:
        decomposed = unicodedata.normalize("NFD", text)
        text = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
        text = unicodedata.normalize(step.unicode or "NFC", text)
    if step.lowercase:
        text = text.lower()
    return " ".join(text.split()) if step.collapse_whitespace else text


class ValueMapping(Operation):
    """Replaces values by others."""

    def __init__(self, number: int, step: MapValues) -> None:
        super().__init__(number, step)
        self._step = step

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows with new values. Raises BadValue for a value that must be mapped and is not."""
        step = self._step
        new_type = ARROW_TYPES[checking.mapped_type(step, chunk.kind(step.column)) or checking.TEXT]
        known: dict[Any, Any] = {None: None}
        values: list[Any] = []
        for index, value in enumerate(chunk.values(step.column)):
            if value not in known:
                known[value] = self._mapped(chunk, index, value)
            values.append(known[value])
        if new_type == NUMBER:
            values = [None if value is None else float(value) for value in values]
        return chunk.replaced(step.column, pa.array(values, new_type))

    def _mapped(self, chunk: Chunk, index: int, value: Any) -> Any:
        step = self._step
        text = to_canonical_text(value)
        if text in step.mapping:
            return step.mapping[text]
        if step.others == "fail":
            shown = repr(text)[:_MAX_SHOWN]
            self.reject(chunk, index, f"the mapping lacks {shown}, which is in the column {step.column!r}")
        return value if step.others == "keep" else None
