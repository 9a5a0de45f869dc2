"""Jobs of the kind `send_email`, from the claim to the record, against a real SMTP server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from app.core.config import SmtpSecurity
from app.core.database import Database
from app.core.mail import Mailer, MailServer
from app.core.resources import Resources
from app.jobs import service, transitions
from app.jobs.kinds import send_email
from app.jobs.kinds.kind import ResolvedReferences
from app.jobs.kinds.send_email import SendEmailRequest
from app.jobs.unit_of_work import UnitOfWork
from tests.support import jobs, mail, ports, rows
from tests.support.mail import SENDER, PostOffice
from worker import inside_handlers
from worker.children.pool import ChildPool
from worker.claimer import Claimer
from worker.files import Files
from worker.handler_log import HandlerLogs
from worker.lease import Lease
from worker.report_writer import ReportWriter
from worker.run_next import Runner

TO = "ada@example.com"
CONTENT = {"subject": "Your report", "body": "It is ready."}
KIND = send_email.KIND.name
SECONDS = 60.0


@dataclass(frozen=True)
class Sender:
    """One slot of a worker that sends e-mail."""

    database: Database
    runner: Runner
    resources: Resources

    async def create(self, to: str = TO, **options: Any) -> UUID:
        """Create a job."""
        settings = self.resources.settings.model_copy(
            update={"smtp_host": "127.0.0.1", "mail_allowed_domains": ("*",)}
        )
        request = SendEmailRequest.model_validate({"to": to, **CONTENT, **options})
        owner_id = await jobs.user(self.database)
        new = service.new_job(settings, owner_id, send_email.KIND, request, ResolvedReferences())
        async with self.database.connection() as connection:
            assert await transitions.create(UnitOfWork(connection), new) is not None
        return new.id

    async def run(self) -> None:
        """Run the next job of the queue."""
        async with asyncio.timeout(SECONDS):
            assert await self.runner.run_next(send_email.QUEUE)

    async def job(self, job_id: UUID) -> Any:
        """The row of a job."""
        return await rows.job(self.database, job_id)

    async def waits_seconds(self, job_id: UUID) -> float:
        """How long after the end of its last attempt a job is due again."""
        seconds: float = await rows.value(
            self.database,
            """SELECT extract(epoch FROM j.run_at - a.ended_at)::float8 FROM jobs j
            JOIN job_attempts a ON a.job_id = j.id AND a.attempt = j.attempt WHERE j.id = $1""",
            job_id,
        )
        return seconds

    async def pass_time(self, job_id: UUID) -> None:
        """Let the time come at which a job is due."""
        await rows.execute(self.database, "UPDATE jobs SET run_at = now() WHERE id = $1", job_id)


@pytest.fixture
def office() -> PostOffice:
    return PostOffice()


@pytest.fixture
async def sender_of(resources: Resources, report_writer: ReportWriter, lease: Lease, files: Files) -> Any:
    """Return a function that makes the slot of a worker with this mailer."""

    def make(mailer: Mailer) -> Sender:
        return Sender(
            resources.database,
            Runner(
                resources.settings,
                {KIND: send_email.KIND},
                Claimer(resources.database, resources.hints, lease.worker.id, (KIND,)),
                report_writer,
                lease,
                ChildPool(slots=1, memory_limit_bytes=2**30, max_jobs_per_child=1),  # has no child
                files,
                HandlerLogs(resources.database),
                inside=inside_handlers.inside(mailer),
            ),
            resources,
        )

    return make


@pytest.fixture
async def sender(sender_of: Any, office: PostOffice) -> AsyncIterator[Sender]:
    """A slot beside a running SMTP server."""
    async with sending(sender_of, office) as opened:
        yield opened


@asynccontextmanager
async def sending(sender_of: Any, office: PostOffice) -> AsyncIterator[Sender]:
    async with mail.serving(office) as server, Mailer(server, away_seconds=0.0) as mailer:
        yield sender_of(mailer)


async def test_a_message_that_is_accepted_completes_its_job(sender: Sender, office: PostOffice) -> None:
    job_id = await sender.create(html="<p>It is ready.</p>", reply_to="help@example.com")
    await sender.run()

    job = await sender.job(job_id)
    [received] = office.received
    message_id = f"<{job_id}@example.net>"
    assert (job["status"], job["progress"]) == ("completed", 100)
    assert job["result"] == {"status": "sent", "to": TO, "message_id": message_id}
    assert received.message["Message-ID"] == message_id
    assert received.message["Reply-To"] == "help@example.com"
    assert received.text.strip() == "It is ready."
    assert received.html.strip() == "<p>It is ready.</p>"


@pytest.mark.parametrize("is_content_refused", [False, True])
async def test_a_final_refusal_fails_the_job_at_once(
    sender: Sender, office: PostOffice, is_content_refused: bool
) -> None:
    if is_content_refused:
        office.data_replies.append("554 5.7.1 Spam")
    else:
        office.replies[TO].append("550 5.1.1 No such user")
    job_id = await sender.create()
    await sender.run()

    job = await sender.job(job_id)
    assert (job["status"], job["attempt"]) == ("failed", 1)
    assert job["error"]["code"] == "recipient_refused"
    assert job["error"]["retryable"] is False
    assert ("554" if is_content_refused else "550") in job["error"]["message"]
    assert office.received == []


async def test_a_refusal_for_now_is_retried_like_any_failure(sender: Sender, office: PostOffice) -> None:
    office.replies[TO].append("451 4.7.1 Greylisted")
    job_id = await sender.create()
    await sender.run()

    deferred = await sender.job(job_id)
    assert (deferred["status"], deferred["failures"]) == ("pending", 1)
    assert deferred["error"]["code"] == "mail_deferred"
    assert 30 <= await sender.waits_seconds(job_id) <= 90

    await sender.pass_time(job_id)
    await sender.run()
    assert (await sender.job(job_id))["status"] == "completed"
    assert office.recipients == [TO]


async def test_four_refusals_for_now_are_the_end(sender: Sender, office: PostOffice) -> None:
    office.replies[TO] += ["451 4.7.1 Greylisted"] * 4
    job_id = await sender.create()
    for _ in range(4):
        await sender.pass_time(job_id)
        await sender.run()

    job = await sender.job(job_id)
    assert (job["status"], job["failures"]) == ("failed", 4)
    assert job["error"]["code"] == "mail_deferred"


async def test_a_server_that_is_away_for_an_hour_costs_no_failure_and_no_message(
    sender_of: Any, office: PostOffice
) -> None:
    with ports.reserved() as port:
        server = MailServer(ports.HOST, port, SmtpSecurity.NONE, SENDER)
        async with Mailer(server, away_seconds=0.0) as mailer:
            sender: Sender = sender_of(mailer)
            job_id = await sender.create()
            waited: list[float] = []
            for _ in range(7):
                await sender.pass_time(job_id)
                await sender.run()
                waited.append(await sender.waits_seconds(job_id))
            away = await sender.job(job_id)
            async with mail.serving(office, port=port):
                await sender.pass_time(job_id)
                await sender.run()

    assert [round(seconds) for seconds in waited] == [60, 120, 240, 480, 900, 900, 900]  # an hour
    assert (away["status"], away["failures"]) == ("pending", 0)
    job = await sender.job(job_id)
    assert (job["status"], job["failures"]) == ("completed", 0)
    outcomes = [attempt["outcome"] for attempt in await rows.attempts(sender.database, job_id)]
    assert outcomes == ["released"] * 7 + ["completed"]
    assert office.recipients == [TO]


async def test_a_message_that_takes_too_long_fails_its_attempt(sender: Sender, office: PostOffice) -> None:
    office.held = asyncio.Event()
    job_id = await sender.create(time_limit_seconds=1)
    await sender.run()
    office.held.set()

    job = await sender.job(job_id)
    assert (job["status"], job["failures"], job["error"]["code"]) == ("pending", 1, "time_limit")


async def test_a_cancelled_job_sends_nothing_more(sender: Sender, office: PostOffice, lease: Lease) -> None:
    office.held = asyncio.Event()
    job_id = await sender.create()
    running = asyncio.create_task(sender.run())
    async with asyncio.timeout(SECONDS):
        await office.arrived.wait()
        await jobs.cancel(sender.database, job_id)
        await lease.register()  # renews it, and learns of the cancellation
        await running
    office.held.set()

    assert (await sender.job(job_id))["status"] == "cancelled"


async def test_a_drain_gives_the_message_back_before_it_is_sent(sender: Sender, office: PostOffice) -> None:
    office.held = asyncio.Event()
    job_id = await sender.create()
    running = asyncio.create_task(sender.run())
    async with asyncio.timeout(SECONDS):
        await office.arrived.wait()
        sender.runner.drain()
        sender.runner.release_all()
        await running
    office.held.set()

    job = await sender.job(job_id)
    assert (job["status"], job["failures"]) == ("pending", 0)
    assert await sender.waits_seconds(job_id) == 0


@pytest.mark.parametrize("to", ["ada@example.com\r\nBcc: eve@example.com", "nobody"])
async def test_an_address_that_was_changed_in_the_database_fails_alone(
    sender: Sender, office: PostOffice, to: str
) -> None:
    broken, whole = await sender.create(), await sender.create("grace@example.com")
    await rows.execute(
        sender.database,
        "UPDATE jobs SET params = jsonb_set(params, '{to}', to_jsonb($2::text)) WHERE id = $1",
        broken,
        to,
    )
    await sender.run()
    await sender.run()

    job = await sender.job(broken)
    assert (job["status"], job["error"]["code"]) == ("failed", "bad_input")
    assert (await sender.job(whole))["status"] == "completed"
    assert office.recipients == ["grace@example.com"]
