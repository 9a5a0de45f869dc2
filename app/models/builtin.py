"""The built-in model, so that the first prediction works without any set-up."""

from typing import Final

from app.models.versions import InputColumn, ModelVersion

SENTIMENT: Final = ModelVersion(
    name="sentiment", version=1, runtime="vader", columns=(InputColumn("text", "text"),)
)

DESCRIPTION: Final = "VADER: a lexicon and rules for the sentiment of short English texts."

NAMES: Final = frozenset({SENTIMENT.name})
"""Reserved names of models."""


def find(reference: str) -> ModelVersion | None:
    """The built-in version that `name` or `name@version` refers to; None for any other reference."""
    return SENTIMENT if reference in (SENTIMENT.name, SENTIMENT.reference) else None
