"""Check of non-negative matrix factorisation, and a version of it whose result does not depend on the batch.

scikit-learn computes the factors of new rows iteratively, and stops by a criterion over the whole batch.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.decomposition import NMF

from worker.runtimes.sklearn.inspection.part import FLOATS, Part
from worker.runtimes.sklearn.inspection.trusted_type import TrustedType

MAX_ITERATIONS: Final = 10_000
_DIVERGENCES: Final = ("frobenius", "kullback-leibler", "itakura-saito")


class RowByRow(NMF):  # type: ignore[misc]  # scikit-learn has no types
    """Transforms each row separately, so that its factors do not depend on the other rows of its batch."""

    def transform(self, X: Any) -> npt.NDArray[Any]:  # the name in scikit-learn
        """Return the factors of each row, of shape (rows, components)."""
        rows = X.tocsr() if sparse.issparse(X) else np.asarray(X)
        if rows.shape[0] < 2:
            return np.asarray(super().transform(rows))
        transform = super().transform
        return np.vstack([transform(rows[index : index + 1]) for index in range(rows.shape[0])])


def _check_factors(part: Part) -> None:
    """Compiled code requires as many factors as components, and components of the same type as the rows."""
    columns = part.columns()
    components = part.array("components_", (None, columns))
    count = len(components)
    is_valid = count >= 1 and np.isfinite(components).all() and (components >= 0).all()
    part.ensure(is_valid and components.dtype in FLOATS, "components_", "finite numbers of 0 or more")
    part.value.components_ = np.ascontiguousarray(components, dtype=np.float64)
    part.ensure(part.count("n_components_") == count, "n_components_", "the number of its components")
    part.value.n_components = count
    part.choice("solver", ("cd", "mu"))
    if type(part.get("beta_loss")) is str:
        part.choice("beta_loss", _DIVERGENCES)
    else:
        part.number("beta_loss")
    part.count("max_iter", 1, MAX_ITERATIONS)
    for name in ("tol", "alpha_W", "l1_ratio"):
        part.ensure(part.number(name) >= 0, name, "a number of 0 or more")
    if part.get("alpha_H") != "same":
        part.number("alpha_H")
    # For single rows, shuffling would only add randomness, and no one reads what is printed.
    part.value.shuffle, part.value.verbose, part.value.random_state = False, 0, None
    part.value.__class__ = RowByRow


TRUSTED: Final = (TrustedType(NMF, "n_features_in_ components_ n_components_", _check_factors, "", "init"),)
