"""The model that is there from the start, so that the first call works."""

from typing import Final

from app.models.errors import ModelNotFound
from app.models.versions import ModelVersion

SENTIMENT: Final = ModelVersion(name="sentiment", version=1, runtime="vader")


def resolve(reference: str) -> ModelVersion:
    """The version that `name` or `name@version` means; raises ModelNotFound."""
    if reference in (SENTIMENT.name, SENTIMENT.reference):
        return SENTIMENT
    raise ModelNotFound(model=reference)
