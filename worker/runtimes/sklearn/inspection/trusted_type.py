"""A trusted class: the attributes that the loader constructs, and the check of an instance."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from sklearn.base import BaseEstimator

from worker.runtimes.sklearn.inspection.part import Part


def accept(part: Part) -> None:
    """Accept any instance, for classes whose attributes compiled code never uses."""


@dataclass(frozen=True)
class TrustedType:
    """A trusted class. `fitted`, `kept` and `cleared` are attribute names, separated by spaces.

    The loader constructs only the constructor parameters of the class and the attributes `fitted` and
    `kept`. Parameters that only training needs, like a score function, are `cleared`: set to None. An
    instance has either all `fitted` attributes or none; without them scikit-learn itself refuses to
    predict. `check` validates an instance that has them, and raises BrokenModel or UnsafeModel.
    """

    type: type
    fitted: str = ""
    check: Callable[[Part], None] = accept
    kept: str = ""
    cleared: str = ""

    @property
    def name(self) -> str:
        """The name that skops files use."""
        return f"{self.type.__module__}.{self.type.__qualname__}"

    @cached_property
    def required(self) -> tuple[str, ...]:
        """The attributes that a fitted instance must have."""
        return tuple(self.fitted.split())

    @cached_property
    def cleared_names(self) -> tuple[str, ...]:
        """The parameters that are set to None, regardless of the file."""
        return tuple(self.cleared.split())

    @cached_property
    def attributes(self) -> frozenset[str]:
        """The attributes that are constructed; the loader ignores all others."""
        names = {*self.required, *self.kept.split()}
        if issubclass(self.type, BaseEstimator):
            params: list[str] = self.type._get_param_names()  # type: ignore[attr-defined]  # no types
            names |= {*params, "n_features_in_", "feature_names_in_"}
        return frozenset(names - set(self.cleared_names))
