"""Writes a scikit-learn model as ONNX with skl2onnx.

A model of numbers has one input, a vector; any other has an input for each column. Numbers have 32 bits,
because ONNX Runtime has several of the operators for these only.
"""

import json
import warnings
from typing import Any, Final

import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import is_classifier

from app.models.versions import InputColumn
from worker.conversions import parts
from worker.conversions.errors import NotConvertible
from worker.runtimes.onnx.inputs import FEATURE_NAMES
from worker.runtimes.onnx.outputs import CLASSES

INPUT: Final = "input"
MAX_REASON_CHARACTERS: Final = 300


def convert(
    estimator: Any, columns: tuple[InputColumn, ...], classes: tuple[str, ...] | None = None
) -> bytes:
    """Return the ONNX file of a fitted estimator with these columns, and of a classifier with these classes.

    Raises NotConvertible.
    """
    are_numbers = all(column.type == "number" for column in columns)
    if are_numbers:
        types = [(INPUT, FloatTensorType([None, len(columns)]))]
    else:
        types = [
            (column.name, (FloatTensorType if column.type == "number" else StringTensorType)([None, 1]))
            for column in columns
        ]
    options = {"zipmap": False} if is_classifier(estimator) else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about operators that newer opsets replace
            model = convert_sklearn(parts.prepare(estimator), "model", types, options=options)
    except (MemoryError, NotConvertible):
        raise
    except Exception as error:  # skl2onnx raises RuntimeError, NotImplementedError and many others
        raise NotConvertible(_reason(error)) from error
    properties = {} if classes is None else {CLASSES: classes}
    if are_numbers:
        properties[FEATURE_NAMES] = tuple(column.name for column in columns)
    onnx.helper.set_model_props(
        model, {name: json.dumps(texts, ensure_ascii=False) for name, texts in properties.items()}
    )
    content: bytes = model.SerializeToString()
    return content


def _reason(error: Exception) -> str:
    """The first line of an error, which names the part that is not supported."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in line).split())
    return line if len(line) <= MAX_REASON_CHARACTERS else f"{line[:MAX_REASON_CHARACTERS]}…"
