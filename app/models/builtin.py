"""The model that is there from the start, so that the first call works."""

from dataclasses import dataclass
from typing import Final

from app.models.errors import ModelNotFound


@dataclass(frozen=True)
class ModelVersion:
    """One version of a model, and the runtime that loads it."""

    name: str
    version: int
    runtime: str

    @property
    def reference(self) -> str:
        """The version as a user writes it."""
        return f"{self.name}@{self.version}"


SENTIMENT: Final = ModelVersion(name="sentiment", version=1, runtime="vader")


def resolve(reference: str) -> ModelVersion:
    """The version that `name` or `name@version` means; raises ModelNotFound."""
    if reference in (SENTIMENT.name, SENTIMENT.reference):
        return SENTIMENT
    raise ModelNotFound(model=reference)
