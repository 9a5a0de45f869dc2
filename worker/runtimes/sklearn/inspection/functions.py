"""The functions, data types and losses that a file may name. The loader never imports them by name."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from scipy import special
from sklearn import metrics
from sklearn._loss import _loss
from sklearn.linear_model import _sgd_fast
from sklearn.utils.validation import check_array

_NUMBERS: Final = (
    *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.float16, np.float32, np.float64, np.bool_),
)

NUMBER_TYPES: Final[dict[str, type]] = {
    **{f"numpy.{number.__name__}": number for number in _NUMBERS},
    "numpy.bool_": np.bool_,
    "numpy.str_": np.str_,
}
"""NumPy's scalar types."""

DATA_TYPES: Final[dict[str, type]] = {
    **NUMBER_TYPES,
    **{f"builtins.{kind.__name__}": kind for kind in (bool, int, float, str, object)},
}
"""The types that a parameter `dtype` and the keys of a dictionary may have."""

CHECK_ARRAY: Final = "sklearn.utils.validation.check_array"

METRICS: Final[dict[str, Callable[..., Any]]] = {
    f"{metric.__module__}.{metric.__name__}": metric
    for metric in (
        *(metrics.accuracy_score, metrics.balanced_accuracy_score, metrics.f1_score, metrics.fbeta_score),
        *(metrics.precision_score, metrics.recall_score, metrics.jaccard_score, metrics.matthews_corrcoef),
        metrics.cohen_kappa_score,
    )
}
"""Metrics of tuned thresholds. They determine the positive class and are never called."""


def _elementwise() -> dict[str, Callable[..., Any]]:
    """Return the ufuncs of NumPy and SciPy with one input and one output, by all their names."""
    functions: dict[str, Callable[..., Any]] = {}
    for module, module_names in (
        (np, ("numpy", "numpy._core._multiarray_umath", "numpy.core._multiarray_umath")),
        (special, ("scipy.special", "scipy.special._ufuncs", "scipy.special._special_ufuncs")),
    ):
        for attribute in dir(module):
            function = getattr(module, attribute)
            if isinstance(function, np.ufunc) and (function.nin, function.nout) == (1, 1):
                functions |= {f"{name}.{attribute}": function for name in module_names}
    return functions


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {**_elementwise(), **METRICS, CHECK_ARRAY: check_array}

LOSSES: Final[dict[str, Callable[..., Any]]] = {
    f"{names}.{loss}": getattr(module, loss)
    for module, names, losses in (
        (
            _sgd_fast,
            "sklearn.linear_model._sgd_fast",
            ("EpsilonInsensitive", "Hinge", "ModifiedHuber", "SquaredEpsilonInsensitive", "SquaredHinge"),
        ),
        (
            _loss,
            _loss.CyHalfSquaredError.__module__,
            (
                *("CyAbsoluteError", "CyExponentialLoss", "CyHalfBinomialLoss", "CyHalfGammaLoss"),
                *("CyHalfMultinomialLoss", "CyHalfPoissonLoss", "CyHalfSquaredError", "CyHuberLoss"),
                *("CyPinballLoss", "CyHalfTweedieLoss", "CyHalfTweedieLossIdentity"),
            ),
        ),
    )
    for loss in losses
}
"""The compiled losses, whose constructors take at most one number."""
