"""The model that is there from the start, so that the first call works."""

from typing import Final

from app.models.versions import InputColumn, ModelVersion

SENTIMENT: Final = ModelVersion(
    name="sentiment", version=1, runtime="vader", columns=(InputColumn("text", "text"),)
)


NAMES: Final = frozenset({SENTIMENT.name})
"""What no user may call a model."""


def find(reference: str) -> ModelVersion | None:
    """The version that `name` or `name@version` means, if it is one that is built in."""
    return SENTIMENT if reference in (SENTIMENT.name, SENTIMENT.reference) else None
