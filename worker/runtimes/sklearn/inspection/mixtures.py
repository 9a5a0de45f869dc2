"""Check of Gaussian mixtures."""

from typing import Final

import numpy as np
from sklearn.mixture import GaussianMixture

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

_KINDS: Final = ("full", "tied", "diag", "spherical")


def _check_mixture(part: Part) -> None:
    """Each component has a weight, a mean and the Cholesky factor of its precision."""
    columns = part.columns()
    weights = part.array("weights_", (None,))
    count = len(weights)
    part.ensure(
        count >= 1 and np.isfinite(weights).all() and (weights >= 0).all(),
        "weights_",
        "finite numbers of 0 or more",
    )
    part.array("means_", (count, columns))
    shape = {
        "full": (count, columns, columns),
        "tied": (columns, columns),
        "diag": (count, columns),
        "spherical": (count,),
    }[part.choice("covariance_type", _KINDS)]
    for name in ("precisions_cholesky_", "covariances_", "precisions_"):
        if name == "precisions_cholesky_" or part.has(name):
            part.array(name, shape)
    part.value.n_components = count
    part.flag("converged_")


TRUSTED: Final = (
    TrustedType(
        GaussianMixture,
        "n_features_in_ weights_ means_ precisions_cholesky_ converged_",
        _check_mixture,
        "covariances_ precisions_",
        "weights_init means_init precisions_init init_params",
    ),
)
