"""Nearest neighbours by brute force. Search trees are compiled objects that nothing can look into."""

from typing import Final

import numpy as np
from scipy import sparse
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid

from worker.runtimes.inspection.part import FLOATS, Part
from worker.runtimes.inspection.trusted_type import TrustedType
from worker.runtimes.runtime import UnsafeModel

METRICS: Final = (
    *("euclidean", "sqeuclidean", "l2", "manhattan", "cityblock", "l1", "chebyshev", "cosine", "minkowski"),
)


def _check_rows(part: Part) -> int:
    """Compiled code takes the nearest rows by their places: there are as many rows as it asks for."""
    columns = part.columns()
    if part.get("_fit_method") != "brute" or part.has("_tree"):
        raise UnsafeModel([part.name], f"a {part.name} is loaded with algorithm='brute' only")
    for name in ("metric", "effective_metric_"):
        part.choice(name, METRICS)
    part.choice("weights", ("uniform", "distance"))
    if part.get("metric_params"):
        part.fail("metric_params", "None")
    keywords = part.get("effective_metric_params_")
    part.ensure(type(keywords) is dict and keywords.keys() <= {"p"}, "effective_metric_params_", "p at most")
    for power in (part.get("p"), keywords.get("p", 2)):
        is_power = type(power) in (int, float) and 0 < power < 1000
        part.ensure(is_power, "p", "a number from 0 to 1000")
    rows = part.get("_fit_X")
    if sparse.issparse(rows):
        part.ensure(rows.format == "csr" and rows.shape[1] == columns, "_fit_X", "csr, for its columns")
        part.ensure(rows.dtype in FLOATS and rows.indices.dtype == np.int32, "_fit_X", "floats")
    else:
        part.array("_fit_X", (None, columns), "fiu", contiguous=True)
    count = int(rows.shape[0])
    part.ensure(part.count("n_samples_fit_") == count, "n_samples_fit_", "the number of its rows")
    part.count("n_neighbors", 1, count)
    return count


def _check_classifier(part: Part) -> None:
    rows, classes = _check_rows(part), part.classes()
    part.ensure(part.flag("outputs_2d_") is False, "outputs_2d_", "false")
    labels = part.array("_y", (rows,), "i", dtype=np.intp, contiguous=True)
    is_class = int(labels.min()) >= 0 and int(labels.max()) < classes
    part.ensure(is_class, "_y", "places of its classes")


def _check_regressor(part: Part) -> None:
    rows, values = _check_rows(part), part.get("_y")
    part.array("_y", (rows,) if getattr(values, "ndim", 1) == 1 else (rows, None), "fiu")


def _check_centroids(part: Part) -> None:
    columns, classes = part.columns(), part.classes()
    part.choice("metric", ("euclidean", "manhattan"))
    part.array("centroids_", (classes, columns), contiguous=True)
    for name, shape in (
        ("class_prior_", (classes,)),
        ("within_class_std_dev_", (columns,)),
        ("deviations_", (classes, columns)),
    ):
        if part.has(name):
            part.array(name, shape)


_FITTED: Final = (
    "n_features_in_ _fit_X _fit_method n_samples_fit_ effective_metric_ effective_metric_params_ _y"
)

TRUSTED: Final = (
    TrustedType(KNeighborsClassifier, f"{_FITTED} classes_ outputs_2d_", _check_classifier, "_tree"),
    TrustedType(KNeighborsRegressor, _FITTED, _check_regressor, "_tree"),
    TrustedType(
        NearestCentroid,
        "n_features_in_ classes_ centroids_",
        _check_centroids,
        "class_prior_ within_class_std_dev_ deviations_",
    ),
)
