"""The SQL for the name and the version of the model that a job uses or makes. Text only."""

from typing import Final

# The params of a prediction hold a reference to the model, those of a training its name.
MODEL_NAME: Final = "coalesce(j.params #>> '{model,name}', j.params ->> 'model')"
"""Of the row `j` of `jobs`; null if its kind has no model."""

MODEL_REFERENCE: Final = "(j.params #>> '{model,name}') || '@' || (j.params #>> '{model,version}')"
"""`name@version` of the row `j` of `jobs`; null if it uses no version of a model."""
