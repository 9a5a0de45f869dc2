"""The params of handlers, kind by kind: plain data, so that a child process need not import anything else."""

from typing import Any
from uuid import UUID

import msgspec


class ModelReference(msgspec.Struct, frozen=True):
    """One version of a model, and the runtime that loads it. The built-in model has no id."""

    name: str
    version: int
    runtime: str
    id: UUID | None = None


class RowShape(msgspec.Struct, frozen=True):
    """The part of a row that a model receives: the value of one `column`, several `columns`, or all of it.

    Several columns are passed as an object, or, if `is_list`, as a list. A row that is not an object is
    always passed unchanged. If the `column` `is_text`, its values are passed as they were written.
    `id_column` holds the id of the row's result.
    """

    column: str | None = None
    columns: tuple[str, ...] | None = None
    id_column: str | None = None
    is_list: bool = False
    is_text: bool = False


class BatchPredictParams(msgspec.Struct, frozen=True):
    """For `batch_predict`. The rows are the job's payload, or its file `dataset`."""

    model: ModelReference
    batch_size: int
    shape: RowShape = RowShape()
    max_row_errors: int | None = None


class EvaluateModelParams(msgspec.Struct, frozen=True):
    """For `evaluate_model`. `target` is the column with the true values.

    `classes` are those of the model, if it names them.
    """

    model: ModelReference
    batch_size: int
    target: str
    shape: RowShape = RowShape()
    max_row_errors: int | None = None
    classes: tuple[str, ...] | None = None


class TrainModelParams(msgspec.Struct, frozen=True):
    """For `train_model`. The rows are the file `dataset`, or the job's payload.

    `task` and `algorithm` may be `auto`. `params` are those of the algorithm, checked and with its defaults;
    for `auto` only those of every algorithm. `model` is the name to register under; None means a name derived
    from the job id. `columns` are the types that the client declares: see `app.datasets.options.Declared`.
    """

    target: str
    features: list[str] | None = None
    task: str = "auto"
    algorithm: str = "auto"
    params: dict[str, Any] = {}
    epochs: int = 10
    validation_fraction: float = 0.2
    seed: int = 0
    model: str | None = None
    columns: dict[str, str] = {}


class InspectModelParams(msgspec.Struct, frozen=True):
    """For `inspect_model`. The file `model` becomes the next version of the model `name`, with this alias."""

    name: str
    runtime: str
    alias: str | None = None
