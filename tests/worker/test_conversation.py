"""What a worker writes of its handlers' lines: each of them, up to a limit."""

from collections import Counter

import pytest
from structlog.testing import capture_logs

from app.core.resources import Resources
from tests.support import jobs, logs, rows
from worker.children import messages
from worker.children.child_handle import Child
from worker.children.errors import ChildDied
from worker.children.inbox import Inbox
from worker.conversation import Conversation
from worker.files import Files
from worker.handler_log import MAX_WORKER_LINES, HandlerLog
from worker.lease import Lease
from worker.report_writer import ReportWriter
from worker.reports import Reports
from worker.spans import Phases


async def converse(
    conversation_of: tuple[Files, ReportWriter, Lease], resources: Resources, lines: list[messages.Log]
) -> list[dict[str, object]]:
    """Run an attempt whose handler writes these lines; return the records of the worker's log."""
    files, report_writer, lease = conversation_of
    job = await jobs.running(resources.database)
    inbox = Inbox()
    sent: list[messages.FromChild] = [*lines, messages.Yielded()]
    for message in sent:
        inbox.data_received(bytes(messages.frame(message)))
    child = Child(0, inbox, lambda _pid: None)
    handler_log = HandlerLog(resources.database, job.id, job.attempt)
    conversation = Conversation(
        job, child, files, Reports(files), report_writer, lease, Phases(job), handler_log
    )
    with capture_logs() as records:
        assert isinstance(await conversation.commit_until_end(), messages.Yielded)
    return [dict(record) for record in records]


@pytest.fixture
def conversation_of(
    files: Files, report_writer: ReportWriter, lease: Lease
) -> tuple[Files, ReportWriter, Lease]:
    return files, report_writer, lease


@pytest.mark.parametrize(
    ("written", "kept", "notices"),
    [
        (MAX_WORKER_LINES, MAX_WORKER_LINES, 0),
        (MAX_WORKER_LINES + 1, MAX_WORKER_LINES, 1),
        (2 * MAX_WORKER_LINES, MAX_WORKER_LINES, 1),
    ],
)
async def test_the_lines_of_a_handler_stop_at_a_limit_with_a_line_that_says_so(
    conversation_of: tuple[Files, ReportWriter, Lease],
    resources: Resources,
    written: int,
    kept: int,
    notices: int,
) -> None:
    lines = [messages.Log(level="info", text=f"line {number}") for number in range(written)]

    records = await converse(conversation_of, resources, lines)

    found = Counter(record["event"] for record in records)
    assert found == Counter(handler_log=kept, handler_log_stopped=notices)
    assert [record["text"] for record in records if "text" in record] == [line.text for line in lines[:kept]]
    if notices:
        assert records[-1] == {
            "event": "handler_log_stopped",
            "limit": MAX_WORKER_LINES,
            "log_level": "info",
        }


async def test_a_line_is_cut_and_its_level_kept_beside_that_of_the_record(
    conversation_of: tuple[Files, ReportWriter, Lease], resources: Resources
) -> None:
    [record] = await converse(conversation_of, resources, [messages.Log(level="error" * 9, text="x" * 9000)])

    assert record["text"] == "x" * 8000
    assert record["handler_level"] == ("error" * 9)[:16]
    assert record["log_level"] == "info"


async def test_the_lines_of_an_attempt_are_stored_before_it_ends(
    conversation_of: tuple[Files, ReportWriter, Lease], resources: Resources
) -> None:
    await converse(
        conversation_of, resources, [messages.Log(level="warn", text=f"line {n}") for n in range(3)]
    )

    [stored] = await rows.fetch(resources.database, "SELECT levels, texts FROM job_logs")
    assert (stored["levels"], stored["texts"]) == (["warning"] * 3, ["line 0", "line 1", "line 2"])


async def test_the_lines_of_a_child_that_died_are_stored(
    conversation_of: tuple[Files, ReportWriter, Lease], resources: Resources
) -> None:
    files, report_writer, lease = conversation_of
    job = await jobs.running(resources.database)
    inbox = Inbox()
    inbox.data_received(bytes(messages.frame(messages.Log(level="info", text="last words"))))
    inbox.connection_lost(None)
    child = Child(0, inbox, lambda _pid: None)
    child.set_exited(-9, 0.0, 0)
    conversation = Conversation(
        *(job, child, files, Reports(files), report_writer, lease, Phases(job)),
        HandlerLog(resources.database, job.id, job.attempt),
    )

    with pytest.raises(ChildDied):
        await conversation.commit_until_end()
    assert await logs.texts(resources.database, job.id) == ["last words"]
