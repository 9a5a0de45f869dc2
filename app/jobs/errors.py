"""What can be wrong with a job, or with what somebody wants of it."""

from app.core.errors import BadRequest, Conflict, Forbidden, NotFound, TooLarge, Unprocessable


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
