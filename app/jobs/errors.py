"""The errors of jobs. Each docstring is the detail that the user reads."""

from app.core.errors import AppError, BadRequest, Conflict, Forbidden, NotFound, TooLarge, Unprocessable


class JobNotFound(NotFound):
    """There is no job {job_id}."""

    code = "job_not_found"
    title = "Job not found"


class NotYourJob(Forbidden):
    """Job {job_id} belongs to another user."""

    code = "not_your_job"
    title = "Not your job"


class JobAlreadyFinished(BadRequest):
    """Cannot cancel {status} job"""

    code = "job_already_finished"
    title = "Job already finished"


class TooManyRows(BadRequest):
    """Maximum {limit} texts allowed"""

    code = "too_many_rows"
    title = "Too many rows"


class TextTooLong(TooLarge):
    """Text {index} has {length} characters, more than the limit of {limit}."""

    code = "text_too_long"
    title = "Text too long"


class IdempotencyKeyReused(Unprocessable):
    """This Idempotency-Key was used before with a different request."""

    code = "idempotency_key_reused"
    title = "Idempotency key reused"


class InvalidEventId(BadRequest):
    """Last-Event-ID and `after` take the number of an event: 1 to 18 digits."""

    code = "invalid_event_id"
    title = "Invalid event id"


class InputGone(Conflict):
    """Job {job_id} cannot be retried: its dataset or its model version was deleted."""

    code = "input_gone"
    title = "Input gone"


class ResultsExpired(Conflict):
    """The results of job {job_id} have expired and were deleted."""

    status = 410
    code = "results_expired"
    title = "Results expired"


class JobNotRetryable(Conflict):
    """A {status} job cannot be retried: only failed and cancelled jobs can."""

    code = "job_not_retryable"
    title = "Job not retryable"


class TooManyActiveJobs(AppError):
    """You have {active} unfinished jobs; the limit is {limit}."""

    status = 429
    code = "too_many_active_jobs"
    title = "Too many active jobs"
    retry_after = 5


class JobLimitExceeded(Unprocessable):
    """`{field}` may be at most {limit} here, not {got}. Ask for less, or ask an administrator."""

    code = "job_limit_exceeded"
    title = "Job limit exceeded"


class SearchTooLarge(TooLarge):
    """The jobs of this search would hold {got} bytes of rows; the limit is {limit}. Upload a dataset."""

    code = "search_too_large"


class TooManyJobs(BadRequest):
    """Maximum {limit} jobs allowed at once"""

    code = "too_many_jobs"
    title = "Too many jobs"


class GroupNotFound(NotFound):
    """There is no group {group_id}."""

    code = "group_not_found"
    title = "Group not found"


class DeadLetterNotFound(NotFound):
    """Job {job_id} is not among your dead letters."""

    code = "dead_letter_not_found"
    title = "Dead letter not found"


class TooManyInstances(TooManyRows):
    """Maximum {limit} instances allowed"""


class InputMismatch(Unprocessable):
    """The model {model} takes {takes}, not {got}."""

    code = "input_mismatch"
    title = "Input mismatch"


class MissingColumns(Unprocessable):
    """Columns that the model needs are missing: {missing}."""

    code = "missing_columns"
    title = "Missing columns"


class RowMissesColumns(MissingColumns):
    """Row {row} lacks columns that the model needs: {missing}. Number of invalid rows: {rows}."""


class WrongRowLength(Unprocessable):
    """Row {row} has {got} values; the model takes {expected}. Number of invalid rows: {rows}."""

    code = "wrong_row_length"
    title = "Wrong row length"


class ColumnMismatch(Unprocessable):
    """The model expects a {expected} in the column {column!r}, but the dataset has a {found} there."""

    code = "column_mismatch"
    title = "Column mismatch"


class AmbiguousColumn(Unprocessable):
    """Several columns hold text; choose one with `column`: {candidates}."""

    code = "ambiguous_column"
    title = "Ambiguous column"


class SearchInBulk(Unprocessable):
    """A search is already a group of jobs. Create it with POST /jobs/train-model, not in bulk."""

    code = "search_in_bulk"
    title = "Search in bulk"


class UnknownColumn(Unprocessable):
    """The dataset {dataset!r} has no column {column!r}, which `{option}` names."""

    code = "unknown_column"
    title = "Unknown column"


class PredictionPending(AppError):
    """The predictions take longer than {seconds} s. Job {job_id} continues; read its results later."""

    status = 504
    code = "prediction_pending"
    title = "Prediction pending"


class PredictionRefused(Unprocessable):
    """Nothing was predicted: {reason}"""

    code = "prediction_refused"
    title = "Prediction refused"


class PredictionFailed(AppError):
    """Nothing was predicted: {reason}"""

    code = "prediction_failed"
    title = "Prediction failed"


class PredictionTooLarge(TooLarge):
    """The predictions take more than {limit} bytes. Read them page by page with GET {url}."""

    code = "prediction_too_large"
    title = "Prediction too large"


class PredictionCancelled(Conflict):
    """Nothing was predicted: job {job_id} was cancelled."""

    code = "prediction_cancelled"
    title = "Prediction cancelled"


class NotAcceptable(AppError):
    """The results are available as {offered}."""

    status = 406
    code = "not_acceptable"
    title = "Not acceptable"
