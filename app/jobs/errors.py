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


class IsAShard(Conflict):
    """Job {job_id} is a shard of job {parent_id}. Use that job instead."""

    code = "is_a_shard"
    title = "Is a shard"


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


class ProfilingOff(Unprocessable):
    """`{field}`: profiling is switched off on this server."""

    code = "profiling_off"
    title = "Profiling off"


class ProfileNotFound(NotFound):
    """Job {job_id} has no profile: it was not created with `profile`, or no profiled attempt has ended."""

    code = "profile_not_found"
    title = "Profile not found"


class InputGone(Conflict):
    """Job {job_id} cannot be retried: its dataset or its model version was deleted."""

    code = "input_gone"
    title = "Input gone"


class NoInputRows(Unprocessable):
    """The results of a `{kind}` job do not belong to input rows. Leave out `include=input`."""

    code = "no_input_rows"
    title = "No input rows"


class NoInput(NoInputRows):
    """A `{kind}` job has no input rows."""


class DatasetDeleted(Conflict):
    """The dataset of job {job_id} was deleted. Leave out `include=input` to get the results alone."""

    code = "dataset_deleted"
    title = "Dataset deleted"


class InputDeleted(InputGone):
    """The dataset of job {job_id} was deleted, and its rows with it."""


class CursorAndFirstRow(Unprocessable):
    """Give `cursor` or `first_row`, not both."""


class JobNotEnded(Conflict):
    """Job {job_id} has not ended: its results are not complete."""

    code = "job_not_ended"
    title = "Job not ended"


class CannotShard(Unprocessable):
    """The job cannot be divided into shards: {reason}"""

    code = "cannot_shard"
    title = "Cannot shard"


class NotConvertible(Unprocessable):
    """The model {model!r} cannot be converted to ONNX: {reason}"""

    code = "not_convertible"
    title = "Not convertible"


class RequestNotRestored(Conflict):
    """The request of job {job_id} cannot be restored: {reason}"""

    code = "request_not_restored"
    title = "Request not restored"


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
    """You have {active} unfinished jobs, shards included; the limit is {limit}."""

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
    """A search, or a training with folds, is a group: create it with POST /jobs/train-model, not in bulk."""

    code = "search_in_bulk"
    title = "Search in bulk"


class MailNotConfigured(AppError):
    """This server sends no e-mail: the operator has not set SMTP_HOST."""

    status = 503
    code = "mail_not_configured"
    title = "E-mail not configured"


class RecipientNotAllowed(Unprocessable):
    """E-mail to {recipient} is not allowed: the operator lists the domains in MAIL_ALLOWED_DOMAINS."""

    code = "recipient_not_allowed"
    title = "Recipient not allowed"


class RecipientsInBulk(Unprocessable):
    """A list of recipients is already a group of jobs. Create it with POST /jobs/send-email, not in bulk."""

    code = "recipients_in_bulk"
    title = "Recipients in bulk"


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
