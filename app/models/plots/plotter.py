"""Draws plots, some at once, and keeps those that were drawn last."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from app.models.plots import process
from app.models.plots.errors import PlotUnavailable
from app.models.plots.kinds import Plot, PlotFormat
from app.models.plots.messages import Task
from app.models.reports.report import Report

Key = tuple[UUID, Plot, PlotFormat]


@dataclass(frozen=True, slots=True)
class PlotLimits:
    """Limits of one process. The defaults are for production; tests pass others."""

    at_once: int = 1
    """Drawings at the same time: each takes a core for a second."""
    waiting: int = 20
    """Requests that wait for their turn; more get 503."""
    seconds: float = 60.0
    """Timeout of a drawing."""
    cache_bytes: int = 16 * 1024 * 1024
    """Plots that are kept. A report never changes, so neither do its plots."""


class Plotter:
    """Draws the plots of one API process."""

    def __init__(self, limits: PlotLimits = PlotLimits()) -> None:  # frozen
        self._limits = limits
        self._turns = asyncio.Semaphore(limits.at_once)
        self._waiting = 0
        self._drawn: OrderedDict[Key, bytes] = OrderedDict()
        self._drawn_bytes = 0

    async def draw(self, version_id: UUID, report: Report, plot: Plot, file_format: PlotFormat) -> bytes:
        """Return the file of a plot. Raises PlotUnavailable."""
        key = (version_id, plot, file_format)
        if (image := self._find(key)) is not None:
            return image
        if self._waiting >= self._limits.waiting:
            raise PlotUnavailable(reason="too many plots are waiting to be drawn")
        self._waiting += 1
        try:
            async with self._turns:
                # Another request may have drawn it meanwhile.
                if (image := self._find(key)) is None:
                    task = Task(plot, file_format, report)
                    image = await process.draw(task, seconds=self._limits.seconds)
                    self._keep(key, image)
        finally:
            self._waiting -= 1
        return image

    def _find(self, key: Key) -> bytes | None:
        if key in self._drawn:
            self._drawn.move_to_end(key)
        return self._drawn.get(key)

    def _keep(self, key: Key, image: bytes) -> None:
        self._drawn[key] = image
        self._drawn_bytes += len(image)
        while self._drawn_bytes > self._limits.cache_bytes:
            _, dropped = self._drawn.popitem(last=False)
            self._drawn_bytes -= len(dropped)
