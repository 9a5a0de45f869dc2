"""Requests and responses of the paths under which other systems send e-mail."""

from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from app.core.message_templates import Language
from app.http.body import CleanStr, LargeBody, StrictBody
from app.http.email_addresses import EmailAddress
from app.jobs.kinds.send_email import Body, Recipients, Subject

MAX_NOTIFICATION_CHARACTERS: Final = 10_000

NotificationText = Annotated[CleanStr, Field(min_length=1, max_length=MAX_NOTIFICATION_CHARACTERS)]


class EmailToSend(LargeBody):
    """A message to one recipient, who is named as `to` or as `email`."""

    to: EmailAddress | None = None
    email: EmailAddress | None = None
    subject: Subject
    body: Body

    @model_validator(mode="after")
    def _check_one_recipient(self) -> Self:
        if (self.to is None) == (self.email is None):
            raise ValueError("give one of to and email")
        return self

    @property
    def recipient(self) -> str:
        """The recipient, whatever the member is called."""
        return self.to or self.email or ""


class EmailsToSend(LargeBody):
    """A message to many recipients, of whom none sees the others."""

    recipients: Recipients
    subject: Subject
    body: Body


class NotificationToSend(StrictBody):
    """A notification: its subject and its layout are those of the template `notification`."""

    email: EmailAddress
    message: NotificationText
    language: Language = Language.ENGLISH


class EmailQueued(TypedDict):
    """An e-mail that waits to be sent. `task_id` is the id of its job."""

    message: str
    task_id: UUID
    status_url: str


class EmailsQueued(TypedDict):
    """E-mails that wait to be sent. `task_ids` are the ids of their jobs, in the order of the recipients."""

    message: str
    task_ids: list[UUID]
    group_id: UUID


class NotificationQueued(TypedDict):
    """A notification that waits to be sent. `task_id` is the id of its job."""

    message: str
    task_id: UUID
