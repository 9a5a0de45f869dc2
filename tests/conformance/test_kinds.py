"""Every kind is sensible, and its handler resumes after a crash and stops when asked, without losing work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio

from app.core import ids
from app.core.files import StoredFile
from app.core.mail import Mailer
from app.datasets.conversion.columns import describe as columns_of
from app.datasets.options import AS_FOUND
from app.datasets.values import Dataset, Format
from app.jobs.kinds import registry
from app.jobs.kinds.kind import JobPlan, Kind, ResolvedReferences
from app.models import builtin
from app.models.versions import InputColumn, ModelVersion
from tests.conformance.cases import PLUGINS, KindCase, of_plugins
from tests.models import files
from tests.support import mail
from tests.support.mail import PostOffice
from tests.worker.children import attempts
from tests.worker.children.attempts import Attempt
from tests.worker.handlers.datasets import as_file
from worker.children.inside import InsideChild
from worker.children.messages import Batch, Committed, Done, Log, Start, Stop, StopReason, Yielded
from worker.children.pool import Child, ChildPool
from worker.inside_handlers import INSIDE, inside

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = registry.load(PLUGINS)

DATASET_ID = uuid4()
MODEL_ID = ids.new_id()

CASES: dict[str, KindCase] = {
    "batch_predict": KindCase(
        {"texts": ["good", "bad", "a table"], "batch_size": 1}, {"total": 3, "errors": 0}
    ),
    "convert_model": KindCase(
        {"model": "flowers"}, {"rows_checked": 411}, model=files.as_skops(files.classifier())
    ),
    "evaluate_model": KindCase(
        {
            "model": "sentiment",
            "rows": [{"text": "good", "label": "positive"}, {"text": "bad", "label": "negative"}],
            "target": "label",
        },
        {"total": 2, "errors": 0},
    ),
    "preprocess_dataset": KindCase(
        {
            "dataset_id": str(DATASET_ID),
            "steps": [
                {"step": "fill", "columns": ["x"], "statistic": "mean"},
                {"step": "deduplicate", "columns": ["x"]},
                {"step": "sample", "rows": 3},
            ],
        },
        {
            "rows": 8,
            "outputs": [{"output": "all", "rows": 3, "columns": [{"name": "x", "type": "number"}]}],
        },
        dataset=[{"x": None if n == 7 else n % 5} for n in range(8)],
    ),
    "send_email": KindCase(
        {"to": "ada@example.com", "subject": "Hi", "body": "Hi"}, {"status": "sent", "to": "ada@example.com"}
    ),
    "train_model": KindCase(
        {
            "rows": [{"x": x * x % 7 / 2, "y": x % 2} for x in range(40)],
            "target": "y",
            "epochs": 2,
            "seed": 3,
        },
        {"task": "classification", "epochs": 1, "train_rows": 40},
    ),
    **dict(of_plugins("KIND_CASES")),
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[ChildPool]:
    """Children as in a worker."""
    async with attempts.pool(handlers="worker.handlers:HANDLERS", plugins=PLUGINS) as opened:
        yield opened


def planned(kind: Kind) -> JobPlan:
    """The plan of the case, with the models and the dataset that it refers to."""
    request = kind.request.model_validate(CASES[kind.name].request)
    references = kind.references(request)
    return kind.plan(
        request,
        ResolvedReferences(
            models={name: builtin.find(name) or model_of(name) for name in references.models},
            datasets={reference: dataset_of(kind) for reference in references.datasets},
        ),
    )


def dataset_of(kind: Kind) -> Dataset:
    """The dataset with the rows of the case."""
    rows = CASES[kind.name].dataset
    columns = tuple(columns_of(pa.Table.from_pylist(list(rows)).schema))
    file = StoredFile("datasets/rows.parquet", 0, "00")
    return Dataset(
        DATASET_ID, "rows", Format.PARQUET, 0, "00", len(rows), columns, AS_FOUND, file, datetime.now(UTC)
    )


def model_of(name: str) -> ModelVersion:
    """The version with the file of the case."""
    columns = tuple(InputColumn(f"x{index}", "number") for index in range(4))
    return ModelVersion(
        name, 1, "sklearn", id=MODEL_ID, columns=columns, file=StoredFile("artifacts/model", 0, "00")
    )


def start(kind: Kind, folder: Path, *committed: Batch) -> Start:
    """An attempt that begins after these batches."""
    plan = planned(kind)
    local = {}
    if (content := CASES[kind.name].model) is not None:
        (folder / "model").write_bytes(content)
        local["model"] = as_file(folder / "model")
    if rows := CASES[kind.name].dataset:
        pq.write_table(pa.Table.from_pylist(list(rows)), folder / "rows.parquet")
        local["dataset"] = as_file(folder / "rows.parquet")
    return Start(
        job_id=ids.new_id(),
        attempt=1 + bool(committed),
        kind=kind.name,
        params=plan.params,
        payload=plan.rows,
        total=plan.total,
        resume_batch=len(committed),
        done=sum(batch.row_count for batch in committed),
        checkpoint=committed[-1].checkpoint if committed else None,
        scratch=str(folder / ids.new_id().hex),
        files=local,
    )


@asynccontextmanager
async def child_for(children: ChildPool, message: Start) -> AsyncIterator[Child | InsideChild]:
    """What runs the attempt in a worker: a child, or the worker itself."""
    if message.kind not in INSIDE:
        async with attempts.take_for(children, message) as child:
            yield child
        return
    async with (
        mail.serving(PostOffice()) as server,
        Mailer(server) as mailer,
        InsideChild(inside(mailer)[message.kind]) as child,
    ):
        yield child


async def run(children: ChildPool, message: Start) -> Attempt:
    async with child_for(children, message) as child:
        return await attempts.run(child, message)


def essential(kind: Kind, attempt: Attempt) -> dict[str, Any]:
    """What the case expects of the result; the rest may depend on time."""
    return {name: attempt.result.get(name) for name in CASES[kind.name].result}


async def test_every_kind_that_users_can_create_has_a_case() -> None:
    assert {kind.name for kind in KINDS.values() if not kind.is_internal} == set(CASES)


async def test_its_names_limits_and_examples_are_valid(kind: Kind) -> None:
    assert kind.name.isidentifier()
    assert kind.name == kind.name.lower()
    assert kind.summary
    assert kind.request.__doc__
    assert kind.max_attempts >= 1
    assert 0 < kind.soft_limit_seconds <= kind.time_limit_seconds
    assert kind.is_internal or kind.examples
    for example in kind.examples.values():
        kind.request.model_validate(example["value"])


async def test_its_plan_is_json_and_the_same_each_time(kind: Kind) -> None:
    if kind.is_internal:
        return
    plan = planned(kind)

    assert isinstance(msgspec.json.decode(plan.params), dict)
    assert plan.rows is None or isinstance(msgspec.json.decode(plan.rows), list)
    assert plan.params == planned(kind).params


async def test_its_handler_completes_the_job(kind: Kind, children: ChildPool, tmp_path: Path) -> None:
    if kind.is_internal:
        return
    attempt = await run(children, start(kind, tmp_path))

    assert essential(kind, attempt) == CASES[kind.name].result
    total = planned(kind).total
    assert total is None or sum(batch.row_count for batch in attempt.batches) <= total


async def test_an_attempt_after_a_crash_continues_after_the_last_committed_batch(
    kind: Kind, children: ChildPool, tmp_path: Path
) -> None:
    if kind.is_internal:
        return
    whole = await run(children, start(kind, tmp_path))
    for count in range(1, len(whole.batches)):
        resumed = await run(children, start(kind, tmp_path, *whole.batches[:count]))

        assert [batch.index for batch in resumed.batches] == list(range(count, len(whole.batches)))
        assert resumed.batches[-1].row_count == whole.batches[-1].row_count
        assert essential(kind, resumed) == essential(kind, whole)


async def test_a_handler_that_is_asked_to_stop_yields_or_completes(
    kind: Kind, children: ChildPool, tmp_path: Path
) -> None:
    if kind.is_internal:
        return
    message = start(kind, tmp_path)
    async with child_for(children, message) as child:
        child.send(message)
        child.send(Stop(StopReason.DRAIN))
        while isinstance(said := await attempts.receive(child), Batch | Log):
            if isinstance(said, Batch):
                child.send(Committed(said.index))

    assert isinstance(said, Done | Yielded)
