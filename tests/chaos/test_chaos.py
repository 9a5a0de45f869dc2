"""One minute of the drill with a fixed seed."""

from tests.chaos import drill, report
from tests.chaos.options import Options


async def test_a_minute_of_faults_violates_no_guarantee() -> None:
    options = Options(seed=2029, minutes=1, jobs_per_second=5)

    verdict = await drill.run(options)

    assert not verdict.violations, report.table(options, verdict)
    assert verdict.acknowledged > 100, report.table(options, verdict)
