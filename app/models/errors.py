"""What can be wrong with a model that somebody names."""

from app.core.errors import NotFound


class ModelNotFound(NotFound):
    """There is no model {model!r}."""

    code = "model_not_found"
    title = "Model not found"
