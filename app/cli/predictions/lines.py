"""Describes a prediction in a line of text."""

import json
from typing import Any

from app.client import Row


def describe(row: Row) -> str:
    """The id or the number of a row, its prediction and, for a class, its score, separated by tabs."""
    name = str(row.index if row.id is None else row.id)
    if row.error is not None:
        return f"{name}\terror: {row.error.message}"
    return "\t".join([name, *_parts(row.prediction)])


def _parts(prediction: Any) -> list[str]:
    match prediction:
        case {"label": label, "score": int() | float() as score}:
            return [str(label), f"{score:.4f}"]
        case {"label": label}:
            return [str(label)]
        case {"value": int() | float() as value}:
            return [f"{value:.6g}"]
        case {"outputs": outputs}:
            return [json.dumps(outputs, ensure_ascii=False)]
        case _:
            return [json.dumps(prediction, ensure_ascii=False)]
