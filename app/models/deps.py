"""What the routes of models need of the process."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.http.state import state_of
from app.models.plots.plotter import Plotter
from app.quotas.deps import QuotasState


@dataclass(frozen=True, kw_only=True)
class ModelsState(QuotasState):
    """The state of the process, with what draws plots."""

    plotter: Plotter


async def get_plotter(connection: HTTPConnection) -> Plotter:
    """The plotter of this process."""
    return state_of(connection, ModelsState).plotter


PlotterDep = Annotated[Plotter, Depends(get_plotter)]
