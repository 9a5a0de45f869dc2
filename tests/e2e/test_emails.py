"""E-mail through a whole worker: to many, past a crash, and without leaking what signs it in."""

import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.core.config import Settings, SmtpSecurity
from app.core.mail import MailServer
from tests.support import mail, processes
from tests.support.certificates import Authority
from tests.support.mail import PASSWORD, PostOffice
from tests.support.waiting import until

CONTENT = {"subject": "Your report", "body": "It is ready."}


@pytest.fixture
def office() -> PostOffice:
    return PostOffice()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "certificates")


@pytest.fixture
async def server(office: PostOffice, authority: Authority) -> AsyncIterator[MailServer]:
    """A server that demands STARTTLS and a sign-in."""
    context = authority.server_context("127.0.0.1")
    async with mail.serving(office, SmtpSecurity.STARTTLS, context) as serving:
        yield serving


@pytest.fixture
def settings(settings: Settings, server: MailServer) -> Settings:
    """The API knows the server, so that it accepts e-mail; the workers get it from their environment."""
    return settings.model_copy(
        update={
            "smtp_host": server.host,
            "mail_from": server.sender.address,
            "mail_allowed_domains": ("example.com",),
        }
    )


async def until_finished(client: httpx.AsyncClient, group_url: str) -> dict[str, int]:
    """The statuses of a group whose jobs have all ended."""

    async def find() -> Any:
        group = (await client.get(group_url)).json()
        return group["statuses"] if group["is_finished"] else None

    statuses: dict[str, int] = await until(find)
    return statuses


async def test_twenty_recipients_of_whom_one_is_refused(
    ada: httpx.AsyncClient,
    settings: Settings,
    server: MailServer,
    authority: Authority,
    office: PostOffice,
    tmp_path: Path,
) -> None:
    recipients = [f"user{number:02}@example.com" for number in range(20)]
    office.replies["user07@example.com"] += ["550 5.1.1 <user07@example.com> unknown"] * 9
    trusted = {"SSL_CERT_FILE": str(authority.path), "LOG_LEVEL": "DEBUG"}
    async with processes.worker(
        settings, tmp_path / "worker.log", **mail.environment_of(server), **trusted
    ) as worker:
        created = (await ada.post("/jobs/send-email", json={"to": recipients, **CONTENT})).json()
        statuses = await until_finished(ada, created["poll_url"])
        log = worker.log
    failed = (await ada.get("/jobs", params={"group_id": created["group_id"], "status": "failed"})).json()

    assert statuses == {"completed": 19, "failed": 1}
    assert sorted(office.recipients) == [to for to in recipients if to != "user07@example.com"]
    assert all(received.is_encrypted and received.is_signed_in for received in office.received)
    [refused] = failed["items"]
    assert refused["error"]["code"] == "recipient_refused"
    assert "@example.com" not in log
    assert PASSWORD not in log


# Workers and children make themselves undumpable: then only root may read their memory in the /proc of Linux.
@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="only root on Linux reads the memory of a process that is undumpable",
)
async def test_no_child_holds_the_password(
    settings: Settings, server: MailServer, authority: Authority, tmp_path: Path
) -> None:
    more = {**mail.environment_of(server), "SSL_CERT_FILE": str(authority.path)}
    async with processes.worker(settings, tmp_path / "worker.log", **more) as worker:
        children = [process.pid for process in psutil.Process(worker.pid).children(recursive=True)]
        found = {pid: holds(pid, PASSWORD.encode()) for pid in (worker.pid, *children)}
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in children]

    assert found.pop(worker.pid), "the search does not find what is there"
    assert len(found) >= 2
    assert not any(found.values())
    assert not any(PASSWORD.encode() in environment for environment in environments)


def holds(pid: int, secret: bytes) -> bool:
    """Whether the writable memory of a process contains the secret."""
    with suppress(ProcessLookupError, FileNotFoundError):
        regions = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", Path(f"/proc/{pid}/maps").read_text(), re.M)
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for start, end in ((int(start, 16), int(end, 16)) for start, end in regions):
                with suppress(OSError, ValueError, OverflowError):
                    memory.seek(start)
                    if secret in memory.read(end - start):
                        return True
    return False


async def test_a_worker_killed_between_acceptance_and_commit_sends_one_message_twice(
    ada: httpx.AsyncClient,
    settings: Settings,
    server: MailServer,
    authority: Authority,
    office: PostOffice,
    tmp_path: Path,
) -> None:
    recipients = [f"user{number:02}@example.com" for number in range(10)]
    more = {**mail.environment_of(server), "SSL_CERT_FILE": str(authority.path), "WORKER_SLOTS": "1"}
    async with processes.worker(
        settings, tmp_path / "first.log", FAILPOINTS="complete:before=kill@5", **more
    ) as first:
        created = (await ada.post("/jobs/send-email", json={"to": recipients, **CONTENT})).json()
        await first.wait()
    async with processes.worker(settings, tmp_path / "second.log", **more):
        statuses = await until_finished(ada, created["poll_url"])

    assert statuses == {"completed": 10}
    times = Counter(office.recipients)
    assert set(times) == set(recipients)
    assert sorted(times.values()) == [1] * 9 + [2]
    message_ids = Counter(received.message["Message-ID"] for received in office.received)
    assert sorted(message_ids.values()) == [1] * 9 + [2]


async def test_a_worker_without_a_server_leaves_email_to_others(
    ada: httpx.AsyncClient, settings: Settings, tmp_path: Path
) -> None:
    async with processes.worker(settings, tmp_path / "worker.log"):
        created = (await ada.post("/jobs/send-email", json={"to": "ada@example.com", **CONTENT})).json()
        predicted = (await ada.post("/jobs/batch-predict", json={"texts": ["good"]})).json()
        job = (await ada.get(f"/jobs/{predicted['job_id']}", params={"wait": 60}, timeout=90)).json()
        explained = (await ada.get(f"/jobs/{created['job_id']}/explain")).json()

    assert job["status"] == "completed"
    assert explained["code"] == "no_worker_knows_kind"
