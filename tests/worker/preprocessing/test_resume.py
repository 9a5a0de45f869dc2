"""An interrupted job resumes after its last checkpoint, and its files are the same bytes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from tests.worker.children import attempts
from tests.worker.preprocessing import running
from worker.children.messages import Batch, Committed, Done, Start, Stop, StopReason, Yielded
from worker.children.pool import ChildPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = 25_000
SPLIT = {
    "step": "split",
    "by": "stratified",
    "column": "label",
    "parts": [{"name": "train", "fraction": 0.8}, {"name": "test", "fraction": 0.2}],
}
STORIES: dict[str, list[dict[str, Any]]] = {
    "filled, cleaned, split": [
        {"step": "fill", "columns": ["x"], "statistic": "median"},
        {"step": "normalize_text", "columns": ["text"], "remove_accents": True},
        {"step": "deduplicate", "columns": ["text", "x"]},
        SPLIT,
    ],
    "sampled and filled": [
        {"step": "sample", "fraction": 0.5, "seed": 3},
        {"step": "fill", "columns": ["label"], "statistic": "most_frequent"},
        {"step": "fill", "columns": ["x"], "statistic": "mean"},
    ],
    "deduplicated and divided by group": [
        {"step": "deduplicate"},
        {
            "step": "split",
            "by": "group",
            "column": "text",
            "parts": [
                {"name": "a", "fraction": 0.5},
                {"name": "b", "fraction": 0.25},
                {"name": "c", "fraction": 0.25},
            ],
        },
    ],
    "divided by time": [
        {
            "step": "split",
            "by": "time",
            "column": "id",
            "parts": [{"name": "early", "fraction": 0.7}, {"name": "late", "fraction": 0.3}],
        }
    ],
    "joined": [{"step": "join", "dataset": "labels", "on": ["label"], "how": "inner"}],
}
LABELS = [{"label": "a", "points": 1}, {"label": "b", "points": 2}]


def table() -> pa.Table:
    numbers = range(ROWS)
    return pa.table(
        {
            "id": list(numbers),
            "x": [None if n % 7 == 0 else n % 100 / 2 for n in numbers],
            "label": [(None, "a", "b", "c")[n % 4] for n in numbers],
            "text": [f"  Café {n * 7919 % 5000} " for n in numbers],
        }
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return running.stored(tmp_path_factory.mktemp("source"), table())


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return running.stored(tmp_path_factory.mktemp("labels"), LABELS)


def message(scratch: Path, source: Path, labels: Path, steps: Sequence[dict[str, Any]]) -> Start:
    joined = [labels] if any(step["step"] == "join" for step in steps) else []
    return running.start(scratch, source, steps, joined)


@pytest.mark.parametrize("story", STORIES)
async def test_wherever_it_was_interrupted_the_files_are_the_same(
    story: str, children: ChildPool, source: Path, labels: Path, tmp_path: Path
) -> None:
    first = message(tmp_path / "whole", source, labels, STORIES[story])
    whole = await running.run(children, first)
    expected = running.digests(whole, tmp_path / "whole")
    assert len(whole.batches) == first.total

    for count in sorted({0, 1, len(whole.batches) // 2, len(whole.batches) - 1}):
        scratch = tmp_path / f"after-{count}"
        again = running.resumed(first, scratch, whole.batches[:count], tmp_path / "whole")
        attempt = await running.run(children, again)

        assert isinstance(attempt.end, Done), attempt.end
        assert [batch.index for batch in attempt.batches] == list(range(count, len(whole.batches)))
        assert attempt.result == whole.result
        assert running.digests(attempt, scratch) == expected


async def test_units_since_the_last_checkpoint_are_repeated_but_not_committed_again(
    children: ChildPool, source: Path, labels: Path, tmp_path: Path
) -> None:
    first = message(tmp_path / "whole", source, labels, STORIES["sampled and filled"])
    whole = await running.run(children, first)
    older, *newer = whole.batches[:3]
    without = [msgspec.structs.replace(batch, checkpoint=None, checkpoint_file=None) for batch in newer]

    again = running.resumed(first, tmp_path / "again", [older, *without], tmp_path / "whole")
    attempt = await running.run(children, again)

    assert [batch.index for batch in attempt.batches] == list(range(3, len(whole.batches)))
    assert attempt.result == whole.result
    rows, [output] = whole.result["rows"], whole.result["outputs"]
    wrote = f"Wrote {output['rows']} of {rows} rows to 'all', {len(output['columns'])} columns."
    assert [line.text for line in attempt.logs] == [wrote]
    assert running.digests(attempt, tmp_path / "again") == running.digests(whole, tmp_path / "whole")


async def test_it_yields_when_asked_and_keeps_what_it_has_committed(
    children: ChildPool, source: Path, labels: Path, tmp_path: Path
) -> None:
    first = message(tmp_path / "first", source, labels, STORIES["filled, cleaned, split"])
    committed: list[Batch] = []
    async with attempts.take_for(children, first) as child:
        child.send(first)
        committed.append(await attempts.receive_batch(child))
        child.send(Stop(StopReason.DRAIN))
        child.send(Committed(0))
        while isinstance(said := await attempts.receive(child), Batch):
            committed.append(said)
            child.send(Committed(said.index))
    assert isinstance(said, Yielded)
    assert 0 < len(committed) < (first.total or 0)

    again = running.resumed(first, tmp_path / "second", committed, tmp_path / "first")
    attempt = await running.run(children, again)

    assert len(committed) + len(attempt.batches) == first.total
    assert attempt.batches[0].index == len(committed)


async def test_steps_that_leave_no_row_fail_the_job(
    children: ChildPool, source: Path, tmp_path: Path
) -> None:
    steps = [{"step": "filter", "conditions": [{"column": "id", "op": "lt", "value": 0}]}]

    attempt = await running.run(children, running.start(tmp_path, source, steps))

    assert attempt.failure.code == "no_rows_left"
    assert not attempt.failure.is_retryable


async def test_a_checkpoint_that_is_too_large_for_a_message_is_a_file(
    children: ChildPool, labels: Path, tmp_path: Path
) -> None:
    numbers = range(30_001)
    rows = [{"id": n, "noise": hashlib.sha512(str(n).encode()).hexdigest()} for n in numbers]
    large = running.stored(tmp_path, rows, "large")
    first = running.start(tmp_path / "whole", large, [{"step": "deduplicate"}])
    committed: list[Batch] = []
    async with attempts.take_for(children, first) as child:
        child.send(first)
        committed = [await attempts.receive_batch(child) for _ in range(2)]

    assert committed[1].checkpoint_file is not None
    again = running.resumed(first, tmp_path / "second", committed, tmp_path / "whole")
    resumed = await running.run(children, again)
    assert resumed.result["outputs"][0]["rows"] == len(rows)
    assert [row["id"] for row in running.output(resumed, tmp_path / "second")] == list(numbers)
