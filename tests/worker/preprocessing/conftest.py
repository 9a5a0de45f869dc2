"""A child that all tests of a module share: starting one imports all libraries, which takes seconds."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.worker.children import attempts
from tests.worker.preprocessing import running
from tests.worker.preprocessing.running import Rows
from worker.children.pool import ChildPool

Preprocess = Callable[..., Awaitable[Rows]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[ChildPool]:
    """Children as in a worker."""
    async with attempts.pool(handlers="worker.handlers:HANDLERS") as opened:
        yield opened


@pytest.fixture
def preprocess(children: ChildPool, tmp_path: Path) -> Preprocess:
    """Bring rows through steps, and return those of the new dataset."""

    async def preprocess(
        rows: Rows | Path, *requested: Mapping[str, Any], joined: Sequence[Rows] = ()
    ) -> Rows:
        source = rows if isinstance(rows, Path) else running.stored(tmp_path, rows)
        others = [running.stored(tmp_path, other, f"other-{n}") for n, other in enumerate(joined)]
        scratch = tmp_path / "scratch"
        attempt = await running.run(children, running.start(scratch, source, requested, others))
        assert not hasattr(attempt.end, "message"), attempt.end
        return running.output(attempt, scratch)

    return preprocess
