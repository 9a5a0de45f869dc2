"""Round figures and thin curves, so that a report stays small."""

from typing import Any

import numpy as np
import numpy.typing as npt

from app.models.reports.report import MAX_POINTS

DIGITS = 6


def figure(value: Any) -> float:
    """Return a number rounded to six significant digits."""
    return float(f"{float(value):.{DIGITS}g}")


def figures(values: npt.ArrayLike) -> tuple[float, ...]:
    """Return numbers rounded to six significant digits."""
    return tuple(map(figure, np.asarray(values).tolist()))


def thinned(length: int, limit: int = MAX_POINTS) -> npt.NDArray[np.intp]:
    """Return the indices of at most `limit` of the points of a curve, evenly spaced, with both ends."""
    return np.unique(np.linspace(0, length - 1, min(length, limit)).round().astype(np.intp))
