"""Dependencies of the routes for operators."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.analytics.deps import AnalyticsState
from app.http.state import state_of
from app.maintenance.maintenance import Maintenance
from app.notifications.deps import NotificationsState
from app.operations.schema_check import SchemaCheck
from app.schedules.deps import SchedulesState


@dataclass(frozen=True, kw_only=True)
class OperationsState(SchedulesState, NotificationsState, AnalyticsState):
    """The state of the process, with what health checks need."""

    maintenance: Maintenance
    schema: SchemaCheck


async def get_maintenance(connection: HTTPConnection) -> Maintenance:
    """The maintenance loops of this process."""
    return state_of(connection, OperationsState).maintenance


async def get_schema_check(connection: HTTPConnection) -> SchemaCheck:
    """The check of the database schema."""
    return state_of(connection, OperationsState).schema


SchemaCheckDep = Annotated[SchemaCheck, Depends(get_schema_check)]
MaintenanceDep = Annotated[Maintenance, Depends(get_maintenance)]
