"""Checks of splines. Compiled code trusts that their lengths match, so SciPy's constructor rebuilds them."""

from typing import Final

import numpy as np
from scipy.interpolate import BSpline
from sklearn.preprocessing import SplineTransformer

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

MAX_DEGREE: Final = 100
EXTRAPOLATIONS: Final = ("error", "constant", "linear", "continue", "periodic")


def _check_spline(part: Part) -> None:
    degree, _ = part.count("k", 0, MAX_DEGREE), part.count("axis", 0, 0)
    coefficients = part.array("_c", (None, None), dtype=np.float64)
    knots = part.array("_t", (len(coefficients) + degree + 1,), dtype=np.float64)
    part.ensure(len(coefficients) >= degree + 1, "_c", "an array of more rows than its degree")
    is_rising = bool(np.isfinite(knots).all() and (np.diff(knots) >= 0).all())
    part.ensure(is_rising and knots[degree] < knots[len(coefficients)], "_t", "numbers in ascending order")
    extrapolation = part.get("extrapolate")
    if extrapolation != "periodic":
        extrapolation = part.flag("extrapolate")
    part.value.__dict__.update(BSpline(knots, coefficients, degree, extrapolation).__dict__)


def _check_transformer(part: Part) -> None:
    """All columns must have splines of one shape: each writes as many values as the first."""
    columns = part.columns()
    extrapolation = part.choice("extrapolation", EXTRAPOLATIONS)
    part.flag("include_bias")
    part.flag("sparse_output")
    part.choice("order", ("C", "F"))
    degree = part.count("degree", 0, MAX_DEGREE)
    splines = part.objects("bsplines_", (BSpline,), columns)
    shapes = {spline.get("_c").shape for spline in splines}
    part.ensure(len(shapes) == 1, "bsplines_", "of the same shape")
    for spline in splines:
        part.ensure(spline.get("k") == degree, "degree", "the degree of its splines")
    ((_, width),) = shapes
    width -= 0 if part.get("include_bias") else 1
    part.ensure(part.count("n_features_out_", 0) == width * columns, "n_features_out_", str(width * columns))
    if extrapolation == "periodic":
        return
    part.ensure(len(splines[0].get("_c")) == splines[0].get("_c").shape[1], "bsplines_", "a full basis")


TRUSTED: Final = (
    TrustedType(BSpline, "_t _c k extrapolate axis", _check_spline),
    TrustedType(SplineTransformer, "n_features_in_ bsplines_ n_features_out_", _check_transformer),
)
