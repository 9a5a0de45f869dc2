"""Checks of Gaussian processes, of which NumPy multiplies the kernel by stored arrays."""

from typing import Final

import numpy as np
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from sklearn.gaussian_process._gpc import _BinaryGaussianProcessClassifierLaplace
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

_SINGLE: Final = {
    kernels.ConstantKernel: "constant_value",
    kernels.WhiteKernel: "noise_level",
    kernels.DotProduct: "sigma_0",
    kernels.RBF: "length_scale",
    kernels.Matern: "length_scale nu",
    kernels.RationalQuadratic: "length_scale alpha",
    kernels.ExpSineSquared: "length_scale periodicity",
}
_PAIRS: Final = (kernels.Sum, kernels.Product)
KERNELS: Final = (*_SINGLE, *_PAIRS)


def _check_kernel(part: Part) -> None:
    for name in _SINGLE[type(part.value)].split():
        if isinstance(part.get(name), np.ndarray) and part.get(name).ndim:
            part.array(name, (None,))
        elif part.get(name) != np.inf:  # infinite for a Matérn kernel of the greatest smoothness
            part.number(name)


def _check_pair(part: Part) -> None:
    for name in ("k1", "k2"):
        part.object(name, KERNELS)


def _check_regressor(part: Part) -> None:
    columns = part.columns()
    part.object("kernel_", KERNELS)
    rows = part.array("X_train_", (None, columns))
    values = part.get("alpha_")
    shape = (len(rows),) if getattr(values, "ndim", 1) == 1 else (len(rows), None)
    outputs = part.array("alpha_", shape).size // max(len(rows), 1)
    for name in ("_y_train_mean", "_y_train_std"):
        if np.ndim(part.get(name)):
            part.array(name, (outputs,))
        else:
            part.number(name)


def _check_classifier(part: Part) -> None:
    part.columns()
    part.ensure(part.count("n_classes_") == part.classes(), "n_classes_", "the number of its classes")
    members = (_BinaryGaussianProcessClassifierLaplace, OneVsRestClassifier, OneVsOneClassifier)
    part.object("base_estimator_", members)


def _check_binary(part: Part) -> None:
    part.ensure(part.classes() == 2, "classes_", "two classes")
    part.object("kernel_", KERNELS)
    rows = part.array("X_train_", (None, None))
    for name, kinds in (("y_train_", "fiu"), ("pi_", "f"), ("W_sr_", "f")):
        part.array(name, (len(rows),), kinds)
    part.array("L_", (len(rows), len(rows)))


TRUSTED: Final = (
    *(
        TrustedType(kind, names, _check_kernel, " ".join(f"{name}_bounds" for name in names.split()))
        for kind, names in _SINGLE.items()
    ),
    *(TrustedType(kind, "k1 k2", _check_pair) for kind in _PAIRS),
    TrustedType(
        GaussianProcessRegressor,
        "n_features_in_ kernel_ X_train_ alpha_ _y_train_mean _y_train_std",
        _check_regressor,
        "y_train_ L_",
        "optimizer",
    ),
    TrustedType(
        GaussianProcessClassifier,
        "n_features_in_ classes_ n_classes_ base_estimator_",
        _check_classifier,
        "",
        "optimizer",
    ),
    TrustedType(
        _BinaryGaussianProcessClassifierLaplace,
        "kernel_ X_train_ y_train_ pi_ W_sr_ L_ classes_",
        _check_binary,
        "",
        "optimizer",
    ),
)
