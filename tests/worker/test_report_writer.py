"""The ledger: what became of a report whose reply was lost, and who hears of it."""

from uuid import UUID

import pytest

from app.core import background, ids
from app.core.database import Database, open_database
from app.core.resources import Resources
from app.jobs.queries import AttemptState
from app.jobs.states import Status
from app.jobs.transition_types import Batch, Report
from tests.conftest import Servers
from tests.support import invariants, jobs, proxy, rows
from worker.report_writer import Fenced, ReportOutcome, ReportWriter, outcome_of

JOB = UUID(int=1)
BATCHES = tuple(Batch(row, 1, b"1", "") for row in range(2))


def _report(*, is_final: bool = False) -> Report:
    """Attempt 3 reports batches 5 and 6."""
    return Report(JOB, 3, 5, BATCHES, result=b"{}" if is_final else None)


@pytest.mark.parametrize("is_final", [False, True])
@pytest.mark.parametrize(
    ("state", "outcomes"),
    [
        (None, (ReportOutcome.FENCED, ReportOutcome.FENCED)),
        (AttemptState(Status.RUNNING, 4, 5), (ReportOutcome.FENCED, ReportOutcome.FENCED)),
        (AttemptState(Status.RUNNING, 4, 7), (ReportOutcome.FENCED, ReportOutcome.FENCED)),
        (AttemptState(Status.COMPLETED, 4, 7), (ReportOutcome.FENCED, ReportOutcome.FENCED)),
        (AttemptState(Status.RUNNING, 3, 5), (ReportOutcome.NOT_APPLIED, ReportOutcome.NOT_APPLIED)),
        (AttemptState(Status.RUNNING, 3, 6), (ReportOutcome.FENCED, ReportOutcome.FENCED)),
        (AttemptState(Status.RUNNING, 3, 7), (ReportOutcome.APPLIED, ReportOutcome.FENCED)),
        (AttemptState(Status.PENDING, 3, 5), (ReportOutcome.FENCED, ReportOutcome.FENCED)),
        (AttemptState(Status.PENDING, 3, 7), (ReportOutcome.FENCED, ReportOutcome.FENCED)),
        (AttemptState(Status.CANCELLED, 3, 5), (ReportOutcome.FENCED, ReportOutcome.APPLIED)),
        (AttemptState(Status.COMPLETED, 3, 7), (ReportOutcome.FENCED, ReportOutcome.APPLIED)),
    ],
)
def test_the_standing_of_a_job_tells_what_became_of_a_report(
    state: AttemptState | None, outcomes: tuple[ReportOutcome, ReportOutcome], is_final: bool
) -> None:
    assert outcome_of(_report(is_final=is_final), state) is outcomes[is_final]


@pytest.mark.parametrize("is_lost_before", [True, False])
async def test_a_report_that_was_lost_on_its_way_is_sent_again(
    servers: Servers, resources: Resources, is_lost_before: bool
) -> None:
    """Or not, if only the reply was lost: either way it is stored once."""
    job = await jobs.running(resources.database)
    async with (
        proxy.proxy_postgres(servers.embedded.postgres) as network,
        open_database(proxy.postgres_url(network, resources.settings.database_url), pool_size=2) as far_away,
    ):
        report_writer = ReportWriter(far_away, resources.hints, ids.new_id())
        fault = network.break_before if is_lost_before else network.lose_reply
        happened = fault("WITH reports AS")
        async with background.running(report_writer.write_forever()):
            await report_writer.advance(jobs.report(job))
            await report_writer.advance(jobs.report(job, first=1, count=2, is_final=True))
        assert happened.is_set()

    assert (await rows.job(resources.database, job.id))["status"] == Status.COMPLETED
    await invariants.all_hold(resources.database, predict=jobs.prediction)


async def test_a_report_of_an_attempt_that_is_over_is_answered_as_fenced(
    database: Database, report_writer: ReportWriter
) -> None:
    job = await jobs.running(database)
    await jobs.release(database, job)

    with pytest.raises(Fenced):
        await report_writer.advance(jobs.report(job))
