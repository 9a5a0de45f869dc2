"""A class that is trusted, with the attributes that are constructed and the check that they go through."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from sklearn.base import BaseEstimator

from worker.runtimes.sklearn.inspection.part import Part


def accept(part: Part) -> None:
    """The check of a class whose attributes are never followed by compiled code."""


@dataclass(frozen=True)
class TrustedType:
    """One class.

    Of an object only the parameters of its class, what is `fitted` and what is `kept` are constructed.
    Parameters that only training needs, such as a score function or a splitter, are `passed_over`: None. An
    object that has none of the fitted attributes predicts nothing: scikit-learn asks for them. If it has one,
    it must have all. Then `check` looks at them, and raises BrokenModel or UnsafeModel.
    """

    type: type
    fitted: str = ""
    check: Callable[[Part], None] = accept
    kept: str = ""
    passed_over: str = ""

    @property
    def name(self) -> str:
        """The name that a file uses."""
        return f"{self.type.__module__}.{self.type.__qualname__}"

    @cached_property
    def required(self) -> tuple[str, ...]:
        """What a fitted object must have."""
        return tuple(self.fitted.split())

    @cached_property
    def emptied(self) -> tuple[str, ...]:
        """The parameters that are None, whatever a file says."""
        return tuple(self.passed_over.split())

    @cached_property
    def attributes(self) -> frozenset[str]:
        """What is constructed; all else in a file is passed over."""
        names = {*self.required, *self.kept.split()}
        if issubclass(self.type, BaseEstimator):
            params: list[str] = self.type._get_param_names()  # type: ignore[attr-defined]  # no types
            names |= {*params, "n_features_in_", "feature_names_in_"}
        return frozenset(names - set(self.emptied))
