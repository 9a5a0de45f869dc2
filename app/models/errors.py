"""Errors of models and of uploaded model files."""

from app.core.errors import AppError, Conflict, NotFound, TooLarge, Unprocessable


class ModelNotFound(NotFound):
    """There is no model {model!r}. `GET /models` lists those that you can use."""

    code = "model_not_found"
    title = "Model not found"


class NotYourModel(ModelNotFound):
    """You have no model {model!r}. To use another user's public model, name its owner: {public}."""


class AliasNotFound(NotFound):
    """The model {model!r} has no alias {alias!r}. Its aliases are listed with the model."""

    code = "alias_not_found"
    title = "Alias not found"


class ArtifactNotFound(NotFound):
    """The model {model!r} is built in and has no file to download."""

    code = "artifact_not_found"
    title = "Artifact not found"


class NameReserved(Conflict):
    """The model {model!r} is built in and cannot be changed. Choose another name."""

    code = "name_reserved"
    title = "Name reserved"


class ModelInUse(Conflict):
    """The model {model!r} is in use by {jobs} unfinished jobs. Cancel them, or wait until they end."""

    code = "model_in_use"
    title = "Model in use"


class ModelTooLarge(TooLarge):
    """The model file exceeds the limit of {limit} bytes."""

    code = "model_too_large"
    title = "Model too large"


class UnsafeModel(Unprocessable):
    """The model file was rejected. {reason}"""

    code = "unsafe_model"
    title = "Unsafe model"


class BrokenModel(Unprocessable):
    """The model file was rejected. {reason}"""

    code = "broken_model"
    title = "Broken model"


class NotForMlflow(Unprocessable):
    """The version {model!r} cannot be exported as an MLflow model. {reason}"""

    code = "not_for_mlflow"
    title = "Not for MLflow"


class ClassesNotTaken(Unprocessable):
    """A skops file already names its classes. Leave out `classes`, which is for ONNX models only."""

    code = "classes_not_taken"
    title = "Classes not accepted"


class InspectionPending(AppError):
    """The model is still being inspected. If it passes, it is available once job {job_id} has completed."""

    status = 504
    code = "inspection_pending"
    title = "Inspection pending"


class InspectionCancelled(Conflict):
    """Job {job_id}, which inspected the model, was cancelled. Upload the model again."""

    code = "inspection_cancelled"
    title = "Inspection cancelled"


class InspectionFailed(AppError):
    """The model could not be inspected: {reason} Upload it again."""

    status = 503
    code = "inspection_failed"
    title = "Inspection failed"
    retry_after = 5
