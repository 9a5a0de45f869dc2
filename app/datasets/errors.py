"""Errors of datasets."""

from app.core.errors import AppError, Conflict, NotFound, TooLarge, Unavailable, Unprocessable


class DatasetNotFound(NotFound):
    """There is no dataset {dataset_id}. `GET /datasets` lists yours."""

    code = "dataset_not_found"
    title = "Dataset not found"


class NoDatasetOfThatName(DatasetNotFound):
    """You have no dataset named {dataset!r}. `GET /datasets` lists yours."""


class DatasetInUse(Conflict):
    """Dataset {dataset_id} is in use by {jobs} unfinished jobs. Cancel them, or wait until they end."""

    code = "dataset_in_use"
    title = "Dataset in use"


class DatasetTooLarge(TooLarge):
    """The dataset exceeds the limit of {limit} bytes. Split it into several datasets."""

    code = "dataset_too_large"
    title = "Dataset too large"


class TooManyDatasetRows(TooLarge):
    """The dataset exceeds the limit of {limit} rows. Split it into several datasets."""

    code = "too_many_dataset_rows"
    title = "Too many dataset rows"


class DatasetRowsTooLarge(TooLarge):
    """The rows of the file take more than {limit} bytes as Parquet. Upload fewer rows, or shorter texts."""

    code = "dataset_rows_too_large"
    title = "Dataset rows too large"


class ProfileFailed(Unavailable):
    """Dataset {dataset_id} could not be profiled in {seconds} seconds and the memory for it. Sample it."""

    code = "profile_failed"
    title = "Profile failed"
    retry_after = 60


class UnsupportedFormat(AppError):
    """Upload CSV, JSON Lines or Parquet in UTF-8, uncompressed or with gzip. This file is {got}."""

    status = 415
    code = "unsupported_format"
    title = "Unsupported format"


class BadOptions(Unprocessable):
    """The upload option {option} is not valid: {reason}."""

    code = "bad_options"
    title = "Bad options"


class BadHeader(Unprocessable):
    """Line {line} is not a valid header: {reason}."""

    code = "bad_header"
    title = "Bad header"


class BadColumns(BadHeader):
    """The columns of the file are not supported: {reason}."""
