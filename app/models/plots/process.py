"""Runs the drawing of one plot in a separate process, without secrets and with limits."""

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from app.core import hardening
from app.models.plots.errors import PlotUnavailable
from app.models.plots.messages import Task

LOGGED_ERROR_BYTES: Final = 2000

_ROOT: Final = Path(__file__).parents[3]
_MODULE: Final = "app.models.plots.drawing"

log = structlog.get_logger(__name__)


async def draw(task: Task, *, seconds: float) -> bytes:
    """Return the file of a plot. Raises PlotUnavailable."""
    async with _folder() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _MODULE, str(folder)),
            cwd=_ROOT,
            env={
                **hardening.clean_environment(),
                "MPLCONFIGDIR": str(folder),
                "TMPDIR": str(folder),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(seconds):
                image, errors = await process.communicate(msgspec.json.encode(task))
        except TimeoutError:
            raise PlotUnavailable(reason=f"it takes longer than {seconds:.0f} seconds") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode != 0:
        error = errors[-LOGGED_ERROR_BYTES:].decode(errors="replace")
        log.warning("plot_failed", plot=task.plot, exit_code=process.returncode, error=error)
        is_time = process.returncode == -signal.SIGXCPU
        raise PlotUnavailable(reason="it takes too long" if is_time else "drawing it failed")
    return image


@asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    """A folder in which the process may write, deleted at the end of the body."""
    made = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="headrace-plot-"))
    try:
        yield made
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, made, ignore_errors=True))
