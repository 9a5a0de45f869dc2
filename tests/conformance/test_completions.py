"""Every completion writes once, together with the end of its job, or not at all."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from app.core import background, ids
from app.core.database import Database
from app.core.files import StoredFile
from app.core.resources import Resources
from app.jobs import completions
from app.jobs.kinds import registry
from app.jobs.transition_types import ClaimedJob
from tests.conformance.cases import PLUGINS, CompletionCase, of_plugins
from tests.support import invariants, jobs, rows
from worker.report_writer import Fenced, ReportWriter

COMPLETIONS = completions.load(PLUGINS, registry.load(PLUGINS))

DATASET_ID = ids.new_id()

CASES: dict[str, CompletionCase] = {
    "convert_model": CompletionCase(
        params={
            "model": {"name": "churn", "version": 3, "runtime": "sklearn", "id": str(ids.new_id())},
            "name": "churn-onnx",
        },
        result={"signature": {"task": "regression"}, "rows_checked": 411, "largest_difference": 0.0},
        stored={"model": "churn-onnx@1", "runtime": "onnx", "rows_checked": 411},
        count="SELECT count(*) FROM model_versions",
        artifacts=("model",),
    ),
    "evaluate_model": CompletionCase(
        params={
            "model": {"name": "sentiment", "version": 1, "runtime": "vader"},
            "batch_size": 10,
            "target": "mood",
        },
        result={"total": 25, "errors": 1, "metrics": {"accuracy": 0.75}},
        stored={"metrics": {"accuracy": 0.75}},
        count="SELECT count(*) FROM model_evaluations",
    ),
    "inspect_model": CompletionCase(
        params={"name": "flowers", "runtime": "onnx", "alias": "best"},
        result={"signature": {"task": "classification", "classes": ["a", "b"]}},
        stored={"model": "flowers@1", "runtime": "onnx"},
        count="SELECT count(*) FROM model_versions",
        files=("model",),
    ),
    "preprocess_dataset": CompletionCase(
        params={
            "name": "clean",
            "source": {"id": str(ids.new_id()), "sha256": "00"},
            "steps": [{"step": "drop", "columns": ["a"]}],
        },
        result={
            "rows": 7,
            "outputs": [{"output": "all", "rows": 5, "columns": [{"name": "b", "type": "text"}]}],
        },
        stored={"rows": 7},
        count="SELECT count(*) FROM datasets WHERE name = 'clean' AND lineage IS NOT NULL",
        artifacts=("datasets/all/content", "datasets/all/rows.parquet"),
    ),
    "train_model": CompletionCase(
        params={"target": "y", "model": "flowers"},
        result={
            "signature": {"task": "regression"},
            "metrics": {"r2": 0.5},
            "algorithm": "ridge",
            "params": {"alpha": 1.0},
            "library_versions": {"numpy": "2"},
            "report": {"task": "regression"},
        },
        stored={"model": "flowers@1", "metrics": {"r2": 0.5}},
        count="SELECT count(*) FROM model_versions",
        artifacts=("model",),
    ),
    **dict(of_plugins("COMPLETION_CASES")),
}


@pytest.fixture(params=COMPLETIONS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def report_writer(resources: Resources) -> AsyncIterator[ReportWriter]:
    opened = ReportWriter(resources.database, resources.hints, ids.new_id())
    async with background.running(opened.write_forever()):
        yield opened


def stored_files(*names: str) -> dict[str, StoredFile]:
    return {name: StoredFile(key_of(name), 5, "00") for name in names}


def key_of(name: str) -> str:
    """A key as a worker chooses it."""
    return f"datasets/{DATASET_ID}/{name.split('/')[-1]}" if "/" in name else f"artifacts/{name}"


async def running(database: Database, kind: str) -> ClaimedJob:
    """A job of which only the end is missing, as the completion sees it."""
    job = await jobs.running(database, rows=10)
    await jobs.commit(database, job)
    case = CASES[kind]
    return replace(job, kind=kind, params=msgspec.json.encode(case.params), files=stored_files(*case.files))


def completion(kind: str, job: ClaimedJob) -> completions.Completion:
    return partial(COMPLETIONS[kind], job=job, artifacts=stored_files(*CASES[kind].artifacts))


def end(job: ClaimedJob, kind: str) -> Any:
    report = jobs.report(job, first=1, count=0, is_final=True)
    return replace(report, result=msgspec.json.encode(CASES[kind].result))


async def count(database: Database, kind: str) -> int:
    found: int = await rows.value(database, CASES[kind].count)
    return found


def test_every_completion_has_a_case() -> None:
    assert set(CASES) == set(COMPLETIONS)


async def test_it_writes_together_with_the_end_of_the_job(
    kind: str, database: Database, report_writer: ReportWriter
) -> None:
    job = await running(database, kind)

    await report_writer.advance(end(job, kind), completion(kind, job))

    ended = await rows.job(database, job.id)
    assert ended["status"] == "completed"
    assert ended["result"].items() >= dict(CASES[kind].stored).items()
    assert await count(database, kind) == 1
    await invariants.all_hold(database)


async def test_it_writes_nothing_for_an_attempt_that_has_lost_the_job(
    kind: str, database: Database, report_writer: ReportWriter
) -> None:
    job = await running(database, kind)
    await jobs.release(database, job)

    with pytest.raises(Fenced):
        await report_writer.advance(end(job, kind), completion(kind, job))

    assert await count(database, kind) == 0


async def test_it_can_be_called_again_after_a_rollback(
    kind: str, database: Database, report_writer: ReportWriter
) -> None:
    job = await running(database, kind)
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await completion(kind, job)(connection, dict(CASES[kind].result))
        await transaction.rollback()
    assert await count(database, kind) == 0

    await report_writer.advance(end(job, kind), completion(kind, job))

    assert await count(database, kind) == 1
