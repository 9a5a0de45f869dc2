"""What can be wrong with a model that somebody names, or with what somebody brings as one."""

from app.core.errors import AppError, Conflict, NotFound, TooLarge, Unprocessable


class ModelNotFound(NotFound):
    """There is no model {model!r}."""

    code = "model_not_found"
    title = "Model not found"


class NotYourModel(ModelNotFound):
    """You have no model {model!r}. To use another user's public model, name its owner: {public}."""


class AliasNotFound(NotFound):
    """The model {model!r} has no alias {alias!r}."""

    code = "alias_not_found"
    title = "Alias not found"


class ArtifactNotFound(NotFound):
    """The model {model!r} is built in; it has no file."""

    code = "artifact_not_found"
    title = "Artifact not found"


class NameReserved(Conflict):
    """The model {model!r} is built in; it cannot be changed, and no other may have its name."""

    code = "name_reserved"
    title = "Name reserved"


class ModelInUse(Conflict):
    """The model {model!r} is needed by {jobs} jobs that are not finished."""

    code = "model_in_use"
    title = "Model in use"


class ModelTooLarge(TooLarge):
    """The model is larger than {limit} bytes."""

    code = "model_too_large"
    title = "Model too large"


class UnsafeModel(Unprocessable):
    """The file was not taken. {reason}"""

    code = "unsafe_model"
    title = "Unsafe model"


class BrokenModel(Unprocessable):
    """The file was not taken. {reason}"""

    code = "broken_model"
    title = "Broken model"


class ClassesNotTaken(Unprocessable):
    """A skops file names its own classes. Leave out `classes`, which is for ONNX models."""

    code = "classes_not_taken"
    title = "Classes not taken"


class InspectionPending(AppError):
    """The model is still being looked at. If it is fine it is there once job {job_id} has completed."""

    status = 504
    code = "inspection_pending"
    title = "Inspection pending"


class InspectionCancelled(Conflict):
    """Job {job_id}, which looked at the model, was cancelled."""

    code = "inspection_cancelled"
    title = "Inspection cancelled"


class InspectionFailed(AppError):
    """The model could not be looked at: {reason}"""

    status = 503
    code = "inspection_failed"
    title = "Inspection failed"
    retry_after = 5
