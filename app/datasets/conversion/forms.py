"""Between the texts that are kept of cells and the values that they stand for. The API loads this too."""

from enum import StrEnum
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.canonical_text import written
from app.datasets.conversion.columns import BOOLEAN, TEXT

_TRUE: Final = pa.array(["true", "True", "TRUE", "1"])


class Form(StrEnum):
    """How the numbers of a column are written, if it is always the same way."""

    SHORT = "short"  # as `written` has them: 3, 0.5, 1e-05
    PYTHON = "python"  # 3.0, 0.5, 1e-05
    ARROW = "arrow"  # 3, 0.5, 0.00001


def texts_of(values: pa.Array | pa.ChunkedArray, form: str) -> list[str | None]:
    """The numbers of a column as they were written."""
    if form == Form.ARROW:
        return list(pc.cast(values, pa.string()).to_pylist())
    write = repr if form == Form.PYTHON else written
    return [None if value is None else write(value) for value in values.to_pylist()]


def convert(texts: pa.Array, wanted: pa.DataType) -> pa.Array:
    """The texts as values of a type that they fit. Raises ArrowInvalid."""
    if wanted == TEXT:
        return texts
    if wanted == BOOLEAN:
        return pc.if_else(pc.is_null(texts), pa.scalar(None, BOOLEAN), pc.is_in(texts, _TRUE))
    return pc.cast(texts, wanted)
