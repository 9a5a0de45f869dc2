"""Dependencies of the routes for operators."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.http.state import state_of
from app.maintenance.maintenance import Maintenance
from app.streams.deps import StreamsState


@dataclass(frozen=True, kw_only=True)
class OperationsState(StreamsState):
    """The state of the process, with what health checks need."""

    maintenance: Maintenance


async def get_maintenance(connection: HTTPConnection) -> Maintenance:
    """The maintenance loops of this process."""
    return state_of(connection, OperationsState).maintenance


MaintenanceDep = Annotated[Maintenance, Depends(get_maintenance)]
