"""How late the event loop of this process runs: a callback that blocks it delays everything else."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from app.core import metrics

TICK_SECONDS: Final = 0.5


async def measure_lag_forever(
    *,
    clock: Callable[[], float] = monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Measure at every tick how late it is, until cancelled."""
    while True:
        due_at = clock() + TICK_SECONDS
        await sleep(TICK_SECONDS)
        metrics.EVENT_LOOP_LAG_SECONDS.observe(max(0.0, clock() - due_at))
