"""`convert_model`: convert a scikit-learn version to ONNX, and register it if it predicts the same."""

from typing import Final, Self

import msgspec
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.core.files import StoredFile
from app.datasets.errors import DatasetNotFound
from app.http.body import CleanStr
from app.jobs.errors import ColumnMismatch, MissingColumns, NotConvertible
from app.jobs.kinds import inputs, row_based
from app.jobs.kinds.kind import (
    JobPlan,
    Kind,
    References,
    ResolvedReferences,
    RestoredRequest,
    RetryPolicy,
    StoredRequest,
)
from app.jobs.kinds.row_based import EXAMPLE_ID
from app.jobs.params import ConvertModelParams, RowShape
from app.jobs.requests import DatasetOptions
from app.models import builtin, formats
from app.models.errors import ModelNotFound
from app.models.names import MAX_REFERENCE_LENGTH, MODEL_REFERENCE, ModelName
from app.models.versions import ModelVersion

SUFFIX: Final = "-onnx"
_MAX_NAME: Final = 100


class ConvertModelRequest(DatasetOptions):
    """Convert a scikit-learn version to ONNX, and register the result as a version of another model.

    The converted model predicts rows of the dataset, or without one rows made for this, and is registered
    only if its predictions are those of the original.
    """

    model: CleanStr = Field(description=MODEL_REFERENCE, min_length=1, max_length=MAX_REFERENCE_LENGTH)
    name: ModelName | None = Field(
        None, description=f"Name to register under. Default: the name of the model and `{SUFFIX}`."
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        if name in builtin.NAMES:
            raise PydanticCustomError("reserved_name", "This name is reserved for a built-in model")
        return name

    @model_validator(mode="after")
    def _check_one_dataset(self) -> Self:
        if self.dataset_id is not None and self.dataset is not None:
            raise ValueError("give dataset_id or dataset, not both")
        return self


def references(request: ConvertModelRequest) -> References:
    """Return the model, and the dataset if the request names one."""
    dataset = request.dataset_reference
    return References(models=(request.model,), datasets=() if dataset is None else (dataset,))


def plan(request: ConvertModelRequest, found: ResolvedReferences) -> JobPlan:
    """Check that the version may be converted, and that the dataset has its columns.

    Raises NotConvertible, and what `inputs` raises.
    """
    model = found.models[request.model]
    _ensure_convertible(model)
    files: dict[str, StoredFile] = {} if model.file is None else {"model": model.file}
    shape: RowShape | None = None
    dataset_id = None
    if request.dataset_reference is not None:
        dataset = found.datasets[request.dataset_reference]
        shape = inputs.shape_of_dataset(model, dataset)
        files["dataset"] = dataset.file
        dataset_id = dataset.id
    params = ConvertModelParams(
        model=row_based.reference(model), name=request.name or _default_name(model), shape=shape
    )
    return JobPlan(
        params=msgspec.json.encode(params), files=files, dataset_id=dataset_id, model_version_id=model.id
    )


def restore(stored: StoredRequest) -> RestoredRequest:
    """Return the request."""
    params = stored.read_params(ConvertModelParams)
    model = row_based.restored_reference(params.model)
    return RestoredRequest({"model": model, "name": params.name, "dataset_id": stored.dataset_id})


def _ensure_convertible(model: ModelVersion) -> None:
    if model.runtime != formats.SKLEARN:
        raise NotConvertible(model=model.reference, reason=f"it is a model of the runtime {model.runtime}.")
    if model.columns is None:
        raise NotConvertible(model=model.reference, reason="its file does not name its columns.")
    texts = [column.name for column in model.columns if column.type == "text"]
    if texts:
        raise NotConvertible(
            model=model.reference,
            reason=f"it reads texts ({texts[0]!r}), and ONNX has no operator that splits them into words.",
        )


def _default_name(model: ModelVersion) -> str:
    name = model.name.rpartition("/")[2]
    return f"{name[: _MAX_NAME - len(SUFFIX)]}{SUFFIX}"


KIND: Final = Kind(
    name="convert_model",
    summary="Convert a model to ONNX",
    request=ConvertModelRequest,
    references=references,
    plan=plan,
    restore=restore,
    message="Conversion job created",
    errors=(
        ModelNotFound(model="churn"),
        DatasetNotFound(dataset_id=EXAMPLE_ID),
        NotConvertible(model="reviews@2", reason="it reads texts."),
        MissingColumns(missing=["rooms"], expected=["rooms", "year"]),
        ColumnMismatch(column="rooms", expected="number", found="text"),
    ),
    examples={
        "checked on rows made for this": {"value": {"model": "churn@3"}},
        "checked on a dataset": {"value": {"model": "churn@3", "dataset": "june.csv", "name": "churn-edge"}},
    },
    max_attempts=2,
    soft_limit_seconds=600,
    time_limit_seconds=600,
    retry=RetryPolicy(never=frozenset({"conversion_differs", "not_convertible"})),
)
