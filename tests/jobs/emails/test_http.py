"""E-mail over HTTP: one, many, the paths of other systems, and who may be written to."""

from typing import Any

import httpx
import pytest

from app.core.config import Settings
from app.core.database import Database
from tests.conftest import SignUp
from tests.support import rows

CONTENT = {"subject": "Your report", "body": "It is ready."}
PATHS: dict[str, dict[str, Any]] = {
    "/jobs/send-email": {"to": "ada@example.com", **CONTENT},
    "/send-email": {"email": "ada@example.com", **CONTENT},
    "/send-bulk-email": {"recipients": ["ada@example.com"], **CONTENT},
    "/send-notification": {"email": "ada@example.com", "message": "It is ready."},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The API can send e-mail to two domains; it connects to no server itself."""
    return settings.model_copy(
        update={
            "smtp_host": "127.0.0.1",
            "mail_from": "h@example.net",
            "mail_allowed_domains": ("example.com", "example.org"),
        }
    )


@pytest.fixture
async def ada(client: httpx.AsyncClient, sign_up: SignUp) -> httpx.AsyncClient:
    """A client that is signed in as ada."""
    client.headers.update(await sign_up("ada"))
    return client


async def test_an_email_is_a_job_of_its_own_queue(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/jobs/send-email", json={**PATHS["/jobs/send-email"], "metadata": {"team": "a"}})
    job = (await ada.get(f"/jobs/{answer.json()['job_id']}")).json()

    assert answer.status_code == 202
    assert answer.json()["message"] == "E-mail queued"
    assert (job["kind"], job["queue"], job["max_attempts"]) == ("send_email", "emails", 4)
    assert job["metadata"] == {"team": "a"}
    assert "It is ready" not in str(job)


async def test_recipients_become_a_group_that_can_be_listed(ada: httpx.AsyncClient) -> None:
    recipients = [f"user{number}@example.com" for number in range(3)]
    answer = await ada.post("/jobs/send-email", json={"to": recipients, **CONTENT})
    await ada.post("/jobs/send-email", json=PATHS["/jobs/send-email"])
    created = answer.json()

    group = (await ada.get(created["poll_url"])).json()
    first = (await ada.get("/jobs", params={"group_id": created["group_id"], "limit": 2})).json()
    second = (
        await ada.get("/jobs", params={"group_id": created["group_id"], "cursor": first["next_cursor"]})
    ).json()

    assert answer.status_code == 202
    assert created["message"] == "3 e-mails queued"
    assert group["statuses"] == {"pending": 3}
    assert "search" not in group
    listed = [job["job_id"] for job in [*first["items"], *second["items"]]]
    assert listed == created["job_ids"][::-1]
    assert second["next_cursor"] is None


async def test_the_group_of_another_user_lists_nothing(ada: httpx.AsyncClient, sign_up: SignUp) -> None:
    created = (await ada.post("/jobs/send-email", json={"to": ["ada@example.com"], **CONTENT})).json()

    answer = await ada.get(
        "/jobs", params={"group_id": created["group_id"]}, headers=await sign_up("mallory")
    )

    assert answer.json()["items"] == []


async def test_a_request_with_the_same_key_sends_once(ada: httpx.AsyncClient, store: Database) -> None:
    for path, body in PATHS.items():
        key = {"Idempotency-Key": path.replace("/", "-")}
        first = await ada.post(path, json=body, headers=key)
        again = await ada.post(path, json=body, headers=key)

        assert (first.status_code, again.status_code) == (202, 200), path
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
        task = {name: first.json().get(name) for name in ("job_id", "task_id", "task_ids")}
        assert {name: again.json().get(name) for name in task} == task
    assert await rows.value(store, "SELECT count(*) FROM jobs") == len(PATHS)


@pytest.mark.parametrize("name", ["to", "email"])
async def test_send_email_answers_as_other_systems_do(ada: httpx.AsyncClient, name: str) -> None:
    answer = await ada.post("/send-email", json={name: "ada@example.com", **CONTENT})
    sent = answer.json()
    job = (await ada.get(sent["status_url"])).json()

    assert answer.status_code == 202
    assert sent == {
        "message": "Email queued",
        "task_id": job["job_id"],
        "status_url": f"/jobs/{job['job_id']}",
    }
    assert job["kind"] == "send_email"


async def test_send_bulk_email_answers_as_other_systems_do(ada: httpx.AsyncClient, store: Database) -> None:
    recipients = [f"user{number}@example.com" for number in range(3)]
    answer = await ada.post("/send-bulk-email", json={"recipients": recipients, **CONTENT})
    sent = answer.json()

    assert answer.status_code == 202
    assert sent["message"] == "Queued 3 emails"
    written_to = [
        await rows.value(store, "SELECT params->>'to' FROM jobs WHERE id = $1::text::uuid", task_id)
        for task_id in sent["task_ids"]
    ]
    assert written_to == recipients
    group = (await ada.get(f"/groups/{sent['group_id']}")).json()
    assert group["jobs"] == 3


async def test_send_notification_takes_a_body_or_a_query(ada: httpx.AsyncClient, store: Database) -> None:
    given = {"email": "ada@example.com", "message": "报告已完成"}
    answers = [
        await ada.post("/send-notification", json={**given, "language": "zh-CN"}),
        await ada.post("/send-notification", params=given),
    ]

    for answer, subject in zip(answers, ("通知", "Notification"), strict=True):
        assert answer.status_code == 202
        assert answer.json()["message"] == "Notification will be sent in background"
        payload = await rows.value(
            store,
            "SELECT convert_from(rows, 'UTF8') FROM job_payloads WHERE job_id = $1::text::uuid",
            answer.json()["task_id"],
        )
        assert subject in payload
        assert "报告已完成" in payload


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/jobs/send-email", {"to": "eve@example.net", **CONTENT}, 422, "recipient_not_allowed"),
        ("/send-email", {"to": "eve@example.net", **CONTENT}, 422, "recipient_not_allowed"),
        ("/send-notification", {"email": "eve@example.net", "message": "x"}, 422, "recipient_not_allowed"),
        ("/send-notification", {"email": "ada@example.com"}, 422, "validation_error"),
        ("/send-notification", None, 422, "validation_error"),
        ("/send-email", {**CONTENT}, 422, "validation_error"),
        (
            "/send-email",
            {"to": "a@example.com", "email": "b@example.com", **CONTENT},
            422,
            "validation_error",
        ),
        ("/send-email", {"to": "a@example.com\r\nBcc: b@example.com", **CONTENT}, 422, "validation_error"),
        ("/send-email", {"to": "a@example.com", "subject": "x\r\ny", "body": "x"}, 422, "validation_error"),
        ("/send-bulk-email", {"recipients": [], **CONTENT}, 422, "validation_error"),
        (
            "/send-bulk-email",
            {"recipients": [f"u{n}@example.com" for n in range(1001)], **CONTENT},
            400,
            "too_many_jobs",
        ),
        (
            "/jobs/send-email",
            {"to": [f"u{n}@example.com" for n in range(1001)], **CONTENT},
            400,
            "too_many_jobs",
        ),
        (
            "/jobs/bulk",
            {"jobs": [{"kind": "send_email", "to": ["ada@example.com"], **CONTENT}]},
            422,
            "recipients_in_bulk",
        ),
    ],
)
async def test_a_refused_request_creates_nothing(
    ada: httpx.AsyncClient, store: Database, path: str, body: Any, status: int, code: str
) -> None:
    answer = await ada.post(path, json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


@pytest.mark.parametrize(("path", "member"), [("/jobs/send-email", "to"), ("/send-bulk-email", "recipients")])
async def test_the_recipient_that_is_not_allowed_is_named_and_nobody_is_written_to(
    ada: httpx.AsyncClient, store: Database, path: str, member: str
) -> None:
    recipients = ["ada@example.com", "eve@example.net"]

    refused = (await ada.post(path, json={member: recipients, **CONTENT})).json()

    assert refused["code"] == "recipient_not_allowed"
    assert refused["recipient"] == "eve@example.net"
    assert refused["errors"][0]["loc"] == ["body", member, 1]
    assert await rows.value(store, "SELECT count(*) FROM job_groups") == 0


async def test_bulk_requests_hold_single_emails(ada: httpx.AsyncClient) -> None:
    emails = [{"kind": "send_email", "to": f"u{n}@example.com", **CONTENT} for n in range(2)]

    answer = await ada.post("/jobs/bulk", json={"jobs": emails})

    assert answer.status_code == 202
    assert len(answer.json()["job_ids"]) == 2


@pytest.mark.parametrize("path", PATHS)
async def test_all_paths_need_a_sign_in(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.post(path, json=PATHS[path])).status_code == 401


class TestWithoutServer:
    """An API without an SMTP server."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"smtp_host": None, "mail_allowed_domains": ("*",)})

    @pytest.mark.parametrize("path", PATHS)
    async def test_it_says_that_it_sends_no_email(self, ada: httpx.AsyncClient, path: str) -> None:
        answer = await ada.post(path, json=PATHS[path])

        assert (answer.status_code, answer.json()["code"]) == (503, "mail_not_configured")
