"""Converts between stored values and the text of cells, in the notation of the upload.

The API imports this module too.
"""

from enum import StrEnum
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.canonical_text import to_canonical_text
from app.datasets.conversion.columns import BOOLEAN, TEXT

_TRUE: Final = pa.array(["true", "True", "TRUE", "1"])


class Notation(StrEnum):
    """How all numbers of a column are written."""

    SHORT = "short"  # as by `to_canonical_text`: 3, 0.5, 1e-05
    PYTHON = "python"  # 3.0, 0.5, 1e-05
    ARROW = "arrow"  # 3, 0.5, 0.00001


def texts_of(values: pa.Array | pa.ChunkedArray, notation: str) -> list[str | None]:
    """Write the numbers of a column as text in their original notation."""
    if notation == Notation.ARROW:
        return list(pc.cast(values, pa.string()).to_pylist())
    write = repr if notation == Notation.PYTHON else to_canonical_text
    return [None if value is None else write(value) for value in values.to_pylist()]


def convert(texts: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Parse texts as values of a type. Raises ArrowInvalid."""
    if wanted == TEXT:
        return texts
    if wanted == BOOLEAN:
        return pc.if_else(pc.is_null(texts), pa.scalar(None, BOOLEAN), pc.is_in(texts, _TRUE))
    return pc.cast(texts, wanted)
