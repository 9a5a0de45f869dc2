"""Non-negative factors. scikit-learn looks for those of a row by iterating, and stops by the whole batch."""

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
    """Gives each row the factors that it has alone: in a batch they depend on the rows beside it."""

    def transform(self, X: Any) -> npt.NDArray[Any]:  # scikit-learn's name
        """The factors of each row."""
        rows = X.tocsr() if sparse.issparse(X) else np.asarray(X)
        if rows.shape[0] < 2:
            return np.asarray(super().transform(rows))
        alone = super().transform
        return np.vstack([alone(rows[place : place + 1]) for place in range(rows.shape[0])])


def _check_factors(part: Part) -> None:
    """Compiled code takes as many factors as there are components, of the same type as the rows."""
    columns = part.columns()
    components = part.array("components_", (None, columns))
    count = len(components)
    is_sound = count >= 1 and np.isfinite(components).all() and (components >= 0).all()
    part.ensure(is_sound and components.dtype in FLOATS, "components_", "numbers of 0 and more")
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
    # Of a row alone nothing but chance would depend on the order, or be printed for nobody.
    part.value.shuffle, part.value.verbose, part.value.random_state = False, 0, None
    part.value.__class__ = RowByRow


TRUSTED: Final = (TrustedType(NMF, "n_features_in_ components_ n_components_", _check_factors, "", "init"),)
