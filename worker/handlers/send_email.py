"""`send_email`: hand one message to the SMTP server. Runs in the worker's own process."""

from typing import Final, assert_never

from app.core.mail import Away, Delivered, Email, Mailer, Refused
from app.jobs.params import EmailContent, SendEmailParams
from worker.children.inside import InsideJob
from worker.context import BadInput, JobError, Outcome, Yielded

AWAY_SECONDS: Final = 60.0
MAX_AWAY_SECONDS: Final = 900.0
"""While the server is away, a job waits this long, twice as long each time, and no failure counts."""


async def send_email(job: InsideJob, mailer: Mailer) -> Outcome:
    """Send the message. The same job has the same Message-ID on every attempt."""
    params, content = job.read_params(SendEmailParams), job.read_row(EmailContent)
    if job.is_stop_requested:
        return Yielded()
    email = Email(
        id=str(job.id),
        to=params.to,
        subject=content.subject,
        text=content.text,
        html=content.html,
        reply_to=params.reply_to,
    )
    try:
        outcome = await mailer.send(email)
    except ValueError as error:  # the API checks what it accepts, and an operator may edit a row
        raise BadInput(str(error)) from None
    match outcome:
        case Delivered(message_id=message_id):
            return {"status": "sent", "to": params.to, "message_id": message_id}
        case Refused(reply=reply, is_final=True):
            message = f"The mail server refused the message: {reply}"
            raise JobError("recipient_refused", message, is_retryable=False)
        case Refused(reply=reply):
            raise JobError("mail_deferred", f"The mail server refused the message for now: {reply}")
        case Away():
            return Yielded(delay_seconds=away_seconds(job))
        case never:
            assert_never(never)


def away_seconds(job: InsideJob) -> float:
    """Return how long a job waits for a server that is away: it doubles with each attempt in vain."""
    in_vain = job.attempt - 1 - job.failures
    return min(MAX_AWAY_SECONDS, AWAY_SECONDS * 2.0 ** min(in_vain, 10))
