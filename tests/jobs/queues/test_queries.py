"""What a worker asks about its queues before it starts hosts."""

from app.core.database import Database
from app.jobs.queues import queries
from tests.support import jobs


async def test_jobs_that_a_worker_could_claim_are_counted_up_to_a_limit_in_each_queue(
    database: Database,
) -> None:
    for queue in ("default", "default", "gpu", "elsewhere"):
        await jobs.create(database, queue=queue)

    async def count(*names: str, kind: str = jobs.KIND, limit: int = 10) -> int:
        async with database.connection() as connection:
            return await queries.claimable(connection, names, [kind], limit=limit)

    counts = [await count("default", "gpu"), await count("default", "gpu", limit=1), await count("none")]
    assert counts == [3, 2, 0]
    assert {type(number) for number in counts} == {int}  # it slices the list of those that wait
    assert await count("default", kind="another") == 0
