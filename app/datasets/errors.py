"""Errors of datasets."""

from app.core.errors import AppError, Conflict, NotFound, TooLarge, Unprocessable


class DatasetNotFound(NotFound):
    """There is no dataset {dataset_id}."""

    code = "dataset_not_found"
    title = "Dataset not found"


class DatasetInUse(Conflict):
    """Dataset {dataset_id} is needed by {jobs} jobs that are not finished."""

    code = "dataset_in_use"
    title = "Dataset in use"


class DatasetTooLarge(TooLarge):
    """The dataset is larger than {limit} bytes."""

    code = "dataset_too_large"
    title = "Dataset too large"


class TooManyDatasetRows(TooLarge):
    """The dataset has more than {limit} rows, the most that one may have. Upload it in parts."""

    code = "too_many_dataset_rows"
    title = "Too many dataset rows"


class DatasetRowsTooLarge(TooLarge):
    """The rows of the file take more than {limit} bytes as Parquet. Upload fewer rows, or shorter texts."""

    code = "dataset_rows_too_large"
    title = "Dataset rows too large"


class UnsupportedFormat(AppError):
    """A dataset is CSV, JSON Lines or Parquet in UTF-8, plain or with gzip; this is {got}."""

    status = 415
    code = "unsupported_format"
    title = "Unsupported format"


class BadOptions(Unprocessable):
    """The option {option} of the upload cannot be used: {reason}."""

    code = "bad_options"
    title = "Bad options"


class BadHeader(Unprocessable):
    """Line {line} does not name the columns: {reason}."""

    code = "bad_header"
    title = "Bad header"


class BadColumns(BadHeader):
    """The columns of the file cannot be taken: {reason}."""
