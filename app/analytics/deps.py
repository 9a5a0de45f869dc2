"""Dependencies of the routes of figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Annotated

from fastapi import Depends, Query
from starlette.requests import HTTPConnection

from app.analytics.ranges import OwnerScope
from app.core.loops import LoopState
from app.core.machine import Machine
from app.http.state import state_of
from app.jobs.deps import JobsState


@dataclass(frozen=True)
class ThisProcess:
    """The answering process: when it started, by the monotonic clock, its loops, and its machine."""

    started: float
    loops: Callable[[datetime], Sequence[LoopState]]
    machine: Machine

    @property
    def uptime_seconds(self) -> float:
        """For how long it has run."""
        return monotonic() - self.started


@dataclass(frozen=True, kw_only=True)
class AnalyticsState(JobsState):
    """The state of the process, with what the figures about it need."""

    process: ThisProcess


async def get_process(connection: HTTPConnection) -> ThisProcess:
    """The answering process."""
    return state_of(connection, AnalyticsState).process


ThisProcessDep = Annotated[ThisProcess, Depends(get_process)]

ScopeQuery = Annotated[
    OwnerScope, Query(description="`all` means those of all users; it needs the permission `operate`.")
]
