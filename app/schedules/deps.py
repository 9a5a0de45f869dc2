"""What the routes of schedules need of the process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.http.deps import SettingsDep
from app.http.state import state_of
from app.jobs.deps import KindsDep
from app.schedules.service import Planner
from app.streams.deps import StreamsState

IsFiring = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class SchedulesState(StreamsState):
    """The state of the process, with whether it has fired schedules lately."""

    is_firing: IsFiring


async def get_is_firing(connection: HTTPConnection) -> IsFiring:
    """The function that says whether the firing loop of this process succeeded lately."""
    return state_of(connection, SchedulesState).is_firing


async def get_planner(settings: SettingsDep, kinds: KindsDep) -> Planner:
    """What plans the jobs of templates in this process."""
    return Planner(settings, kinds)


IsFiringDep = Annotated[IsFiring, Depends(get_is_firing)]
PlannerDep = Annotated[Planner, Depends(get_planner)]
