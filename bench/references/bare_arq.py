"""ARQ with default settings, as in its documentation: `arq bench.references.bare_arq.WorkerSettings`."""

import os
import time
from typing import Any, ClassVar

from arq.connections import RedisSettings

from bench.references.marks import BUSY_SECONDS, mark, work

PICKED_UP = "bare_arq:picked_up"


async def pick_up(ctx: dict[str, Any], sent_at: float) -> None:
    """Record the time since the caller enqueued the job."""
    await ctx["redis"].rpush(PICKED_UP, time.time() - sent_at)


async def note_start(ctx: dict[str, Any], owner: str) -> None:
    """Record whose job has started."""
    await ctx["redis"].rpush("fairness:arq", owner)


async def long_job(_ctx: dict[str, Any], job: str) -> None:
    """Job during which the worker is killed."""
    mark("arq", job)
    work(BUSY_SECONDS)


class WorkerSettings:
    functions: ClassVar = [pick_up, note_start, long_job]
    redis_settings = RedisSettings(unix_socket_path=os.environ.get("REDIS_SOCKET"))
