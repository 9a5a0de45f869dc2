"""What a runtime is: how the models of one framework are loaded and run."""

from collections.abc import Sequence
from typing import Any, Protocol

from app.jobs.params import ModelReference


class Model(Protocol):
    """A loaded model."""

    def predict(self, rows: Sequence[Any]) -> list[Any]:
        """One prediction, a JSON value, for each row and in the same order.

        Raises BadInput for a row that it cannot be asked about.
        """
        ...


class Runtime(Protocol):
    """Loads models."""

    def load(self, reference: ModelReference) -> Model:
        """Load exactly this version of a model."""
        ...
