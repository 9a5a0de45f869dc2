"""Checks of nearest-neighbour models. Their search trees are compiled objects, so they are rebuilt."""

from typing import Any, Final

import numpy as np
from scipy import sparse
from sklearn.impute import KNNImputer, MissingIndicator
from sklearn.neighbors import (
    BallTree,
    KDTree,
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestCentroid,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)

from worker.runtimes.sklearn.inspection.part import FLOATS, MAX_COUNT, Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

METRICS: Final = (
    *("euclidean", "sqeuclidean", "l2", "manhattan", "cityblock", "l1", "chebyshev", "cosine", "minkowski"),
)

TREES: Final[dict[str, Any]] = {"kd_tree": KDTree, "ball_tree": BallTree}
TREE_METRICS: Final = ("euclidean", "l2", "manhattan", "cityblock", "l1", "chebyshev", "minkowski")


def _check_rows(part: Part) -> int:
    """Check the training rows, which compiled code accesses by index. Returns how many there are."""
    columns = part.columns()
    method = part.choice("_fit_method", ("brute", *TREES))
    for name in ("metric", "effective_metric_"):
        part.choice(name, METRICS)
    if part.has("weights"):
        part.choice("weights", ("uniform", "distance"))
    if part.get("metric_params"):
        part.fail("metric_params", "None")
    keywords = part.get("effective_metric_params_")
    has_only_p = type(keywords) is dict and keywords.keys() <= {"p", "w"} and keywords.get("w") is None
    part.ensure(has_only_p, "effective_metric_params_", "a dictionary with p only")
    for power in (part.get("p"), keywords.get("p", 2)):
        is_power = type(power) in (int, float) and 0 < power < 1000
        part.ensure(is_power, "p", "a number from 0 to 1000")
    rows = part.get("_fit_X")
    if sparse.issparse(rows):
        part.ensure(
            rows.format == "csr" and rows.shape[1] == columns, "_fit_X", "a csr matrix for its columns"
        )
        part.ensure(
            rows.dtype in FLOATS and rows.indices.dtype == np.int32, "_fit_X", "a csr matrix of floats"
        )
    else:
        part.array("_fit_X", (None, columns), "fiu", contiguous=True)
    count = int(rows.shape[0])
    part.ensure(part.count("n_samples_fit_") == count, "n_samples_fit_", "the number of its rows")
    if type(part.value) in _BY_RADIUS:
        part.ensure(part.number("radius") >= 0, "radius", "a number of 0 or more")
    else:
        part.count("n_neighbors", 1, count if part.name.startswith("KNeighbors") else MAX_COUNT)
    part.value._tree = None
    if method != "brute":
        _build_tree(part, method)
    return count


def _build_tree(part: Part, method: str) -> None:
    """Rebuild the search tree that scikit-learn built, from the same rows and options."""
    part.choice("effective_metric_", TREE_METRICS)
    rows = part.get("_fit_X")
    is_dense = isinstance(rows, np.ndarray) and len(rows) >= 1 and bool(np.isfinite(rows).all())
    part.ensure(is_dense, "_fit_X", "an array of finite numbers")
    keywords = part.get("effective_metric_params_")
    part.ensure(keywords.get("p", 2) >= 1, "p", "at least 1 for a search tree")
    size = part.count("leaf_size")
    part.value._tree = TREES[method](rows, size, metric=part.get("effective_metric_"), **keywords)


def _check_novelty(part: Part) -> None:
    """It compares the neighbours of a row with theirs, in arrays with one value per training row."""
    rows = _check_rows(part)
    part.ensure(part.flag("novelty"), "novelty", "true; without it the model scores only its training rows")
    neighbours = part.count("n_neighbors_", 1, rows)
    part.array("_lrd", (rows,))
    distances = part.array("_distances_fit_X_", (rows, None))
    part.ensure(
        distances.shape[1] >= neighbours, "_distances_fit_X_", "an array with a column for each neighbour"
    )
    part.number("offset_")


def _check_imputer(part: Part) -> None:
    columns = part.columns()
    rows = part.array("_fit_X", (None, columns))
    part.array("_mask_fit_X", rows.shape, "b")
    part.array("_valid_mask", (columns,), "b")
    part.count("n_neighbors")
    part.choice("weights", ("uniform", "distance"))
    part.choice("metric", ("nan_euclidean",))
    if part.has("indicator_"):
        indicator = part.object("indicator_", (MissingIndicator,))
        part.ensure(
            indicator.has("features_") and indicator.columns() == columns,
            "indicator_",
            "fitted on the same columns",
        )


def _check_classifier(part: Part) -> None:
    rows, classes = _check_rows(part), part.classes()
    part.ensure(part.flag("outputs_2d_") is False, "outputs_2d_", "false")
    labels = part.array("_y", (rows,), "i", dtype=np.intp, contiguous=True)
    is_class = int(labels.min()) >= 0 and int(labels.max()) < classes
    part.ensure(is_class, "_y", "indices of its classes")


def _check_radius_classifier(part: Part) -> None:
    """Check also the label for rows without neighbours, which compiled code searches among the classes."""
    _check_classifier(part)
    label = part.get("outlier_label")
    part.plain_values([label], "outlier_label")
    if part.has("outlier_label_"):
        (label,) = part.sequence("outlier_label_", 1)
        part.plain_values([label.item() if isinstance(label, np.generic) else label], "outlier_label_")
    else:
        part.ensure(label is None, "outlier_label", "None")
        part.value.outlier_label_ = None


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


_BY_RADIUS: Final = (RadiusNeighborsClassifier, RadiusNeighborsRegressor)

_FITTED: Final = "n_features_in_ _fit_X _fit_method n_samples_fit_ effective_metric_ effective_metric_params_"

TRUSTED: Final = (
    TrustedType(KNeighborsClassifier, f"{_FITTED} _y classes_ outputs_2d_", _check_classifier),
    TrustedType(KNeighborsRegressor, f"{_FITTED} _y", _check_regressor),
    TrustedType(
        RadiusNeighborsClassifier,
        f"{_FITTED} _y classes_ outputs_2d_",
        _check_radius_classifier,
        "outlier_label_",
    ),
    TrustedType(RadiusNeighborsRegressor, f"{_FITTED} _y", _check_regressor),
    TrustedType(
        LocalOutlierFactor,
        f"{_FITTED} n_neighbors_ _lrd _distances_fit_X_ offset_",
        _check_novelty,
        "negative_outlier_factor_",
    ),
    TrustedType(KNNImputer, "n_features_in_ _fit_X _mask_fit_X _valid_mask", _check_imputer, "indicator_"),
    TrustedType(
        NearestCentroid,
        "n_features_in_ classes_ centroids_",
        _check_centroids,
        "class_prior_ within_class_std_dev_ deviations_",
    ),
)
