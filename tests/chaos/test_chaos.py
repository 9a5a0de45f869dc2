"""A minute of the drill, always the same one."""

from tests.chaos import drill, report
from tests.chaos.options import Options


async def test_a_minute_of_faults_breaks_no_promise() -> None:
    options = Options(seed=2029, minutes=1, jobs_per_second=5)

    verdict = await drill.hold(options)

    assert not verdict.broken, report.table(options, verdict)
    assert verdict.acknowledged > 100, report.table(options, verdict)
