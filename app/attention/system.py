"""What needs the attention of administrators: loops of the answering process, and the volume of files."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from app.analytics.deps import ThisProcess
from app.attention.queries import Finding
from app.attention.schemas import AttentionCode
from app.core.errors import StorageUnavailable
from app.core.loops import LATE
from app.core.storage import Storage

FULL_PERCENT: Final = 90.0
"""A volume of which more is used is full: it should grow before uploads fail."""

PROBE_SECONDS: Final = 1.0


def of_loops(process: ThisProcess, now: datetime) -> list[Finding]:
    """Return the loops that have not succeeded for long. A process that has just started gives them time."""
    started_at = now - timedelta(seconds=process.uptime_seconds)
    late = [
        loop
        for loop in process.loops(now)
        if not loop.is_healthy and (loop.last_success_at is not None or now - started_at > LATE)
    ]
    return [
        Finding(AttentionCode.LOOP_LATE, 1, loop.last_success_at or started_at, {"loop": loop.name})
        for loop in late
    ]


async def of_storage(storage: Storage, now: datetime) -> list[Finding]:
    """Return whether the volume is full. A bucket has none, and one that does not answer is not measured."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            space = await storage.space()
    except (StorageUnavailable, TimeoutError):
        return []
    if space is None or space.used_percent < FULL_PERCENT:
        return []
    facts = {"used_percent": round(space.used_percent, 1), "free_bytes": space.free_bytes}
    return [Finding(AttentionCode.STORAGE_FULL, 1, now, facts)]
