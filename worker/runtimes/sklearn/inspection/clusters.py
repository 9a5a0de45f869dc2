"""Checks of k-means clusterers."""

from typing import Final

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans

from worker.runtimes.sklearn.inspection.part import Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType


def _check_centres(part: Part) -> None:
    """Compiled code requires centres of the same type as the rows, which are float64."""
    columns = part.columns()
    centres = part.array("cluster_centers_", (None, columns))
    part.ensure(len(centres) >= 1, "cluster_centers_", "at least one centre")
    part.ensure(np.isfinite(centres).all(), "cluster_centers_", "finite numbers")
    part.value.cluster_centers_ = np.ascontiguousarray(centres, dtype=np.float64)
    part.value.n_clusters = len(centres)
    # One thread, because a slot is one core.
    part.value._n_threads = 1


_FITTED: Final = "n_features_in_ cluster_centers_"

TRUSTED: Final = (
    TrustedType(KMeans, _FITTED, _check_centres, "_n_threads", "init"),
    TrustedType(MiniBatchKMeans, _FITTED, _check_centres, "_n_threads", "init"),
)
