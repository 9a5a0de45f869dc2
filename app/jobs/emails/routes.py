"""The paths under which other systems send e-mail. Each creates jobs of the kind `send_email`."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response, status
from fastapi.exceptions import RequestValidationError

from app.auth.deps import JobsWriter
from app.core.errors import DatabaseUnavailable
from app.http import problems
from app.http.deps import ResourcesDep
from app.http.email_addresses import EmailAddress
from app.http.links import link
from app.http.offloading import offload
from app.http.routing import BoundedRoute
from app.jobs import views
from app.jobs.deps import (
    CreatorDep,
    IdempotencyKey,
    KindsDep,
    QuotaDep,
    refuse_while_stopping,
    replay_responses,
)
from app.jobs.emails.schemas import (
    EmailQueued,
    EmailsQueued,
    EmailsToSend,
    EmailToSend,
    NotificationQueued,
    NotificationText,
    NotificationToSend,
)
from app.jobs.errors import IdempotencyKeyReused, TooManyActiveJobs
from app.jobs.groups import creation as groups
from app.jobs.kinds import send_email
from app.jobs.kinds.send_email import SendEmailRequest
from app.jobs.service import digest
from app.quotas.errors import QuotaExceeded

_ERRORS: Final = (
    *send_email.KIND.errors,
    IdempotencyKeyReused,
    TooManyActiveJobs(active=10, limit=10),
    QuotaExceeded(used=20 * 1024**3, limit=20 * 1024**3),
    DatabaseUnavailable,
)

router = APIRouter(route_class=BoundedRoute, tags=["e-mail"], dependencies=[Depends(refuse_while_stopping)])


@router.post(
    "/send-email",
    operation_id="sendEmail",
    summary="Send an e-mail (same as POST /jobs/send-email)",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=EmailQueued,
    responses={**replay_responses(EmailQueued), **problems.responses(*_ERRORS)},
)
async def queue_email(
    body: EmailToSend,
    user: JobsWriter,
    quota: QuotaDep,
    creator: CreatorDep,
    kinds: KindsDep,
    key: IdempotencyKey = None,
) -> Response:
    """Queue an e-mail to one recipient. `status_url` shows whether it was sent."""
    request = SendEmailRequest(to=body.recipient, subject=body.subject, body=body.body)
    kind = kinds[send_email.KIND.name]
    submitted = await creator.submit(quota, user.id, kind, request, key)
    here = link(f"/jobs/{submitted.job_id}")
    queued = EmailQueued(message="Email queued", task_id=submitted.job_id, status_url=here)
    return _respond(queued, here, is_replay=submitted.is_replay)


@router.post(
    "/send-bulk-email",
    operation_id="sendBulkEmail",
    summary="Send an e-mail to many recipients",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=EmailsQueued,
    responses={**replay_responses(EmailsQueued), **problems.responses(*_ERRORS)},
)
async def queue_emails(
    body: EmailsToSend,
    user: JobsWriter,
    resources: ResourcesDep,
    quota: QuotaDep,
    kinds: KindsDep,
    key: IdempotencyKey = None,
) -> Response:
    """Queue the same e-mail to up to 1000 recipients: all of them or none. Each has a job of its own."""
    kind = kinds[send_email.KIND.name]
    requests = [
        SendEmailRequest(to=recipient, subject=body.subject, body=body.body) for recipient in body.recipients
    ]
    submitted = await groups.submit(
        resources,
        quota,
        user.id,
        [(kind, request) for request in requests],
        key=key,
        digest=await offload(digest, "send-bulk-email", body),
        member="recipients",
    )
    queued = EmailsQueued(
        message=f"Queued {len(submitted.job_ids)} emails",
        task_ids=submitted.job_ids,
        group_id=submitted.group_id,
    )
    return _respond(queued, link(f"/groups/{submitted.group_id}"), is_replay=submitted.is_replay)


@router.post(
    "/send-notification",
    operation_id="sendNotification",
    summary="Send a notification by e-mail",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=NotificationQueued,
    responses={**replay_responses(NotificationQueued), **problems.responses(*_ERRORS)},
)
async def queue_notification(
    user: JobsWriter,
    quota: QuotaDep,
    creator: CreatorDep,
    kinds: KindsDep,
    body: NotificationToSend | None = None,
    email: Annotated[EmailAddress | None, Query(description="Recipient, instead of a body.")] = None,
    message: Annotated[NotificationText | None, Query(description="Text, instead of a body.")] = None,
    key: IdempotencyKey = None,
) -> Response:
    """Queue a notification: the built-in template around your text. Send it as the body or as the query."""
    if body is None:
        body = _from_query(email, message)
    request = SendEmailRequest(
        to=body.email, template="notification", values={"message": body.message}, language=body.language
    )
    kind = kinds[send_email.KIND.name]
    submitted = await creator.submit(quota, user.id, kind, request, key)
    queued = NotificationQueued(message="Notification will be sent in background", task_id=submitted.job_id)
    return _respond(queued, link(f"/jobs/{submitted.job_id}"), is_replay=submitted.is_replay)


def _from_query(email: str | None, message: str | None) -> NotificationToSend:
    given = {"email": email, "message": message}
    missing = [name for name, value in given.items() if value is None]
    if email is None or message is None:
        raise RequestValidationError(
            [{"type": "missing", "loc": ("query", name), "msg": "Field required"} for name in missing]
        )
    return NotificationToSend(email=email, message=message)


def _respond(queued: object, location: str, *, is_replay: bool) -> Response:
    headers = {"Location": location, **({"Idempotent-Replayed": "true"} if is_replay else {})}
    return views.respond(
        queued,
        status_code=status.HTTP_200_OK if is_replay else status.HTTP_202_ACCEPTED,
        headers=headers,
    )
