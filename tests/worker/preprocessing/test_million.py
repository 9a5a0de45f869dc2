"""A million rows: memory stays flat, and a job that is resumed in the middle writes the same bytes."""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.datasets.conversion.row_groups import RowGroups
from tests.worker.children import attempts
from tests.worker.children.attempts import Attempt
from tests.worker.preprocessing import running
from worker.children.messages import Batch, Committed, Start
from worker.children.pool import ChildPool

pytestmark = [pytest.mark.long, pytest.mark.huge, pytest.mark.asyncio(loop_scope="module")]

FEW, MANY = 100_000, 1_000_000
MEBIBYTE = 1024 * 1024
BYTES_PER_ROW = 64
"""What docs/preprocessing.md says of these steps, and as much again for copies while they are sorted."""

STEPS: list[dict[str, Any]] = [
    {"step": "normalize_text", "columns": ["text"]},
    {"step": "deduplicate", "columns": ["text"]},
    {"step": "fill", "columns": ["x"], "statistic": "median"},
    {"step": "join", "dataset": "other", "on": ["id"]},
    {
        "step": "split",
        "by": "stratified",
        "column": "label",
        "parts": [{"name": "train", "fraction": 0.8}, {"name": "test", "fraction": 0.2}],
    },
]


def rows(path: Path, count: int) -> Path:
    """A file of so many rows, as an upload of them is stored."""
    schema = pa.schema(
        [("id", pa.int64()), ("x", pa.float64()), ("label", pa.string()), ("text", pa.string())]
    )
    with RowGroups(path, schema) as groups:
        for first in range(0, count, 10_000):
            numbers = range(first, first + 10_000)
            groups.add(
                pa.RecordBatch.from_pydict(
                    {
                        "id": list(numbers),
                        "x": [None if n % 7 == 0 else n * 7919 % 1000 / 8 for n in numbers],
                        "label": ["abc"[n * 31 % 3] for n in numbers],
                        "text": [f" Review NUMBER {n * 7919 % (count * 9 // 10)} " for n in numbers],
                    },
                    schema=schema,
                )
            )
    return path


async def run(children: ChildPool, message: Start) -> tuple[Attempt, int]:
    """An attempt, and the most memory that its child ever had."""
    async with attempts.take_for(children, message) as child:
        attempt = await attempts.run(child, message)
        status = Path(f"/proc/{child.pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return attempt, int(peak.split()[1]) * 1024


async def interrupted(children: ChildPool, message: Start) -> list[Batch]:
    """The batches of an attempt that is killed after its last checkpoint, in the middle of writing."""
    last = (message.total or 0) * 9 // 10
    committed: list[Batch] = []
    async with attempts.take_for(children, message) as child:
        child.send(message)
        while True:
            committed.append(await attempts.receive_batch(child))
            if len(committed) == last:
                return committed
            child.send(Committed(committed[-1].index))


@pytest.mark.timeout(3600)
async def test_memory_is_flat_and_a_resumed_job_writes_the_same_bytes(
    children: ChildPool, tmp_path: Path
) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id": list(range(0, MANY, 2)), "rank": list(range(0, MANY, 2))}), other)
    few = running.start(tmp_path / "few", rows(tmp_path / "few.parquet", FEW), STEPS, [other])
    many = running.start(tmp_path / "many", rows(tmp_path / "many.parquet", MANY), STEPS, [other])

    _, peak_of_few = await run(children, few)
    whole, peak_of_many = await run(children, many)
    expected = running.digests(whole, tmp_path / "many")

    assert [one["rows"] for one in whole.result["outputs"]] == [720_000, 180_000]
    assert peak_of_many - peak_of_few < BYTES_PER_ROW * (MANY - FEW) + 32 * MEBIBYTE
    committed = await interrupted(children, msgspec.structs.replace(many, scratch=str(tmp_path / "cut")))
    again = running.resumed(many, tmp_path / "again", committed, tmp_path / "cut")
    resumed, _ = await run(children, again)
    assert running.digests(resumed, tmp_path / "again") == expected
