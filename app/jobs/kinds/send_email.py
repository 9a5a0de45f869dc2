"""`send_email`: send a message to one recipient, or to each of many by a job of its own.

Its handler runs in the worker's own process, because children have neither a network nor credentials.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Self

import msgspec
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from app.core import email_addresses, text
from app.core.config import Settings
from app.core.message_templates import MAX_SUBJECT_CHARACTERS, Language, TemplateError, Templates
from app.http.body import CleanStr, at_most
from app.http.email_addresses import EmailAddress
from app.jobs.errors import MailNotConfigured, RecipientNotAllowed, RecipientsInBulk, TooManyJobs
from app.jobs.kinds.kind import (
    FanOut,
    JobPlan,
    Kind,
    ResolvedReferences,
    RestoredRequest,
    RestoreError,
    RetryPolicy,
    StoredRequest,
)
from app.jobs.params import EmailContent, SendEmailParams
from app.jobs.requests import JobOptions

TEMPLATES: Final = Templates(Path(__file__).parents[1] / "emails" / "templates")

QUEUE: Final = "emails"
MAX_RECIPIENTS: Final = 1000
MAX_BODY_CHARACTERS: Final = 100_000
MAX_VALUES: Final = 16


def _check_subject(subject: str) -> str:
    if not text.is_one_line(subject) or not subject.strip():
        raise PydanticCustomError("one_line", "A subject is one line of text without control characters")
    return subject


Subject = Annotated[
    CleanStr, Field(min_length=1, max_length=MAX_SUBJECT_CHARACTERS), AfterValidator(_check_subject)
]
Body = Annotated[CleanStr, Field(min_length=1, max_length=MAX_BODY_CHARACTERS)]
Recipients = Annotated[
    list[EmailAddress],
    Field(min_length=1, fail_fast=True),
    at_most(MAX_RECIPIENTS, lambda got: TooManyJobs(limit=MAX_RECIPIENTS, got=got)),
]
ValueName = Annotated[CleanStr, Field(min_length=1, max_length=64)]


class SendEmailRequest(JobOptions):
    """Send an e-mail: `subject` and `body`, or a `template` with its `values`.

    A list of recipients becomes a group, with one job for each of them.
    """

    to: EmailAddress | Recipients = Field(
        description="Recipient, or 1 to 1000 of them, of whom none sees the others."
    )
    subject: Subject | None = Field(None, description="Default: the subject of the template.")
    body: Body | None = Field(None, description="The message as plain text.")
    html: Body | None = Field(None, description="The same message as HTML, for mail programs that show it.")
    template: str | None = Field(
        None, description="`notification`: a layout for the value `message`, as plain text and HTML."
    )
    values: Annotated[dict[ValueName, Body], at_most(MAX_VALUES)] = Field(
        default_factory=dict, description="Values for the placeholders of the template."
    )
    language: Language = Field(Language.ENGLISH, description="Language of the template.")
    reply_to: EmailAddress | None = Field(None, description="Address that replies go to.")

    @model_validator(mode="after")
    def _check_recipients_differ(self) -> Self:
        if isinstance(self.to, list) and len(set(self.to)) < len(self.to):
            raise ValueError("to: an address is named twice")
        return self

    @model_validator(mode="after")
    def _check_one_content(self) -> Self:
        if self.template is None:
            if self.subject is None or self.body is None:
                raise ValueError("give subject and body, or a template")
            if self.values:
                raise ValueError("values: are for a template")
            return self
        if self.body is not None or self.html is not None:
            raise ValueError("body and html cannot be combined with a template")
        try:
            self.content()
        except TemplateError as error:
            raise ValueError(f"template: {error}") from None
        return self

    def content(self) -> EmailContent:
        """Return the subject, the text and the HTML of the message. Raises TemplateError."""
        if self.template is None:
            return EmailContent(self.subject or "", self.body or "", self.html)
        rendered = TEMPLATES.render(self.template, self.language, self.values)
        return EmailContent(self.subject or rendered.subject, rendered.text, rendered.html)


def admit(request: SendEmailRequest, settings: Settings) -> None:
    """Check that e-mail is set up and may go to these domains. Raises MailNotConfigured, RecipientNotAllowed.

    Without the list of domains, any user could send any text to any address in the operator's name.
    """
    if not settings.sends_mail:
        raise MailNotConfigured
    allowed = settings.mail_allowed_domains
    if "*" in allowed:
        return
    for recipient in [request.to] if isinstance(request.to, str) else request.to:
        if email_addresses.domain_of(recipient) not in allowed:
            raise RecipientNotAllowed(recipient=recipient)


def fan_out(request: SendEmailRequest) -> FanOut | None:
    """Return a job for each recipient, if the request lists them."""
    if isinstance(request.to, str):
        return None
    requests = tuple(request.model_copy(update={"to": recipient}) for recipient in request.to)
    return FanOut(requests, message=f"{len(requests)} e-mails queued", member="to")


def plan(request: SendEmailRequest, _found: ResolvedReferences) -> JobPlan:
    """Return the message as the job's payload, which is deleted with its results. Raises RecipientsInBulk."""
    if not isinstance(request.to, str):
        raise RecipientsInBulk
    return JobPlan(
        params=msgspec.json.encode(SendEmailParams(request.to, request.reply_to)),
        rows=msgspec.json.encode([request.content()]),
    )


def restore(stored: StoredRequest) -> RestoredRequest:
    """Return the request with the message as it was sent; a template is filled in already.

    Raises RestoreError.
    """
    params = stored.read_params(SendEmailParams)
    if stored.rows is None:
        raise RestoreError("its message was deleted with its results.")
    [content] = msgspec.json.decode(stored.rows, type=list[EmailContent])
    return RestoredRequest(
        {
            "to": params.to,
            "reply_to": params.reply_to,
            "subject": content.subject,
            "body": content.text,
            "html": content.html,
        }
    )


_BODY: Final[dict[str, Any]] = {"subject": "Your report", "body": "The report is ready."}

KIND: Final = Kind(
    name="send_email",
    summary="Send an e-mail",
    request=SendEmailRequest,
    admit=admit,
    fan_out=fan_out,
    plan=plan,
    restore=restore,
    message="E-mail queued",
    errors=(
        MailNotConfigured,
        RecipientNotAllowed(recipient="ada@example.org"),
        TooManyJobs(limit=MAX_RECIPIENTS, got=1001),
    ),
    examples={
        "one recipient": {"value": {"to": "ada@example.com", **_BODY}},
        "many recipients": {"value": {"to": ["ada@example.com", "grace@example.com"], **_BODY}},
        "a template": {
            "value": {
                "to": "ada@example.com",
                "template": "notification",
                "values": {"message": "报告已完成。"},
                "language": "zh-CN",
            }
        },
    },
    queue=QUEUE,
    max_attempts=4,
    soft_limit_seconds=60,
    time_limit_seconds=60,
    retry=RetryPolicy(base_seconds=60, maximum_seconds=600, never=frozenset({"recipient_refused"})),
    writes_files=False,
)
