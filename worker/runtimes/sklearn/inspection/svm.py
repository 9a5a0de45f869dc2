"""Checks of support vector machines. libsvm takes all lengths from the support vectors, unchecked."""

from typing import Any, Final

import numpy as np
from scipy import sparse
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

KERNELS: Final = ("linear", "poly", "rbf", "sigmoid")
MAX_DEGREE: Final = 1000


def _check_classifier(part: Part) -> None:
    classes = part.classes()
    counts = _check_machine(part, classes)
    is_consistent = int(counts.min()) >= 0 and int(counts.sum(dtype=np.int64)) == _vectors(part)
    part.ensure(is_consistent, "_n_support", "the number of support vectors of each class")


def _check_regressor(part: Part) -> None:
    counts = _check_machine(part, 2)
    part.ensure(int(counts[0]) == _vectors(part), "_n_support", "the number of its support vectors")


def _check_one_class(part: Part) -> None:
    _check_regressor(part)
    part.array("offset_", (1,))


def _check_machine(part: Part, classes: int) -> np.ndarray:
    """For k classes, each vector has k - 1 coefficients and each pair of classes an intercept."""
    columns = part.columns()
    pairs = classes * (classes - 1) // 2
    part.ensure(classes >= 2, "classes_", "at least two classes")
    part.choice("kernel", KERNELS)
    part.count("degree", 0, MAX_DEGREE)
    for name in ("_gamma", "coef0", "cache_size", "tol", "C", "nu", "epsilon"):
        if part.has(name):
            part.number(name)
    vectors = part.get("support_vectors_")
    if part.flag("_sparse"):
        part.ensure(_is_csr(vectors, (None, columns)), "support_vectors_", "a csr matrix for its columns")
        count = vectors.shape[0]
        coefficients = part.get("_dual_coef_")
        is_full = _is_csr(coefficients, (classes - 1, count)) and coefficients.nnz == (classes - 1) * count
        part.ensure(is_full, "_dual_coef_", f"a full csr matrix of shape {classes - 1} × {count}")
        part.flag("shrinking")
        if part.has("class_weight_"):
            weights = part.array("class_weight_", (None,), dtype=np.float64, contiguous=True)
            part.ensure(
                len(weights) in (0, classes), "class_weight_", "an array with one weight for each class"
            )
    else:
        vectors = part.array("support_vectors_", (None, columns), dtype=np.float64, contiguous=True)
        count = len(vectors)
        part.array("support_", (count,), "i", dtype=np.int32, contiguous=True)
        part.array("_dual_coef_", (classes - 1, count), dtype=np.float64, contiguous=True)
    part.ensure(count >= 1, "support_vectors_", "at least one vector")
    part.array("_intercept_", (pairs,), dtype=np.float64, contiguous=True)
    prob_a = part.array("_probA", (None,), dtype=np.float64, contiguous=True)
    part.array("_probB", prob_a.shape, dtype=np.float64, contiguous=True)
    part.ensure(len(prob_a) in (0, pairs), "_probA", "an array with one number for each pair of classes")
    if "_effective_probability" in vars(part.value):
        has_probability = part.flag("_effective_probability")
        part.ensure(
            not has_probability or len(prob_a) == pairs, "_probA", "present, because it has probabilities"
        )
    return part.array("_n_support", (classes,), "i", dtype=np.int32, contiguous=True)


def _vectors(part: Part) -> int:
    return int(part.get("support_vectors_").shape[0])


def _is_csr(matrix: Any, shape: tuple[int | None, int]) -> bool:
    return bool(
        type(matrix) in (sparse.csr_matrix, sparse.csr_array)
        and matrix.dtype == np.float64
        and matrix.indices.dtype == matrix.indptr.dtype == np.int32
        and shape[0] in (None, matrix.shape[0])
        and shape[1] == matrix.shape[1]
    )


_FITTED: Final = (
    "n_features_in_ _sparse _gamma support_ support_vectors_ _n_support _dual_coef_ _intercept_ _probA _probB"
    " shape_fit_ fit_status_"
)
_KEPT: Final = "dual_coef_ intercept_ class_weight_ _effective_probability probability nu epsilon C"

TRUSTED: Final = (
    TrustedType(SVC, f"{_FITTED} classes_", _check_classifier, _KEPT),
    TrustedType(NuSVC, f"{_FITTED} classes_", _check_classifier, _KEPT),
    TrustedType(SVR, _FITTED, _check_regressor, _KEPT),
    TrustedType(NuSVR, _FITTED, _check_regressor, _KEPT),
    TrustedType(OneClassSVM, f"{_FITTED} offset_", _check_one_class, _KEPT),
)
