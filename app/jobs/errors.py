"""What can be wrong with a job, or with what somebody wants of it."""

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
    """This Idempotency-Key was used before, with another request."""

    code = "idempotency_key_reused"
    title = "Idempotency key reused"


class InvalidEventId(BadRequest):
    """Last-Event-ID and `after` take the number of an event: 1 to 18 digits."""

    code = "invalid_event_id"
    title = "Invalid event id"


class ResultsExpired(Conflict):
    """The results of job {job_id} expired and were removed."""

    status = 410
    code = "results_expired"
    title = "Results expired"


class JobNotRetryable(Conflict):
    """A {status} job cannot be tried again: only a failed or cancelled one can."""

    code = "job_not_retryable"
    title = "Job not retryable"


class TooManyActiveJobs(AppError):
    """You have {active} jobs that are not finished; the limit is {limit}."""

    status = 429
    code = "too_many_active_jobs"
    title = "Too many active jobs"
    retry_after = 5


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
