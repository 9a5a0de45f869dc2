"""Requests for e-mail: what is accepted, who may be written to, and what is stored."""

from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from app.core.config import Settings, load_settings
from app.core.errors import AppError
from app.jobs.errors import MailNotConfigured, RecipientNotAllowed, RecipientsInBulk
from app.jobs.kinds import send_email
from app.jobs.kinds.kind import ResolvedReferences
from app.jobs.kinds.send_email import SendEmailRequest
from app.jobs.params import EmailContent, SendEmailParams

CONTENT = {"subject": "Your report", "body": "It is ready."}
NOTIFICATION = {"template": "notification", "values": {"message": "<done> & dusted"}}


def parsed(**members: Any) -> SendEmailRequest:
    return SendEmailRequest.model_validate({"to": "ada@example.com", **members})


def settings(**more: Any) -> Settings:
    return load_settings(
        _env_file=None,
        database_url="postgresql://h@127.0.0.1/h",
        redis_url="redis://127.0.0.1:1",
        **{"smtp_host": "127.0.0.1", "smtp_security": "none", "mail_from": "h@example.net", **more},
    )


def stored(request: SendEmailRequest) -> tuple[SendEmailParams, EmailContent]:
    planned = send_email.plan(request, ResolvedReferences())
    assert planned.rows is not None
    [content] = msgspec.json.decode(planned.rows, type=list[EmailContent])
    return msgspec.json.decode(planned.params, type=SendEmailParams), content


def test_the_text_is_the_payload_and_the_address_a_param() -> None:
    request = parsed(**CONTENT, html="<p>It is ready.</p>", reply_to="help@example.com")

    assert stored(request) == (
        SendEmailParams("ada@example.com", "help@example.com"),
        EmailContent("Your report", "It is ready.", "<p>It is ready.</p>"),
    )


def test_a_template_makes_text_and_html_in_both_languages() -> None:
    _, english = stored(parsed(**NOTIFICATION))
    _, chinese = stored(parsed(**NOTIFICATION, language="zh-CN", subject="自己的"))

    assert english.subject == "Notification"
    assert "<done> & dusted" in english.text
    assert english.html is not None
    assert "&lt;done&gt; &amp; dusted" in english.html
    assert chinese.subject == "自己的"
    assert chinese.html is not None
    assert "通知" in chinese.html


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"subject": "Hi"},
        {"body": "Hi"},
        {**CONTENT, "body": ""},
        {**CONTENT, "subject": "x" * 201},
        {**CONTENT, "subject": "Hi\r\nBcc: eve@example.com"},
        {**CONTENT, "subject": "Hi\nthere"},
        {**CONTENT, "subject": "  "},
        {**CONTENT, "subject": "Hi\x7f"},
        {**CONTENT, "subject": "Hi\u2028there"},
        {**CONTENT, "body": "x" * 100_001},
        {**CONTENT, "to": "not-an-address"},
        {**CONTENT, "to": "a@localhost"},
        {**CONTENT, "to": "ö@example.com"},
        {**CONTENT, "to": "a@x.com\r\nBcc: b@y.z"},
        {**CONTENT, "to": []},
        {**CONTENT, "to": ["ada@example.com", "ADA@example.com", "ada@EXAMPLE.com"]},
        {**CONTENT, "to": ["ada@example.com", "eve"]},
        {**CONTENT, "reply_to": "Ada <ada@example.com>"},
        {**CONTENT, "values": {"message": "x"}},
        {**CONTENT, "cc": "eve@example.com"},
        {**NOTIFICATION, "body": "Hi"},
        {**NOTIFICATION, "html": "Hi"},
        {**NOTIFICATION, "language": "de"},
        {"template": "absent"},
        {"template": "../notification", "values": {"message": "x"}},
        {"template": "notification"},
        {"template": "notification", "values": {"message": "x", "name": "y"}},
    ],
)
def test_what_cannot_be_sent_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parsed(**members)


def test_the_refusal_names_the_address_that_is_wrong() -> None:
    with pytest.raises(ValidationError) as refused:
        parsed(**CONTENT, to=["ada@example.com", "eve{}"])

    assert any(fault["loc"][-1] == 1 and "@-sign" in fault["msg"] for fault in refused.value.errors())


def test_a_list_becomes_one_job_for_each_recipient_and_one_address_one_job() -> None:
    recipients = [f"user{number}@example.com" for number in range(3)]

    fanned = send_email.fan_out(parsed(**CONTENT, to=recipients))

    assert fanned is not None
    assert [request.to for request in fanned.requests if isinstance(request, SendEmailRequest)] == recipients
    assert send_email.fan_out(parsed(**CONTENT)) is None
    alone = send_email.fan_out(parsed(**CONTENT, to=["ada@example.com"]))
    assert alone is not None
    assert len(alone.requests) == 1


def test_a_list_is_no_job_of_a_bulk_request() -> None:
    with pytest.raises(RecipientsInBulk):
        send_email.plan(parsed(**CONTENT, to=["ada@example.com"]), ResolvedReferences())


@pytest.mark.parametrize(
    ("allowed", "to", "refusal"),
    [
        ("", "ada@example.com", RecipientNotAllowed),
        ("example.com", "ada@example.com", None),
        ("Example.COM, example.org", ["ada@EXAMPLE.org", "ada@example.com"], None),
        ("example.com", "ada@sub.example.com", RecipientNotAllowed),
        ("example.com", "ada@notexample.com", RecipientNotAllowed),
        ("example.com", ["ada@example.com", "eve@example.org"], RecipientNotAllowed),
        ("xn--mller-kva.de", "ada@müller.de", None),
        ("*", ["ada@example.com", "eve@example.org"], None),
    ],
)
def test_only_domains_of_the_list_are_written_to(
    allowed: str, to: str | list[str], refusal: type[AppError] | None
) -> None:
    request = parsed(**CONTENT, to=to)
    if refusal is None:
        send_email.admit(request, settings(mail_allowed_domains=allowed))
    else:
        with pytest.raises(refusal):
            send_email.admit(request, settings(mail_allowed_domains=allowed))


def test_without_a_server_nothing_is_accepted() -> None:
    with pytest.raises(MailNotConfigured):
        send_email.admit(parsed(**CONTENT), settings(smtp_host=None, mail_allowed_domains="*"))
