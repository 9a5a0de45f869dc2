"""The params of handlers, kind by kind: plain data, so that a child process need not import anything else."""

from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from app.jobs.preprocessing.steps import AnyStep


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


class Promotion(msgspec.Struct, frozen=True):
    """The alias that a trained version takes if it beats the one that has it. None: accuracy, or r2."""

    alias: str
    metric: str | None = None


class SplitMethod(StrEnum):
    """How the rows of a training are split."""

    RANDOM = "random"
    STRATIFIED = "stratified"
    """At random, each class in proportion."""
    TIME = "time"
    """The latest rows are held out."""
    GROUP = "group"
    """Rows of one group stay together."""
    DATASET = "dataset"
    """The test rows are a dataset of their own."""


FOLDS_OF_CHOICE: Final = 3
"""The folds on which the candidates of `auto` compete and are measured, if there are few rows."""


class SplitParams(msgspec.Struct, frozen=True):
    """How to split the rows; without a method, stratified for a classification, else random.

    `column` has the times or the groups. `folds` is the number of folds of a cross-validation, 0: none, None:
    as fits the data. The fractions are of all rows.
    """

    method: SplitMethod | None = None
    column: str | None = None
    test_fraction: float = 0.2
    folds: int | None = None


class CandidateParams(msgspec.Struct, frozen=True):
    """An algorithm, and its params, checked and with their defaults."""

    algorithm: str
    params: dict[str, Any] = {}


class TrialPart(msgspec.Struct, frozen=True):
    """Which job this is of a trial that is measured by a job for each of its `folds`.

    `trial` is the place of the trial in its search, from 0. `fold`, from 1, is the one that the job holds out
    and measures; None: it trains the model and registers it.
    """

    trial: int
    folds: int
    fold: int | None = None


class TrainModelParams(msgspec.Struct, frozen=True):
    """For `train_model`. The rows are the file `dataset`, or the job's payload.

    `task` and `algorithm` may be `auto`. `params` are those of the algorithm, checked and with its defaults;
    for `auto` only those of every algorithm. `model` is the name to register under; None means a name derived
    from the job id. `columns` are the types that the client declares: see `app.datasets.options.Declared`.
    `candidates` compete by the `metric`, in place of `algorithm` and `params`; None means that of the data.
    With `refit`, the registered model is fitted on all rows. None: if the algorithm is chosen.
    `part` is None unless the request asks for `folds`.
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
    promote: Promotion | None = None
    split: SplitParams = SplitParams()
    held_out_dataset: str | None = None
    candidates: list[CandidateParams] = []
    metric: str | None = None
    refit: bool | None = None
    part: TrialPart | None = None

    @property
    def held_out_fold(self) -> int | None:
        """The fold that the job only measures, from 1; None if it registers a model."""
        return None if self.part is None else self.part.fold

    @property
    def is_auto(self) -> bool:
        """Whether the data decide which algorithms compete."""
        return not self.candidates and self.algorithm == "auto"

    @property
    def chooses(self) -> bool:
        """Whether the training chooses among candidates."""
        return bool(self.candidates) or self.is_auto

    @property
    def refits(self) -> bool:
        """Whether the registered model is fitted on all rows."""
        return self.chooses if self.refit is None else self.refit


class InspectModelParams(msgspec.Struct, frozen=True):
    """For `inspect_model`. The file `model` becomes the next version of the model `name`, with this alias."""

    name: str
    runtime: str
    alias: str | None = None


class ConvertModelParams(msgspec.Struct, frozen=True):
    """For `convert_model`. The ONNX file becomes the next version of the model `name`.

    The two models are compared on rows of the file `dataset` if there is a `shape`.
    """

    model: ModelReference
    name: str
    shape: RowShape | None = None


class SendEmailParams(msgspec.Struct, frozen=True):
    """For `send_email`. The message is the only row of the payload, an `EmailContent`."""

    to: str
    reply_to: str | None = None


class EmailContent(msgspec.Struct, frozen=True):
    """What an e-mail says, as plain text and perhaps as HTML too."""

    subject: str
    text: str
    html: str | None = None


class PreprocessSource(msgspec.Struct, frozen=True):
    """The dataset that a preprocess job reads, or joins."""

    id: UUID
    sha256: str


class PreprocessDatasetParams(msgspec.Struct, frozen=True):
    """For `preprocess_dataset`. The rows are the file `dataset`; joined ones are in files by `join_file`.

    `name` is that of the new dataset; of a split, the name of each part follows it.
    """

    name: str
    source: PreprocessSource
    steps: tuple[AnyStep, ...]
    joined: tuple[PreprocessSource, ...] = ()
