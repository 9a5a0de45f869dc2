"""Responses of the routes of workers."""

from datetime import datetime
from typing import Annotated, NotRequired
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from app.jobs.workers.states import EngineState, WorkerState


class WorkerJobView(TypedDict):
    """A job that runs on a worker. The id is null if it is another user's.

    Of a job with shards, it is the `shard` with this number that runs, and has this progress.
    """

    job_id: UUID | None
    shard: Annotated[int | None, Field(examples=[None])]
    progress: Annotated[float, Field(examples=[62.5])]


class WorkerView(TypedDict):
    """A worker. What it uses is null until it has measured it; `host` and `pid` are for administrators."""

    worker_id: UUID
    name: Annotated[str, Field(examples=["worker-1"])]
    queues: list[str]
    kinds: list[str]
    slots: Annotated[int, Field(examples=[2])]
    predict_slots: Annotated[int, Field(description="Slots for `POST /predict` alone.", examples=[1])]
    gpus: Annotated[int, Field(description="GPUs of each slot.", examples=[0])]
    state: WorkerState
    engine_state: Annotated[
        EngineState,
        Field(
            description="Whether its engine can run jobs at once; as it said when it was last seen.",
            examples=["ready"],
        ),
    ]
    started_at: datetime
    seen_at: datetime
    cpu_percent: Annotated[float | None, Field(description="Percent of one core.", examples=[143.2])]
    memory_bytes: Annotated[int | None, Field(examples=[512_000_000])]
    memory_percent: Annotated[float | None, Field(examples=[12.5])]
    jobs: list[WorkerJobView]
    host: NotRequired[str]
    pid: NotRequired[int]


class WorkerList(TypedDict):
    """The workers, by name, and the jobs that run on them."""

    items: list[WorkerView]
