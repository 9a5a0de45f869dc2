"""The response about the state of the system."""

from datetime import datetime
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from app.analytics.schemas import LoopView


class DatabaseView(TypedDict):
    """Postgres. `bytes` is the size of the database, measured once a minute; null before that."""

    version: Annotated[str, Field(examples=["16.4"])]
    revision: Annotated[str | None, Field(description="Revision of the schema.", examples=["0032"])]
    bytes: Annotated[int | None, Field(examples=[48_000_000])]
    measured_at: datetime | None


class RedisView(TypedDict):
    """Redis, as the answering process finds it."""

    is_up: bool


class FilesView(TypedDict):
    """The storage of files. `used_bytes` and `free_bytes` of its volume are null if it is a bucket."""

    is_up: bool
    is_bucket: bool
    stored_bytes: Annotated[
        int, Field(description="What users store, in Postgres and in files.", examples=[12_000_000])
    ]
    used_bytes: Annotated[int | None, Field(examples=[30_000_000_000])]
    free_bytes: Annotated[int | None, Field(examples=[70_000_000_000])]


class SystemState(TypedDict):
    """The answering process, and what it depends on."""

    version: Annotated[str, Field(examples=["1.4.0"])]
    as_of: datetime
    uptime_seconds: Annotated[float, Field(examples=[86400.5])]
    is_stopping: bool
    running_jobs: Annotated[int, Field(examples=[3])]
    loops: list[LoopView]
    database: DatabaseView
    redis: RedisView
    storage: FilesView
