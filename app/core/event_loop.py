"""How late the event loop of this process runs: a callback that blocks it delays everything else."""

import asyncio
from typing import Final

from app.core import metrics

TICK_SECONDS: Final = 0.5


async def measure_lag_forever(tick_seconds: float = TICK_SECONDS) -> None:
    """Measure at every tick how late it is, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_at = loop.time() + tick_seconds
        await asyncio.sleep(tick_seconds)
        metrics.EVENT_LOOP_LAG_SECONDS.observe(max(0.0, loop.time() - due_at))
