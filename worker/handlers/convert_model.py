"""`convert_model`: convert a scikit-learn model to ONNX, and compare the two."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sklearn.base import is_classifier

from app.jobs.params import ConvertModelParams
from app.models import formats
from worker import predictions, rows
from worker.context import JobContext, JobError, Outcome
from worker.conversions import comparison, sample_rows, to_onnx
from worker.conversions.errors import NotConvertible
from worker.runtimes import file_runtime
from worker.runtimes.runtime import BrokenModel, UnsafeModel
from worker.runtimes.sklearn import estimators
from worker.runtimes.sklearn import runtime as sklearn_runtime
from worker.runtimes.sklearn.estimators import Kind
from worker.runtimes.sklearn.model import SklearnModel

ARTIFACT: Final = "model"
MODEL: Final = "model"
MAX_ROWS: Final = 1000


def convert_model(job: JobContext) -> Outcome:
    """Convert the model, and return the signature of the ONNX file, which is the artifact `model`.

    Raises NotConvertible, ConversionDiffers.
    """
    params = predictions.parse_params(job, ConvertModelParams)
    estimator, inputs = sklearn_runtime.read(job.file(MODEL))
    if inputs.columns is None or estimators.kind_of(estimator) not in (Kind.CLASSIFIER, Kind.REGRESSOR):
        raise NotConvertible("only classifiers and regressors with named columns are converted.")
    path = job.scratch / "model.onnx"
    classes = sklearn_runtime.class_labels(estimator) if is_classifier(estimator) else None
    path.write_bytes(to_onnx.convert(estimator, inputs.columns, classes))
    runtime = file_runtime(formats.ONNX)
    if runtime is None:
        raise JobError("unknown_runtime", f"this worker cannot run {formats.ONNX} models")
    try:
        signature = runtime.inspect(path)
    except (UnsafeModel, BrokenModel) as error:
        raise NotConvertible(error.message) from error
    compared = comparison.compare(
        SklearnModel(estimator, inputs),
        runtime.load(params.model, path),
        _rows(job, params) or sample_rows.make(estimator, inputs.columns),
    )
    job.artifact(ARTIFACT, path)
    job.log(
        f"Compared the two models on {compared.rows} rows; the largest difference is"
        f" {compared.largest_difference:.3g}."
    )
    # The file says of a category only that it is a text.
    signature = msgspec.structs.replace(signature, columns=inputs.columns)
    return {
        "signature": msgspec.to_builtins(signature),
        "rows_checked": compared.rows,
        "largest_difference": compared.largest_difference,
    }


def _rows(job: JobContext, params: ConvertModelParams) -> Sequence[Any]:
    """The first rows of the dataset that the user named; none without one."""
    if params.shape is None:
        return ()
    return rows.model_inputs(rows.open_rows(job, params.shape).read(0, MAX_ROWS), params.shape)
